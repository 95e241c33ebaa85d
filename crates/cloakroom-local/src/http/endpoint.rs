//! What happens to a request around the service that does it: faults, metering, durability.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::silence::Connection;
use crate::faults::{Dice, Fault};
use crate::journal::Journal;
use crate::usage::Meter;

/// A request whose body was read.
pub(crate) type Request = http::Request<Bytes>;
/// A complete answer.
pub(crate) type Response = http::Response<Bytes>;

/// Makes the answer to the whole of a request out of that to a part.
pub(crate) type Completion = Box<dyn FnOnce(Response) -> Response + Send>;

/// One of the services, seen from the wire.
pub(crate) trait Api: Send + Sync + 'static {
    /// Bodies longer than this are refused unread.
    const LONGEST_BODY: usize;

    /// Whether requests are carried out to their end although their clients went away.
    const CARRIES_OUT: bool = true;

    /// The operation a request asks for, as AWS spells it.
    fn operation(&self, request: &Request) -> String;

    /// Whether an operation can meet another transaction.
    fn can_conflict(&self, _operation: &str) -> bool {
        false
    }

    /// Does what the request asks for.
    fn perform(&self, request: Request) -> impl Future<Output = Response> + Send;

    /// The answer in this service's form when a fault takes the place of the real one. Only
    /// asked for faults that answer.
    fn refusal(&self, fault: Fault, request: &Request) -> Response;

    /// The part of a request that is done although it is throttled, and how the answer to it tells what was left. `None`
    /// where requests are throttled whole.
    fn curtailed(&self, _fault: Fault, _request: &Request) -> Option<(Request, Completion)> {
        None
    }

    /// The answer when the service itself failed.
    fn failure(&self, message: &str) -> Response;

    /// Counts a request when it has arrived, whatever becomes of it.
    fn count_request(&self, operation: &str, bytes_in: u64);

    /// Counts an answer that is about to be sent.
    fn count_answer(&self, _answer: &Response) {}
}

/// The connection is closed instead of answering.
#[derive(Debug)]
pub(crate) struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is closed without an answer, as a fault asked for")
    }
}

impl std::error::Error for HangUp {}

/// A service with everything around it.
pub(crate) struct Endpoint<A> {
    pub(crate) api: A,
    pub(crate) dice: Arc<Dice>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) journal: Arc<Journal>,
}

impl<A: Api> Endpoint<A> {
    /// Answers one request.
    pub(crate) async fn answer(
        &self,
        request: http::Request<Incoming>,
        connection: &Connection,
    ) -> Result<http::Response<Full<Bytes>>, HangUp> {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, A::LONGEST_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Ok(too_large(A::LONGEST_BODY).map(Full::new));
            }
            // The client went away in the middle of its request.
            Err(_) => return Err(HangUp),
        };
        let request = Request::from_parts(head, body);
        let operation = self.api.operation(&request);
        // SUBTLE: before anything is waited for, since a client that hangs up ends this function at the next
        // `await` (`a_request_counts_although_its_client_hangs_up`).
        self.api.count_request(&operation, request.body().len() as u64);
        let answer = self.answer_or_fault(&operation, request, connection).await.ok_or(HangUp)?;
        self.api.count_answer(&answer);
        Ok(answer.map(Full::new))
    }

    async fn answer_or_fault(&self, operation: &str, request: Request, connection: &Connection) -> Option<Response> {
        let fault = self.dice.request(self.api.can_conflict(operation));
        let Some(fault) = fault else {
            return Some(self.perform(request).await);
        };
        tracing::debug!(operation, ?fault, "injected");
        self.count(fault);
        match fault {
            Fault::Throttled(_) => Some(match self.api.curtailed(fault, &request) {
                Some((part, complete)) => complete(self.perform(part).await),
                None => self.api.refusal(fault, &request),
            }),
            Fault::TransactionConflict(_) | Fault::ServerError(_) => Some(self.api.refusal(fault, &request)),
            Fault::AnswerReplaced => {
                self.perform(request.clone()).await;
                Some(self.api.refusal(fault, &request))
            }
            Fault::AnswerDropped => {
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

    /// Does the request, and holds the answer back until all it may tell is durable.
    async fn perform(&self, request: Request) -> Response {
        let answer = self.api.perform(request).await;
        match self.journal.until_durable().await {
            Ok(()) => answer,
            Err(error) => {
                tracing::error!(%error, "the journal cannot be written");
                self.api.failure(&format!("the journal cannot be written: {error}; free the disk and start again"))
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
                Fault::AnswerReplaced | Fault::AnswerDropped => &mut counts.lost_responses,
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
    let mut answer =
        Response::new(Bytes::from(format!("the body is longer than the {limit} bytes this service takes\n")));
    *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    answer
}
