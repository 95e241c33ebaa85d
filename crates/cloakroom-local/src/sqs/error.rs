//! Errors in the wire format of SQS.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::http::endpoint::Response;
use crate::identifier;

/// An error of SQS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    pub(super) kind: Kind,
    pub(super) message: String,
}

/// The kinds of errors of SQS.
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
    /// Returns the wire format of the error: the namespace and the name of its type in JSON, its
    /// code in the older query protocol, which the SDKs still show, and its status.
    fn wire_form(self) -> (&'static str, &'static str, &'static str, u16) {
        match self {
            Self::BatchEntryIdsNotDistinct => (SQS, "BatchEntryIdsNotDistinct", PREFIXED, 400),
            Self::BatchRequestTooLong => (SQS, "BatchRequestTooLong", PREFIXED, 400),
            Self::EmptyBatchRequest => (SQS, "EmptyBatchRequest", PREFIXED, 400),
            Self::InternalError => (COMMON, "InternalFailure", "InternalError", 500),
            Self::InvalidAttributeName => (SQS, "InvalidAttributeName", PLAIN, 400),
            Self::InvalidAttributeValue => (SQS, "InvalidAttributeValue", PLAIN, 400),
            Self::InvalidBatchEntryId => (SQS, "InvalidBatchEntryId", PREFIXED, 400),
            Self::InvalidMessageContents => (SQS, "InvalidMessageContents", PLAIN, 400),
            Self::InvalidParameterValue => (COMMON, "InvalidParameterValueException", "InvalidParameterValue", 400),
            Self::MalformedInput => (COMMON, "SerializationException", "MalformedInput", 400),
            Self::MessageNotInflight => (SQS, "MessageNotInflight", PREFIXED, 400),
            Self::MissingParameter => (COMMON, "MissingRequiredParameterException", "MissingParameter", 400),
            Self::OverLimit => (SQS, "OverLimit", PLAIN, 403),
            Self::PurgeQueueInProgress => (SQS, "PurgeQueueInProgress", PREFIXED, 403),
            Self::QueueDeletedRecently => (SQS, "QueueDeletedRecently", PREFIXED, 400),
            Self::QueueDoesNotExist => (SQS, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400),
            Self::QueueNameExists => (SQS, "QueueNameExists", "QueueAlreadyExists", 400),
            Self::ReceiptHandleIsInvalid => (SQS, "ReceiptHandleIsInvalid", PLAIN, 404),
            Self::RequestThrottled => (SQS, "RequestThrottled", PLAIN, 403),
            Self::ResourceNotFound => (SQS, "ResourceNotFoundException", PLAIN, 404),
            Self::ServiceUnavailable => (COMMON, "ServiceUnavailableException", "ServiceUnavailable", 503),
            Self::TooManyEntriesInBatchRequest => (SQS, "TooManyEntriesInBatchRequest", PREFIXED, 400),
            Self::UnknownOperation => (COMMON, "UnknownOperationException", "InvalidAction", 400),
            Self::UnsupportedOperation => (SQS, "UnsupportedOperation", PREFIXED, 400),
        }
    }

    /// Returns the code in the query protocol and in the entries of a batch.
    pub(super) fn code(self) -> String {
        let (_, name, code, _) = self.wire_form();
        match code {
            PREFIXED => format!("AWS.SimpleQueueService.{name}"),
            PLAIN => name.to_owned(),
            code => code.to_owned(),
        }
    }

    /// Whether the client caused the error, not the service.
    pub(super) fn is_senders_fault(self) -> bool {
        self.wire_form().3 < 500
    }

    pub(super) fn because(self, message: impl Into<String>) -> Error {
        Error { kind: self, message: message.into() }
    }
}

/// The code is the name of the type with the prefix of SQS.
const PREFIXED: &str = "prefix";
/// The code is the name of the type.
const PLAIN: &str = "same";

impl Error {
    pub(super) fn response(&self) -> Response {
        let (namespace, name, _, status) = self.kind.wire_form();
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

/// Returns a response of SQS.
pub(super) fn respond(json: String) -> Response {
    let mut response = Response::new(Bytes::from(json));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    if let Ok(id) = HeaderValue::from_str(&identifier::unique()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}
