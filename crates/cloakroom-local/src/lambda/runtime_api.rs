//! The Runtime API: what a function's process asks for work, and tells how it went.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::event_source::{EventSource, Receipts};
use super::invocations::{Begun, End, Invocations};
use super::report;
use super::settings::FunctionSettings;
use crate::faults::Fault;
use crate::http::{Api, Request, Response};
use crate::identifier;
use crate::sqs::ACCOUNT;

/// How long the event source waits after SQS has refused a receive.
const PAUSE: Duration = Duration::from_secs(1);

/// The Runtime API of one function.
pub(super) struct RuntimeApi {
    pub(super) source: EventSource,
    pub(super) settings: FunctionSettings,
    pub(super) invocations: Arc<Invocations>,
    /// Of the function, and of all services.
    pub(super) stops: [watch::Receiver<bool>; 2],
}

/// What a request is about.
enum Asked<'r> {
    Next,
    Response(&'r str),
    Error(&'r str),
    InitError,
}

fn asked<'r>(method: &Method, path: &'r str) -> Option<Asked<'r>> {
    let path = path.strip_prefix("/2018-06-01/runtime/")?;
    match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
        (&Method::GET, ["invocation", "next"]) => Some(Asked::Next),
        (&Method::POST, ["invocation", id, "response"]) => Some(Asked::Response(id)),
        (&Method::POST, ["invocation", id, "error"]) => Some(Asked::Error(id)),
        (&Method::POST, ["init", "error"]) => Some(Asked::InitError),
        _ => None,
    }
}

impl RuntimeApi {
    /// Waits for messages, however long that takes. Once the function or the services are to stop, there is no answer, as
    /// there is none when Lambda freezes or ends a process.
    async fn next(&self) -> Response {
        let [stopping, closing] = self.stops.clone();
        let batch = tokio::select! {
            biased;
            () = set(stopping) => None,
            () = set(closing) => None,
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
                    tracing::warn!(error, "the function's trigger cannot receive messages");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn begin(&self, event: &Value, receipts: Receipts) -> Response {
        let Begun { request_id, deadline } = self.invocations.begin(receipts);
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
                End::Succeeded { deleted, failed: failed_receipts }
            }
            Err(why) => {
                tracing::warn!(request_id, why, "the answer fails the whole batch, which comes again");
                End::Failed
            }
        };
        self.invocations.end(end);
        accepted()
    }

    /// The messages that an answer reports as failed; or why it fails them all.
    fn failed(&self, body: &[u8], batch: &BTreeSet<&str>) -> Result<BTreeSet<String>, String> {
        if !self.settings.reports_failures || body.iter().all(u8::is_ascii_whitespace) {
            return Ok(BTreeSet::new());
        }
        let response: Value = serde_json::from_slice(body).map_err(|error| format!("it is no JSON: {error}"))?;
        Ok(report::failures(&response, batch)?.into_iter().map(str::to_owned).collect())
    }

    fn fail(&self, request_id: &str, body: &[u8]) -> Response {
        if self.invocations.take(request_id).is_none() {
            return unknown(request_id);
        }
        tracing::warn!(request_id, error = error_in(body), "the function failed; its messages come again");
        self.invocations.end(End::Failed);
        accepted()
    }

    fn fail_to_start(&self, body: &[u8]) -> Response {
        tracing::warn!(error = error_in(body), "the function could not start");
        self.invocations.note_init_error();
        accepted()
    }
}

/// Waits until it is set, or can be no more.
async fn set(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|is_set| *is_set).await;
}

/// What the function's process says about its error.
fn error_in(body: &[u8]) -> String {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let part = |field: &str| told[field].as_str().unwrap_or("not told").to_owned();
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
        "No invocation with the request id {request_id} is under way: it was answered already, its deadline has passed, \
         or there never was one."
    );
    refused(StatusCode::BAD_REQUEST, "InvalidRequestID", &message)
}

impl Api for RuntimeApi {
    /// What Lambda takes as the answer of a function.
    const LONGEST_BODY: usize = 6 * 1024 * 1024;

    /// A process that has ended is given no messages.
    const CARRIES_OUT: bool = false;

    fn operation(&self, request: &Request) -> String {
        request.uri().path().to_owned()
    }

    async fn perform(&self, request: Request) -> Response {
        let path = request.uri().path();
        match asked(request.method(), path) {
            Some(Asked::Next) => self.next().await,
            Some(Asked::Response(id)) => self.respond(id, request.body()).await,
            Some(Asked::Error(id)) => self.fail(id, request.body()),
            Some(Asked::InitError) => self.fail_to_start(request.body()),
            None => {
                let message = format!("{} {path} is not a request of the Runtime API of 2018-06-01.", request.method());
                refused(StatusCode::NOT_FOUND, "UnknownOperation", &message)
            }
        }
    }

    fn refusal(&self, fault: Fault, _request: &Request) -> Response {
        self.failure(&format!("{fault:?}"))
    }

    fn failure(&self, message: &str) -> Response {
        refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// Lambda bills nothing for these.
    fn count_request(&self, _operation: &str, _bytes_in: u64) {}
}
