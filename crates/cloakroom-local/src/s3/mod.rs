//! S3: a store in memory behind the protocol framework `s3s`.

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
use crate::http::endpoint::{Api, Request, Response};
use crate::journal::{Entries, Journal};
use crate::s3::store::Store;
use crate::usage::{Meter, count};

/// The S3 endpoint.
pub(crate) struct S3 {
    service: S3Service,
    meter: Arc<Meter>,
}

impl S3 {
    /// Opens the buckets from the journal. Clients must sign requests with the credentials.
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
    /// Bodies are held in memory, so this is much less than the 5 GiB of S3.
    const MAX_BODY_BYTES: usize = 1024 * 1024 * 1024;

    fn operation(&self, request: &Request) -> String {
        operation::name(request)
    }

    async fn perform(&self, request: Request) -> Response {
        match self.service.call(request.map(Body::from)).await {
            Ok(answer) => messages::with_message(collect(answer).await),
            Err(error) => {
                let error: s3s::StdError = error.into();
                self.internal_error(&error.to_string())
            }
        }
    }

    fn fault_response(&self, fault: Fault, _request: &Request) -> Response {
        render(match fault {
            Fault::Throttled(_) => s3_error!(SlowDown, "Please reduce your request rate. (injected)"),
            Fault::ServerError(pick) if pick % 2 == 1 => {
                s3_error!(ServiceUnavailable, "The request was not performed. (injected)")
            }
            Fault::ServerError(_) | Fault::TransactionConflict(_) => {
                s3_error!(InternalError, "The request was not performed. (injected)")
            }
            Fault::ResponseReplaced | Fault::ResponseDropped | Fault::Silence { .. } => {
                s3_error!(InternalError, "The response was lost. (injected)")
            }
        })
    }

    fn internal_error(&self, message: &str) -> Response {
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

    fn count_response(&self, answer: &Response) {
        self.meter.record(|usage| usage.s3.bytes_out += answer.body().len() as u64);
    }
}

enum Class {
    Put,
    Get,
    Delete,
}

/// Returns the price class of an operation.
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

/// Collects the body of a response. Objects are in memory, so nothing has to be waited for.
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
