//! The steps around the service that performs a request: faults, metering and durability.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::faults::{Fault, FaultInjector};
use crate::http::silence::Connection;
use crate::journal::Journal;
use crate::usage::Meter;

/// A request with its complete body.
pub(crate) type Request = http::Request<Bytes>;
/// A complete response.
pub(crate) type Response = http::Response<Bytes>;

/// Turns the response to a part of a request into the response to the whole request.
pub(crate) type Completion = Box<dyn FnOnce(Response) -> Response + Send>;

/// The HTTP interface of one service.
pub(crate) trait Api: Send + Sync + 'static {
    /// The maximum length of a body, in bytes. A longer body is rejected without reading it.
    const MAX_BODY_BYTES: usize;

    /// Whether a request is completed although its client has disconnected.
    const COMPLETES_ABANDONED: bool = true;

    /// Returns the operation of a request, named as AWS spells it.
    fn operation(&self, request: &Request) -> String;

    /// Whether an operation can conflict with a transaction.
    fn can_conflict(&self, _operation: &str) -> bool {
        false
    }

    /// Performs the request.
    fn perform(&self, request: Request) -> impl Future<Output = Response> + Send;

    /// Returns the response to a fault, in the format of this service. Not called for faults
    /// without a response.
    fn fault_response(&self, fault: Fault, request: &Request) -> Response;

    /// Returns the part of a throttled request that is performed, and the completion that adds the
    /// unprocessed rest to its response. `None` if the request is rejected as a whole.
    fn partial(&self, _fault: Fault, _request: &Request) -> Option<(Request, Completion)> {
        None
    }

    /// Returns the response for an internal error of the service.
    fn internal_error(&self, message: &str) -> Response;

    /// Counts a request when it has arrived, regardless of its result.
    fn count_request(&self, operation: &str, bytes_in: u64);

    /// Counts a response that is about to be sent.
    fn count_response(&self, _answer: &Response) {}
}

/// The connection is to be closed without a response.
#[derive(Debug)]
pub(crate) struct ConnectionClosed;

impl std::fmt::Display for ConnectionClosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a fault closes the connection without a response")
    }
}

impl std::error::Error for ConnectionClosed {}

/// A service, with fault injection, metering and the journal.
pub(crate) struct Endpoint<A> {
    pub(crate) api: A,
    pub(crate) injector: Arc<FaultInjector>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) journal: Arc<Journal>,
}

impl<A: Api> Endpoint<A> {
    /// Performs one request, or injects a fault.
    pub(crate) async fn respond(
        &self,
        request: http::Request<Incoming>,
        connection: &Connection,
    ) -> Result<http::Response<Full<Bytes>>, ConnectionClosed> {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, A::MAX_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Ok(too_large(A::MAX_BODY_BYTES).map(Full::new));
            }
            // The client disconnected before it had sent the whole body.
            Err(_) => return Err(ConnectionClosed),
        };
        let request = Request::from_parts(head, body);
        let operation = self.api.operation(&request);
        // SUBTLE: counted before the first `await`. (1) A request arrives. (2) Its client
        // disconnects, which ends this function at the next `await`. Counted later, the request
        // would be missing in the usage (`request_is_counted_although_its_client_disconnects`).
        self.api.count_request(&operation, request.body().len() as u64);
        let response = self.respond_or_inject(&operation, request, connection).await.ok_or(ConnectionClosed)?;
        self.api.count_response(&response);
        Ok(response.map(Full::new))
    }

    async fn respond_or_inject(&self, operation: &str, request: Request, connection: &Connection) -> Option<Response> {
        let fault = self.injector.for_request(self.api.can_conflict(operation));
        let Some(fault) = fault else {
            return Some(self.perform(request).await);
        };
        tracing::debug!(operation, ?fault, "injected");
        self.count(fault);
        match fault {
            Fault::Throttled(_) => Some(match self.api.partial(fault, &request) {
                Some((part, complete)) => complete(self.perform(part).await),
                None => self.api.fault_response(fault, &request),
            }),
            Fault::TransactionConflict(_) | Fault::ServerError(_) => Some(self.api.fault_response(fault, &request)),
            Fault::ResponseReplaced => {
                self.perform(request.clone()).await;
                Some(self.api.fault_response(fault, &request))
            }
            Fault::ResponseDropped => {
                self.perform(request).await;
                None
            }
            Fault::Silence { done } => {
                connection.silence();
                if done {
                    self.perform(request).await;
                }
                None
            }
        }
    }

    /// Performs the request, and returns the response when all changes that it shows are durable.
    async fn perform(&self, request: Request) -> Response {
        let response = self.api.perform(request).await;
        match self.journal.until_durable().await {
            Ok(()) => response,
            Err(error) => {
                tracing::error!(%error, "the journal cannot be written");
                self.api.internal_error(&format!(
                    "the journal cannot be written: {error}; free disk space and start the services again"
                ))
            }
        }
    }

    fn count(&self, fault: Fault) {
        self.meter.record(|usage| {
            let counts = &mut usage.faults;
            *match fault {
                Fault::Throttled(_) => &mut counts.throttled,
                Fault::TransactionConflict(_) => &mut counts.transaction_conflicts,
                Fault::ServerError(_) => &mut counts.server_errors,
                Fault::ResponseReplaced | Fault::ResponseDropped => &mut counts.lost_responses,
                Fault::Silence { .. } => &mut counts.silences,
            } += 1;
        });
    }

    /// Counts a connection that is silent from the start.
    pub(super) fn count_silenced(&self) {
        self.meter.record(|usage| usage.faults.silences += 1);
    }
}

fn too_large(limit: usize) -> Response {
    let mut response =
        Response::new(Bytes::from(format!("the body is longer than {limit} bytes, the limit of this service\n")));
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response
}
