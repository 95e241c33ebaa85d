//! What the services refuse: permissions, credentials, signatures, regions, too many requests.

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

use super::{found, healthy, must_be, problems, run, settings};
use crate::embedded::Embedded;

/// Answers some operations with an error in place of what they did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instead {
    /// How the names of service and operation begin; empty for all.
    operation: &'static str,
    status: u16,
    code: &'static str,
    message: &'static str,
}

impl Intercept for Instead {
    fn name(&self) -> &'static str {
        "Instead"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Self { operation, status, code, message } = self;
        let asked = config.load::<Metadata>().map(|asked| (asked.service().to_owned(), asked.name().to_owned()));
        let (service, name) = asked.unwrap_or_default();
        if !format!("{service}.{name}").starts_with(operation) {
            return Ok(());
        }
        let body = match (service.as_str(), name.as_str()) {
            ("S3", "HeadBucket") => String::new(),
            ("S3", _) => format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"),
            _ => format!(r#"{{"__type":"com.amazonaws#{code}","message":"{message}"}}"#),
        };
        let answer = context.response_mut();
        *answer.status_mut() = (*status).try_into()?;
        *answer.body_mut() = SdkBody::from(body);
        for header in ["x-amzn-query-error", "x-amz-checksum-crc32"] {
            answer.headers_mut().remove(header);
        }
        Ok(())
    }
}

/// The site as one sees it who is answered so.
pub(super) fn seen(world: &Embedded, instead: Instead) -> Aws {
    macro_rules! client {
        ($sdk:ident, $client:expr) => {{
            let config = $client.config().to_builder().interceptor(instead).retry_config(RetryConfig::disabled());
            $sdk::Client::from_conf(config.build())
        }};
    }
    let (dynamodb, s3) = (client!(aws_sdk_dynamodb, world.dynamodb), client!(aws_sdk_s3, world.s3));
    Aws::new(dynamodb, s3, client!(aws_sdk_sqs, world.sqs), world.aws.settings().clone()).unwrap()
}

pub(super) fn denied(operation: &'static str) -> Instead {
    Instead { operation, status: 403, code: "AccessDenied", message: "you may not" }
}

/// Every permission of endpoints, one by one: denied, it is found, and nothing else is.
#[tokio::test]
async fn every_permission_that_endpoints_lack_is_named() {
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
        let findings = found(&seen(&world, denied(operation)), settings()).await;
        assert!(problems(&findings).iter().all(|problem| *problem == Problem::PermissionMissing), "{findings:?}");
        let finding = findings.iter().find(|finding| finding.on == on);
        let finding = finding.unwrap_or_else(|| panic!("{permission}: {findings:?}"));
        let allow = format!("allow `{permission}` on {on}");
        assert!(finding.fix.contains(&allow) && finding.severity == Severity::Error, "{finding:?}");
        let on_all = if on.starts_with("queue") { 2..=4 } else { 1..=1 };
        assert!(on_all.contains(&findings.len()), "{permission}: {findings:?}");
    }
}

/// Nobody knows what is there, but an endpoint works: a warning, and the rest is looked at all the same.
#[tokio::test]
async fn what_must_not_be_looked_at_is_named_and_hides_nothing() {
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
        let findings = found(&seen(&world, denied(operation)), settings()).await;
        must_be(&findings, Problem::LookDenied, &[&format!("allow `{permission}` on")]);
    }
    world.s3.delete_bucket_lifecycle().bucket("coats").send().await.unwrap();
    let findings = found(&seen(&world, denied("S3.GetBucketPolicy")), settings()).await;
    assert_eq!(problems(&findings), [Problem::LifecycleMissing, Problem::LookDenied]);
}

/// The probe cannot be deleted then, and that is said.
#[tokio::test]
async fn a_probe_that_stays_is_told() {
    let world = healthy().await;
    let findings = found(&seen(&world, denied("S3.DeleteObject")), settings()).await;
    must_be(&findings, Problem::PermissionMissing, &["so the probe object `", "stays until it expires"]);
}

#[tokio::test]
async fn credentials_are_one_finding_whoever_refuses_them() {
    let world = healthy().await;
    for code in ["ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId", "ExpiredToken"] {
        for status in [400, 403] {
            let refused = Instead { operation: "", status, code, message: "renew it" };
            let findings = run(&seen(&world, refused), settings()).await;
            must_be(&findings, Problem::Credentials, &[code, "aws sts get-caller-identity"]);
        }
    }
}

#[tokio::test]
async fn a_signature_with_the_wrong_time_is_a_matter_of_the_clock() {
    let world = healthy().await;
    for (code, message) in [
        ("InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z"),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
    ] {
        let refused = Instead { operation: "", status: 403, code, message };
        let findings = run(&seen(&world, refused), settings()).await;
        must_be(&findings, Problem::ClockSkew, &[message, "NTP"]);
    }
}

#[tokio::test]
async fn a_bucket_of_another_region_is_told() {
    let world = healthy().await;
    let moved = Instead { operation: "S3.", status: 301, code: "PermanentRedirect", message: "ask elsewhere" };
    let findings = found(&seen(&world, moved), settings()).await;
    must_be(&findings, Problem::BucketElsewhere, &["bucket `coats`", "not in region `us-east-1`", "`--region`"]);
}

#[tokio::test]
async fn a_throttled_account_is_told_for_what_it_is() {
    let world = healthy().await;
    let busy =
        Instead { operation: "DynamoDB.DescribeTable", status: 400, code: "ThrottlingException", message: "slower" };
    must_be(&found(&seen(&world, busy), settings()).await, Problem::Throttled, &["table `things`", "run this again"]);
}

#[tokio::test]
async fn an_operation_that_an_emulator_lacks_is_a_note() {
    let world = healthy().await;
    let lacks = Instead {
        operation: "DynamoDB.DescribeContinuousBackups",
        status: 501,
        code: "UnknownOperationException",
        message: "not here",
    };
    let findings = found(&seen(&world, lacks), settings()).await;
    must_be(&findings, Problem::NotOffered, &["DescribeContinuousBackups", "emulator"]);
    assert_eq!(findings[0].severity, Severity::Note);
}

#[tokio::test]
async fn services_that_do_not_answer_hide_no_other() {
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
