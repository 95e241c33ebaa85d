//! S3: a store of our own behind the `s3s` protocol framework.

mod buckets;
mod checksums;
mod conditions;
mod limits;
mod list_objects;
mod listing;
mod messages;
mod object;
mod objects;
mod operation;
mod put_object;
mod service;
mod store;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3Error, S3ErrorCode, s3_error};

use crate::credentials::Credentials;
use crate::faults::Fault;
use crate::http::{Api, Request, Response};
use crate::journal::{Entries, Journal};
use crate::usage::{Meter, count};
use store::Store;

/// The S3 endpoint.
pub(crate) struct S3 {
    service: S3Service,
    meter: Arc<Meter>,
}

impl S3 {
    /// Buckets as the journal had them. Requests have to be signed with the credentials.
    pub(crate) fn open(
        journal: Arc<Journal>,
        entries: &Entries,
        credentials: &Credentials,
        meter: Arc<Meter>,
    ) -> Result<Self, String> {
        let store = Store::open(journal, entries)?;
        let mut builder = S3ServiceBuilder::new(service::Buckets { store });
        builder.set_auth(SimpleAuth::from_single(
            credentials.access_key_id.clone(),
            credentials.secret_access_key.clone(),
        ));
        let service = builder.build();
        Ok(Self { service, meter })
    }
}

impl Api for S3 {
    /// Bodies are held in memory: a good deal less than the 5 GiB of S3.
    const LONGEST_BODY: usize = 1024 * 1024 * 1024;

    fn operation(&self, request: &Request) -> String {
        operation::name(request)
    }

    async fn perform(&self, request: Request) -> Response {
        match self.service.call(request.map(Body::from)).await {
            Ok(answer) => messages::with_message(collect(answer).await),
            Err(error) => {
                let error: s3s::StdError = error.into();
                self.failure(&error.to_string())
            }
        }
    }

    fn refusal(&self, fault: Fault, _request: &Request) -> Response {
        render(match fault {
            Fault::Throttled(_) => s3_error!(SlowDown, "Please reduce your request rate. (injected)"),
            Fault::ServerError(pick) if pick % 2 == 1 => {
                s3_error!(ServiceUnavailable, "The request was not done. (injected)")
            }
            Fault::ServerError(_) | Fault::TransactionConflict(_) => {
                s3_error!(InternalError, "The request was not done. (injected)")
            }
            Fault::AnswerReplaced | Fault::AnswerDropped | Fault::Silence { .. } => {
                s3_error!(InternalError, "The answer was lost. (injected)")
            }
        })
    }

    fn failure(&self, message: &str) -> Response {
        render(s3_error!(InternalError, "{message}"))
    }

    fn count_request(&self, operation: &str, bytes_in: u64) {
        self.meter.record(|usage| {
            let s3 = &mut usage.s3;
            count(&mut s3.requests, operation);
            *match class(operation) {
                Class::Put => &mut s3.put_class,
                Class::Get => &mut s3.get_class,
                Class::Delete => &mut s3.deletes,
            } += 1;
            s3.bytes_in += bytes_in;
        });
    }

    fn count_answer(&self, answer: &Response) {
        self.meter.record(|usage| usage.s3.bytes_out += answer.body().len() as u64);
    }
}

enum Class {
    Put,
    Get,
    Delete,
}

/// The price class of an operation.
fn class(operation: &str) -> Class {
    let is = |prefix: &str| operation.starts_with(prefix);
    if is("Delete") || is("Abort") {
        Class::Delete
    } else if is("Get") || is("Head") {
        Class::Get
    } else {
        Class::Put
    }
}

/// Objects are in memory, so answers are whole already.
async fn collect(answer: http::Response<Body>) -> Response {
    let (head, mut body) = answer.into_parts();
    match body.store_all_limited(usize::MAX).await {
        Ok(body) => Response::from_parts(head, body),
        Err(error) => render(S3Error::with_source(S3ErrorCode::InternalError, error)),
    }
}

fn render(error: S3Error) -> Response {
    let whole = error.to_http_response().map(|answer| answer.map(|body| body.bytes().unwrap_or_default()));
    whole.unwrap_or_else(|_| {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        answer
    })
}
