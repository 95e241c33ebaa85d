//! The Runtime API: a function's process requests invocations and reports their results.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::faults::Fault;
use crate::http::endpoint::{Api, Request, Response};
use crate::identifier;
use crate::lambda::event_source::{EventSource, Receipts};
use crate::lambda::invocations::{InvocationResult, Invocations, StartedInvocation};
use crate::lambda::report;
use crate::lambda::settings::FunctionSettings;
use crate::sqs::address::ACCOUNT;

/// How long the event source waits after SQS has rejected a receive.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The Runtime API of one function.
pub(super) struct RuntimeApi {
    pub(super) source: EventSource,
    pub(super) settings: FunctionSettings,
    pub(super) invocations: Arc<Invocations>,
    /// The stop signals of the function and of all services.
    pub(super) stops: [watch::Receiver<bool>; 2],
}

/// A request of a function's process.
enum RuntimeRequest<'r> {
    Next,
    Response(&'r str),
    Error(&'r str),
    InitError,
}

fn parse_path<'r>(method: &Method, path: &'r str) -> Option<RuntimeRequest<'r>> {
    let path = path.strip_prefix("/2018-06-01/runtime/")?;
    match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
        (&Method::GET, ["invocation", "next"]) => Some(RuntimeRequest::Next),
        (&Method::POST, ["invocation", id, "response"]) => Some(RuntimeRequest::Response(id)),
        (&Method::POST, ["invocation", id, "error"]) => Some(RuntimeRequest::Error(id)),
        (&Method::POST, ["init", "error"]) => Some(RuntimeRequest::InitError),
        _ => None,
    }
}

impl RuntimeApi {
    /// Waits for messages without a time limit. If the function or the services are to stop, there
    /// is no response, as when Lambda freezes or ends a process.
    async fn next(&self) -> Response {
        let [stopping, closing] = self.stops.clone();
        let batch = tokio::select! {
            biased;
            () = wait_until_set(stopping) => None,
            () = wait_until_set(closing) => None,
            batch = self.batch() => Some(batch),
        };
        match batch {
            Some((event, receipts)) => self.begin(&event, receipts),
            None => std::future::pending().await,
        }
    }

    async fn batch(&self) -> (Value, Receipts) {
        loop {
            match self.source.batch().await {
                Ok(batch) => return batch,
                Err(error) => {
                    tracing::warn!(error, "the trigger of the function failed to receive messages; it will retry");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    fn begin(&self, event: &Value, receipts: Receipts) -> Response {
        let StartedInvocation { request_id, deadline } = self.invocations.begin(receipts);
        let mut response = Response::new(Bytes::from(event.to_string()));
        let random = identifier::unique().replace('-', "");
        let trace = format!("Root=1-{:08x}-{};Parent={};Sampled=0", deadline / 1_000, &random[..24], &random[16..]);
        let arn = format!("arn:aws:lambda:{}:{ACCOUNT}:function:{}", crate::REGION, self.settings.name);
        for (name, value) in [
            ("content-type", "application/json".to_owned()),
            ("lambda-runtime-aws-request-id", request_id),
            ("lambda-runtime-deadline-ms", deadline.to_string()),
            ("lambda-runtime-invoked-function-arn", arn),
            ("lambda-runtime-trace-id", trace),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    async fn respond(&self, request_id: &str, body: &[u8]) -> Response {
        let Some(receipts) = self.invocations.take(request_id) else { return unknown(request_id) };
        let failed = {
            let batch: BTreeSet<&str> = receipts.keys().map(String::as_str).collect();
            self.failed(body, &batch)
        };
        let end = match failed {
            Ok(failed) => {
                let failed_receipts: usize = failed.iter().filter_map(|id| receipts.get(id)).map(Vec::len).sum();
                let done = receipts.into_iter().filter(|(id, _)| !failed.contains(id));
                let deleted = self.source.delete(done.flat_map(|(_, receipts)| receipts).collect()).await;
                InvocationResult::Succeeded { deleted, failed: failed_receipts }
            }
            Err(why) => {
                tracing::warn!(
                    request_id,
                    why,
                    "the response fails the whole batch; its messages will be received again"
                );
                InvocationResult::Failed
            }
        };
        self.invocations.end(end);
        accepted()
    }

    /// Returns the messages that a response reports as failed, or the reason why the whole batch
    /// fails.
    fn failed(&self, body: &[u8], batch: &BTreeSet<&str>) -> Result<BTreeSet<String>, String> {
        if !self.settings.reports_failures || body.iter().all(u8::is_ascii_whitespace) {
            return Ok(BTreeSet::new());
        }
        let response: Value =
            serde_json::from_slice(body).map_err(|error| format!("the response is not JSON: {error}"))?;
        Ok(report::failures(&response, batch)?.into_iter().map(str::to_owned).collect())
    }

    fn fail(&self, request_id: &str, body: &[u8]) -> Response {
        if self.invocations.take(request_id).is_none() {
            return unknown(request_id);
        }
        tracing::warn!(request_id, error = error_in(body), "the function failed; its messages will be received again");
        self.invocations.end(InvocationResult::Failed);
        accepted()
    }

    fn fail_to_start(&self, body: &[u8]) -> Response {
        tracing::warn!(error = error_in(body), "the function could not start");
        self.invocations.record_init_error();
        accepted()
    }
}

/// Waits until the flag is set or its sender is dropped.
async fn wait_until_set(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|is_set| *is_set).await;
}

/// Returns the type and message of the error that the function's process reported.
fn error_in(body: &[u8]) -> String {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let part = |field: &str| error[field].as_str().unwrap_or("unknown").to_owned();
    format!("{}: {}", part("errorType"), part("errorMessage"))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn accepted() -> Response {
    answer(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
}

fn refused(status: StatusCode, kind: &str, message: &str) -> Response {
    answer(status, &json!({ "errorType": kind, "errorMessage": message }))
}

fn unknown(request_id: &str) -> Response {
    let message = format!(
        "No invocation with the request id {request_id} is running: it has a response already, its deadline has passed, \
         or it never existed."
    );
    refused(StatusCode::BAD_REQUEST, "InvalidRequestID", &message)
}

impl Api for RuntimeApi {
    /// Lambda's limit for the response of a function.
    const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;

    /// A process that has disconnected must not be given messages.
    const COMPLETES_ABANDONED: bool = false;

    fn operation(&self, request: &Request) -> String {
        request.uri().path().to_owned()
    }

    async fn perform(&self, request: Request) -> Response {
        let path = request.uri().path();
        match parse_path(request.method(), path) {
            Some(RuntimeRequest::Next) => self.next().await,
            Some(RuntimeRequest::Response(id)) => self.respond(id, request.body()).await,
            Some(RuntimeRequest::Error(id)) => self.fail(id, request.body()),
            Some(RuntimeRequest::InitError) => self.fail_to_start(request.body()),
            None => {
                let message = format!("{} {path} is not a request of the Runtime API of 2018-06-01.", request.method());
                refused(StatusCode::NOT_FOUND, "UnknownOperation", &message)
            }
        }
    }

    fn fault_response(&self, fault: Fault, _request: &Request) -> Response {
        self.internal_error(&format!("{fault:?}"))
    }

    fn internal_error(&self, message: &str) -> Response {
        refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// Lambda does not bill these requests.
    fn count_request(&self, _operation: &str, _bytes_in: u64) {}
}
