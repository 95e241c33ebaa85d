use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_smithy_runtime_api::{client::result::ConnectorError, http::StatusCode};
use aws_smithy_types::body::SdkBody;

use crate::scripted::{BUSY, OPEN, REFUSED, judged};

use super::*;

const READ: Operation = Operation::read("GetItem", "dynamodb:GetItem");
const ONCE: Operation = Operation::once("TransactWriteItems", "dynamodb:PutItem");
const REPEATEDLY: Operation = Operation::repeatedly("DeleteItem", "dynamodb:DeleteItem");
const TARGET: &str = "table `orders`";

fn service_error(status: u16, code: Option<&str>) -> SdkError<GetItemError> {
    let meta = ErrorMetadata::builder().message("the reason");
    let meta = code.into_iter().fold(meta, |meta, code| meta.code(code));
    let body = SdkBody::from("the body");
    let raw = HttpResponse::new(StatusCode::try_from(status).unwrap(), body);
    SdkError::service_error(GetItemError::generic(meta.build()), raw)
}

fn judge(operation: Operation, status: u16, code: &str) -> (bool, bool) {
    judged(&operation.failed(TARGET, service_error(status, Some(code))))
}

#[test]
fn each_service_code_has_its_meaning_for_a_call_sent_once() {
    for (status, code, expected) in [
        (400, "ThrottlingException", BUSY),
        (400, "ProvisionedThroughputExceededException", BUSY),
        (400, "RequestLimitExceeded", BUSY),
        (400, "TransactionConflictException", BUSY),
        (403, "RequestThrottled", BUSY),
        (503, "SlowDown", BUSY),
        (409, "ConditionalRequestConflict", BUSY),
        (400, "ExpiredTokenException", BUSY),
        (400, "ValidationException", REFUSED),
        (400, "ItemCollectionSizeLimitExceededException", REFUSED),
        (400, "ResourceNotFoundException", REFUSED),
        (404, "NoSuchBucket", REFUSED),
        (400, "AWS.SimpleQueueService.NonExistentQueue", REFUSED),
        (400, "QueueDoesNotExist", REFUSED),
        (403, "AccessDenied", REFUSED),
        (400, "AccessDeniedException", REFUSED),
        (301, "PermanentRedirect", REFUSED),
        (400, "IdempotentParameterMismatchException", OPEN),
        (400, "TransactionInProgressException", OPEN),
        (500, "InternalServerError", OPEN),
        (503, "ServiceUnavailable", OPEN),
        (400, "NewerThanThisLibrary", OPEN),
    ] {
        assert_eq!(judge(ONCE, status, code), expected, "{code}");
    }
}

#[test]
fn only_refused_content_is_an_error_of_the_data() {
    let is_blamed = |code| ONCE.failed(TARGET, service_error(400, Some(code))).is_caused_by_data();
    for code in ["ItemCollectionSizeLimitExceededException", "EntityTooLarge", "KeyTooLongError"] {
        assert!(is_blamed(code), "{code}");
    }
    for code in ["ValidationException", "AccessDeniedException", "ResourceNotFoundException", "KmsDisabled"] {
        assert!(!is_blamed(code), "{code}: not the data but the configuration may be wrong");
    }
    assert!(!is_blamed("InternalServerError") && !is_blamed("NewerThanThisLibrary"));
    let entry = |code| ONCE.entry_failed("queue `orders`", code, "refused", true);
    assert!(entry("InvalidMessageContents").is_caused_by_data());
    assert!(!entry("InvalidParameterValue").is_caused_by_data());
}

#[test]
fn failed_read_never_has_an_effect() {
    assert_eq!(judge(READ, 500, "InternalServerError"), BUSY);
    assert_eq!(judge(READ, 400, "NewerThanThisLibrary"), BUSY);
    assert_eq!(judged(&READ.failed::<GetItemError>(TARGET, SdkError::timeout_error("late"))), BUSY);
    assert_eq!(judge(READ, 400, "ValidationException"), REFUSED);
}

#[test]
fn throttled_call_that_the_sdk_retries_may_have_taken_effect() {
    assert_eq!(judge(REPEATEDLY, 400, "ThrottlingException"), OPEN);
    assert_eq!(judge(REPEATEDLY, 400, "ValidationException"), REFUSED);
}

#[test]
fn error_response_without_a_code_is_judged_by_its_status() {
    for (status, expected) in [(301, REFUSED), (403, REFUSED), (404, REFUSED), (429, BUSY), (400, OPEN), (500, OPEN)] {
        assert_eq!(judged(&ONCE.failed(TARGET, service_error(status, None))), expected, "{status}");
    }
}

fn dispatch_failure(cause: ConnectorError) -> SdkError<GetItemError> {
    SdkError::dispatch_failure(cause)
}

#[test]
fn call_on_a_refused_connection_has_no_effect() {
    let refused = || ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionRefused).into());
    assert_eq!(judged(&ONCE.failed(TARGET, dispatch_failure(refused()))), BUSY);
    let unresolved = ConnectorError::io(Box::new(ResolveDnsError::new("no such host")));
    assert_eq!(judged(&ONCE.failed(TARGET, dispatch_failure(unresolved))), BUSY);
    // An earlier try may have reached the service.
    assert_eq!(judged(&REPEATEDLY.failed(TARGET, dispatch_failure(refused()))), OPEN);
}

#[test]
fn unsigned_request_has_no_effect() {
    let failed = |cause: CredentialsError| {
        let error = dispatch_failure(ConnectorError::other(Box::new(cause), None));
        judged(&ONCE.failed(TARGET, error))
    };
    assert_eq!(failed(CredentialsError::not_loaded("there are none")), REFUSED);
    assert_eq!(failed(CredentialsError::invalid_configuration("a loop")), REFUSED);
    assert_eq!(failed(CredentialsError::provider_error("the token service is busy")), BUSY);
}

#[test]
fn call_whose_answer_is_lost_may_have_taken_effect() {
    for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof] {
        let broken = ConnectorError::io(io::Error::from(kind).into());
        assert_eq!(judged(&ONCE.failed(TARGET, dispatch_failure(broken))), OPEN, "{kind}");
    }
    let late = ConnectorError::timeout("late".into());
    assert_eq!(judged(&ONCE.failed(TARGET, dispatch_failure(late))), OPEN);
    assert_eq!(judged(&ONCE.failed::<GetItemError>(TARGET, SdkError::timeout_error("late"))), OPEN);
    let raw = HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::empty());
    assert_eq!(judged(&ONCE.failed::<GetItemError>(TARGET, SdkError::response_error("garbled", raw))), OPEN);
}

#[test]
fn signature_with_a_wrong_time_is_a_temporary_error_for_every_code() {
    for code in ["InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed"] {
        let message = "Signature expired: 20250101T000000Z is now earlier than 20250102T000000Z";
        let meta = ErrorMetadata::builder().code(code).message(message).build();
        let raw = HttpResponse::new(StatusCode::try_from(403).unwrap(), SdkBody::empty());
        let error = ONCE.failed(TARGET, SdkError::service_error(GetItemError::generic(meta), raw));
        assert_eq!(judged(&error), BUSY, "{code}");
        assert!(error.to_string().contains("the clock of this machine is wrong"), "{error}");
    }
}

#[test]
fn request_that_cannot_be_built_has_no_effect() {
    let error = SdkError::<GetItemError>::construction_failure("no table name");
    let error = REPEATEDLY.failed(TARGET, error);
    assert_eq!(judged(&error), REFUSED);
    assert!(error.to_string().contains("no table name"), "{error}");
}

#[test]
fn error_texts_of_services_say_what_to_do() {
    let text = |status, code| ONCE.failed(TARGET, service_error(status, Some(code))).to_string();
    assert_eq!(
        text(400, "ResourceNotFoundException"),
        "TransactWriteItems on table `orders` failed: ResourceNotFoundException: the reason (status 400) \
         (table `orders` does not exist here; make it with `cloakroom provision` or `Provisioning`)"
    );
    assert!(text(400, "AccessDeniedException").ends_with("and allow dynamodb:PutItem on table `orders`)"));
    assert!(text(301, "PermanentRedirect").ends_with("(table `orders` is in another region than the client)"));
    assert!(text(403, "RequestTimeTooSkewed").ends_with("set the clock by NTP)"));
    assert!(text(500, "InternalServerError").contains("InternalServerError: the reason (status 500)"));
}

#[test]
fn error_texts_of_services_contain_no_body_and_are_short() {
    let error = ONCE.failed(TARGET, service_error(500, Some("InternalServerError")));
    assert!(!format!("{error} {error:?}").contains("the body"), "{error:?}");
    let meta = ErrorMetadata::builder().code("ValidationException").message("ü".repeat(10_000)).build();
    let raw = HttpResponse::new(StatusCode::try_from(400).unwrap(), SdkBody::empty());
    let error = ONCE.failed(TARGET, SdkError::service_error(GetItemError::generic(meta), raw));
    assert!(error.to_string().chars().count() < 700, "{error}");
}

#[test]
fn retry_reason_follows_from_the_meaning_of_the_code() {
    let reason = |status, code| ONCE.failed(TARGET, service_error(status, Some(code))).reason();
    assert_eq!(reason(400, "ThrottlingException"), Retry::Throttled);
    assert_eq!(reason(503, "SlowDown"), Retry::Throttled);
    assert_eq!(reason(400, "TransactionConflictException"), Retry::TransactionConflict);
    assert_eq!(reason(400, "ExpiredTokenException"), Retry::Failure);
    assert_eq!(reason(500, "InternalServerError"), Retry::UnknownOutcome);
    assert_eq!(READ.failed(TARGET, service_error(500, Some("InternalServerError"))).reason(), Retry::Failure);
    assert_eq!(REPEATEDLY.failed(TARGET, service_error(400, Some("RequestThrottled"))).reason(), Retry::Throttled);
}

#[test]
fn logs_omit_service_messages_that_may_quote_the_request() {
    let loggable = |code| ONCE.failed(TARGET, service_error(400, Some(code))).loggable();
    assert!(loggable("AccessDeniedException").contains("the reason"));
    assert!(loggable("AccessDeniedException").contains("dynamodb:PutItem"));
    assert_eq!(loggable("ValidationException"), "TransactWriteItems on table `orders` failed: ValidationException");
}
