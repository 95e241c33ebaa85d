//! Requests that the services refuse because of permissions, credentials, signatures, regions or
//! throttling.

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextMut,
        retry::RetryConfig,
    },
    error::BoxError,
    primitives::SdkBody,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use cloakroom_aws::{Aws, AwsSettings, Problem, Severity};

use super::{assert_only, found, healthy, problems, run, settings};
use crate::embedded::Embedded;

/// An interceptor that replaces the responses of some operations by an error.
#[derive(Clone, Copy, Debug)]
pub(super) struct ErrorResponse {
    /// A prefix of `service.operation`. It is empty for all operations.
    operation: &'static str,
    status: u16,
    code: &'static str,
    message: &'static str,
}

impl Intercept for ErrorResponse {
    fn name(&self) -> &'static str {
        "ErrorResponse"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Self { operation, status, code, message } = self;
        let called = config.load::<Metadata>().map(|call| (call.service().to_owned(), call.name().to_owned()));
        let (service, name) = called.unwrap_or_default();
        if !format!("{service}.{name}").starts_with(operation) {
            return Ok(());
        }
        let body = match (service.as_str(), name.as_str()) {
            ("S3", "HeadBucket") => String::new(),
            ("S3", _) => format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"),
            _ => format!(r#"{{"__type":"com.amazonaws#{code}","message":"{message}"}}"#),
        };
        let response = context.response_mut();
        *response.status_mut() = (*status).try_into()?;
        *response.body_mut() = SdkBody::from(body);
        for header in ["x-amzn-query-error", "x-amz-checksum-crc32"] {
            response.headers_mut().remove(header);
        }
        Ok(())
    }
}

/// Returns an [`Aws`] on the same services whose calls get this error.
pub(super) fn with_error(world: &Embedded, error: ErrorResponse) -> Aws {
    macro_rules! client {
        ($sdk:ident, $client:expr) => {{
            let config = $client.config().to_builder().interceptor(error).retry_config(RetryConfig::disabled());
            $sdk::Client::from_conf(config.build())
        }};
    }
    let (dynamodb, s3) = (client!(aws_sdk_dynamodb, world.dynamodb), client!(aws_sdk_s3, world.s3));
    Aws::new(dynamodb, s3, client!(aws_sdk_sqs, world.sqs), world.aws.settings().clone()).unwrap()
}

pub(super) fn denied(operation: &'static str) -> ErrorResponse {
    ErrorResponse { operation, status: 403, code: "AccessDenied", message: "you may not" }
}

/// For each permission of endpoints: if it is denied, the diagnosis finds that and nothing else.
#[tokio::test]
async fn every_missing_permission_of_endpoints_is_named() {
    let world = healthy().await;
    for (operation, permission, on) in [
        ("DynamoDB.GetItem", "dynamodb:GetItem", "table `things`"),
        ("DynamoDB.BatchGetItem", "dynamodb:BatchGetItem", "table `things`"),
        ("DynamoDB.PutItem", "dynamodb:PutItem", "table `things`"),
        ("DynamoDB.DeleteItem", "dynamodb:DeleteItem", "table `things`"),
        ("DynamoDB.TransactWriteItems", "dynamodb:ConditionCheckItem", "table `things`"),
        ("S3.HeadBucket", "s3:ListBucket", "bucket `coats`"),
        ("S3.ListObjectsV2", "s3:ListBucket", "bucket `coats`"),
        ("S3.GetObject", "s3:GetObject", "bucket `coats`"),
        ("S3.PutObject", "s3:PutObject", "bucket `coats`"),
        ("S3.DeleteObject", "s3:DeleteObject", "bucket `coats`"),
        ("SQS.SendMessageBatch", "sqs:SendMessage", "queue `orders`"),
        ("SQS.ReceiveMessage", "sqs:ReceiveMessage", "queue `orders`"),
        ("SQS.DeleteMessage", "sqs:DeleteMessage", "queue `orders`"),
        ("SQS.ChangeMessageVisibility", "sqs:ChangeMessageVisibility", "queue `orders`"),
        ("SQS.GetQueueUrl", "sqs:GetQueueUrl", "queue `orders`"),
    ] {
        let findings = found(&with_error(&world, denied(operation)), settings()).await;
        assert!(problems(&findings).iter().all(|problem| *problem == Problem::PermissionMissing), "{findings:?}");
        let finding = findings.iter().find(|finding| finding.on == on);
        let finding = finding.unwrap_or_else(|| panic!("{permission}: {findings:?}"));
        let allow = format!("allow `{permission}` on {on}");
        assert!(finding.fix.contains(&allow) && finding.severity == Severity::Error, "{finding:?}");
        let on_all = if on.starts_with("queue") { 2..=4 } else { 1..=1 };
        assert!(on_all.contains(&findings.len()), "{permission}: {findings:?}");
    }
}

/// A denied look is a warning, because an endpoint works without it. The diagnosis still checks the
/// rest.
#[tokio::test]
async fn denied_look_is_reported_and_hides_no_other_finding() {
    let world = healthy().await;
    for (operation, permission) in [
        ("DynamoDB.DescribeTable", "dynamodb:DescribeTable"),
        ("DynamoDB.DescribeTimeToLive", "dynamodb:DescribeTimeToLive"),
        ("DynamoDB.DescribeContinuousBackups", "dynamodb:DescribeContinuousBackups"),
        ("DynamoDB.Scan", "dynamodb:Scan"),
        ("S3.GetBucketVersioning", "s3:GetBucketVersioning"),
        ("S3.GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock"),
        ("S3.GetBucketLifecycle", "s3:GetLifecycleConfiguration"),
        ("S3.GetBucketEncryption", "s3:GetEncryptionConfiguration"),
        ("S3.GetBucketPolicy", "s3:GetBucketPolicy"),
    ] {
        let findings = found(&with_error(&world, denied(operation)), settings()).await;
        assert_only(&findings, Problem::LookDenied, &[&format!("allow `{permission}` on")]);
    }
    world.s3.delete_bucket_lifecycle().bucket("coats").send().await.unwrap();
    let findings = found(&with_error(&world, denied("S3.GetBucketPolicy")), settings()).await;
    assert_eq!(problems(&findings), [Problem::LifecycleMissing, Problem::LookDenied]);
}

/// Without permission to delete, the probe object stays, and the finding reports that.
#[tokio::test]
async fn probe_object_that_cannot_be_deleted_is_reported() {
    let world = healthy().await;
    let findings = found(&with_error(&world, denied("S3.DeleteObject")), settings()).await;
    assert_only(&findings, Problem::PermissionMissing, &["so the probe object `", "stays until it expires"]);
}

#[tokio::test]
async fn refused_credentials_are_one_finding() {
    let world = healthy().await;
    for code in ["ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId", "ExpiredToken"] {
        for status in [400, 403] {
            let refused = ErrorResponse { operation: "", status, code, message: "renew it" };
            let findings = run(&with_error(&world, refused), settings()).await;
            assert_only(&findings, Problem::Credentials, &[code, "aws sts get-caller-identity"]);
        }
    }
}

#[tokio::test]
async fn signature_error_about_time_is_reported_as_clock_skew() {
    let world = healthy().await;
    for (code, message) in [
        ("InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z"),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
    ] {
        let refused = ErrorResponse { operation: "", status: 403, code, message };
        let findings = run(&with_error(&world, refused), settings()).await;
        assert_only(&findings, Problem::ClockSkew, &[message, "NTP"]);
    }
}

#[tokio::test]
async fn bucket_of_another_region_is_reported() {
    let world = healthy().await;
    let moved = ErrorResponse { operation: "S3.", status: 301, code: "PermanentRedirect", message: "ask elsewhere" };
    let findings = found(&with_error(&world, moved), settings()).await;
    assert_only(&findings, Problem::BucketElsewhere, &["bucket `coats`", "not in region `us-east-1`", "`--region`"]);
}

#[tokio::test]
async fn throttling_is_reported_as_such() {
    let world = healthy().await;
    let busy = ErrorResponse {
        operation: "DynamoDB.DescribeTable",
        status: 400,
        code: "ThrottlingException",
        message: "slower",
    };
    assert_only(
        &found(&with_error(&world, busy), settings()).await,
        Problem::Throttled,
        &["table `things`", "run this again"],
    );
}

#[tokio::test]
async fn unsupported_operation_of_an_emulator_is_a_note() {
    let world = healthy().await;
    let lacks = ErrorResponse {
        operation: "DynamoDB.DescribeContinuousBackups",
        status: 501,
        code: "UnknownOperationException",
        message: "not here",
    };
    let findings = found(&with_error(&world, lacks), settings()).await;
    assert_only(&findings, Problem::NotOffered, &["DescribeContinuousBackups", "emulator"]);
    assert_eq!(findings[0].severity, Severity::Note);
}

#[tokio::test]
async fn unreachable_service_does_not_hide_other_findings() {
    let world = healthy().await;
    let gone = Embedded::empty().await;
    let dynamodb = gone.dynamodb.config().to_builder().retry_config(RetryConfig::disabled());
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(dynamodb.build());
    gone.local.shutdown().await;
    world.s3.delete_bucket_lifecycle().bucket("coats").send().await.unwrap();
    let aws = Aws::new(dynamodb, world.s3.clone(), world.sqs.clone(), AwsSettings::new("things", "coats")).unwrap();
    let findings = found(&aws, settings()).await;
    assert_eq!(problems(&findings), [Problem::Unreachable, Problem::LifecycleMissing]);
}
