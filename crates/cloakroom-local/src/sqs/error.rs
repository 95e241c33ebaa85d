//! Errors as SQS writes them on the wire.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::http::Response;
use crate::identifier;

/// An error of SQS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    pub(super) kind: Kind,
    pub(super) message: String,
}

/// The errors SQS knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InternalError,
    InvalidAttributeName,
    InvalidAttributeValue,
    InvalidBatchEntryId,
    InvalidMessageContents,
    InvalidParameterValue,
    MalformedInput,
    MessageNotInflight,
    MissingParameter,
    OverLimit,
    PurgeQueueInProgress,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
    ReceiptHandleIsInvalid,
    RequestThrottled,
    ResourceNotFound,
    ServiceUnavailable,
    TooManyEntriesInBatchRequest,
    UnknownOperation,
    UnsupportedOperation,
}

const SQS: &str = "com.amazonaws.sqs";
const COMMON: &str = "com.amazon.coral.service";

impl Kind {
    /// How the error is written: the namespace and name of its type in the JSON, its code in
    /// the older query protocol, which the SDKs still show, and its status.
    fn form(self) -> (&'static str, &'static str, &'static str, u16) {
        match self {
            Self::BatchEntryIdsNotDistinct => (SQS, "BatchEntryIdsNotDistinct", LONG, 400),
            Self::BatchRequestTooLong => (SQS, "BatchRequestTooLong", LONG, 400),
            Self::EmptyBatchRequest => (SQS, "EmptyBatchRequest", LONG, 400),
            Self::InternalError => (COMMON, "InternalFailure", "InternalError", 500),
            Self::InvalidAttributeName => (SQS, "InvalidAttributeName", SHORT, 400),
            Self::InvalidAttributeValue => (SQS, "InvalidAttributeValue", SHORT, 400),
            Self::InvalidBatchEntryId => (SQS, "InvalidBatchEntryId", LONG, 400),
            Self::InvalidMessageContents => (SQS, "InvalidMessageContents", SHORT, 400),
            Self::InvalidParameterValue => (COMMON, "InvalidParameterValueException", "InvalidParameterValue", 400),
            Self::MalformedInput => (COMMON, "SerializationException", "MalformedInput", 400),
            Self::MessageNotInflight => (SQS, "MessageNotInflight", LONG, 400),
            Self::MissingParameter => (COMMON, "MissingRequiredParameterException", "MissingParameter", 400),
            Self::OverLimit => (SQS, "OverLimit", SHORT, 403),
            Self::PurgeQueueInProgress => (SQS, "PurgeQueueInProgress", LONG, 403),
            Self::QueueDeletedRecently => (SQS, "QueueDeletedRecently", LONG, 400),
            Self::QueueDoesNotExist => (SQS, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400),
            Self::QueueNameExists => (SQS, "QueueNameExists", "QueueAlreadyExists", 400),
            Self::ReceiptHandleIsInvalid => (SQS, "ReceiptHandleIsInvalid", SHORT, 404),
            Self::RequestThrottled => (SQS, "RequestThrottled", SHORT, 403),
            Self::ResourceNotFound => (SQS, "ResourceNotFoundException", SHORT, 404),
            Self::ServiceUnavailable => (COMMON, "ServiceUnavailableException", "ServiceUnavailable", 503),
            Self::TooManyEntriesInBatchRequest => (SQS, "TooManyEntriesInBatchRequest", LONG, 400),
            Self::UnknownOperation => (COMMON, "UnknownOperationException", "InvalidAction", 400),
            Self::UnsupportedOperation => (SQS, "UnsupportedOperation", LONG, 400),
        }
    }

    /// The code that the query protocol and the entries of a batch show.
    pub(super) fn code(self) -> String {
        let (_, name, code, _) = self.form();
        match code {
            LONG => format!("AWS.SimpleQueueService.{name}"),
            SHORT => name.to_owned(),
            code => code.to_owned(),
        }
    }

    /// Whether the client is to blame rather than the service.
    pub(super) fn is_senders_fault(self) -> bool {
        self.form().3 < 500
    }

    pub(super) fn because(self, message: impl Into<String>) -> Error {
        Error { kind: self, message: message.into() }
    }
}

/// The code is the name of the type behind SQS's prefix.
const LONG: &str = "prefix";
/// The code is the name of the type.
const SHORT: &str = "same";

impl Error {
    pub(super) fn response(&self) -> Response {
        let (namespace, name, _, status) = self.kind.form();
        let body = json!({ "__type": format!("{namespace}#{name}"), "message": self.message });
        let mut response = respond(body.to_string());
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let fault = match self.kind.is_senders_fault() {
            true => "Sender",
            false => "Receiver",
        };
        let code = format!("{};{fault}", self.kind.code());
        if let Ok(code) = HeaderValue::from_str(&code) {
            response.headers_mut().insert("x-amzn-query-error", code);
        }
        response
    }
}

/// An answer of SQS.
pub(super) fn respond(json: String) -> Response {
    let mut response = Response::new(Bytes::from(json));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    if let Ok(id) = HeaderValue::from_str(&identifier::unique()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}
