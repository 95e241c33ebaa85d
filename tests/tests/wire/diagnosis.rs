//! The diagnosis finds nothing on healthy resources. It reports each planted fault by its name,
//! with the fix.

mod denied;
mod payload_table;
mod planted;

use std::sync::Arc;

use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom_aws::{Aws, AwsSettings, Diagnosis, DiagnosisSettings, Finding, Findings, Problem, ProvisioningSettings};

use crate::embedded::Embedded;

const POLICY: &str = r#"{ "Version": "2012-10-17", "Statement": [{ "Effect": "Deny", "Principal": "*", "Action": "s3:*",
    "Resource": "*", "Condition": { "Bool": { "aws:SecureTransport": "false" } } }] }"#;

fn queues() -> Vec<String> {
    vec!["orders".to_owned(), "audit.fifo".to_owned()]
}

fn settings() -> DiagnosisSettings {
    DiagnosisSettings { queues: queues(), ..DiagnosisSettings::default() }
}

/// Starts services with healthy resources.
async fn healthy() -> Embedded {
    healthy_as(AwsSettings::new("things", "coats")).await
}

/// Starts services with healthy resources for these settings.
async fn healthy_as(aws_settings: AwsSettings) -> Embedded {
    let world = Embedded::of(aws_settings).await;
    let complete =
        ProvisioningSettings { queues: queues(), point_in_time_recovery: true, ..ProvisioningSettings::default() };
    world.provisioning_of(complete).apply().await.unwrap();
    for table in std::iter::once(&world.aws.settings().table).chain(&world.aws.settings().payload_table) {
        world.dynamodb.update_table().table_name(table).deletion_protection_enabled(true).send().await.unwrap();
    }
    world.s3.put_bucket_policy().bucket("coats").policy(POLICY).send().await.unwrap();
    set(&world, "audit.fifo", QueueAttributeName::DeduplicationScope, "messageGroup").await;
    set(&world, "audit.fifo", QueueAttributeName::FifoThroughputLimit, "perMessageGroupId").await;
    world
}

async fn url(world: &Embedded, queue: &str) -> String {
    world.sqs.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap()
}

async fn set(world: &Embedded, queue: &str, name: QueueAttributeName, value: &str) {
    let url = url(world, queue).await;
    world.sqs.set_queue_attributes().queue_url(url).attributes(name, value).send().await.unwrap();
}

async fn run(aws: &Aws, settings: DiagnosisSettings) -> Vec<Finding> {
    Diagnosis::new(aws, settings).unwrap().run().await.findings
}

/// Returns the findings, without the one about permissions that cannot be tried, which is always
/// there.
async fn found(aws: &Aws, settings: DiagnosisSettings) -> Vec<Finding> {
    let findings = run(aws, settings).await.into_iter();
    findings.filter(|finding| finding.problem != Problem::NotTried).collect()
}

fn problems(findings: &[Finding]) -> Vec<Problem> {
    findings.iter().map(|finding| finding.problem).collect()
}

/// Asserts that this problem is the only finding, and that its subject, text or fix contains each
/// of the words.
#[track_caller]
fn assert_only(findings: &[Finding], problem: Problem, words: &[&str]) {
    assert_eq!(problems(findings), [problem], "{findings:?}");
    let Finding { on, text, fix, .. } = &findings[0];
    for word in words {
        assert!([on, text, fix].iter().any(|part| part.contains(word)), "`{word}` is missing: {findings:?}");
    }
}

/// Returns an [`Aws`] on the same services, with another table or bucket.
fn with_names(world: &Embedded, table: &str, bucket: &str) -> Aws {
    let settings = AwsSettings::new(table, bucket);
    Aws::new(world.dynamodb.clone(), world.s3.clone(), world.sqs.clone(), settings).unwrap()
}

#[tokio::test]
async fn healthy_resources_have_no_findings_and_are_not_changed() {
    let world = healthy().await;
    let before = world.local.usage();
    assert_eq!(problems(&run(&world.aws, settings()).await), [Problem::NotTried]);
    let used = world.local.usage().since(&before);
    assert_eq!((used.sqs.messages_sent, used.sqs.messages_received), (0, 0));
    assert!(world.dynamodb.scan().table_name("things").send().await.unwrap().items().is_empty());
    assert!(world.s3.list_objects_v2().bucket("coats").send().await.unwrap().contents().is_empty());
}

#[tokio::test]
async fn diagnosis_does_not_receive_messages_of_a_queue() {
    let world = healthy().await;
    let queue = url(&world, "orders").await;
    world.sqs.send_message().queue_url(&queue).message_body("{}").send().await.unwrap();
    assert_eq!(found(&world.aws, settings()).await, []);
    let receive = world.sqs.receive_message().queue_url(&queue);
    let received = receive.message_system_attribute_names("ApproximateReceiveCount".into()).send().await.unwrap();
    let count = &received.messages()[0].attributes().unwrap()[&"ApproximateReceiveCount".into()];
    assert_eq!(count, "1");
}

#[tokio::test]
async fn provisioned_resources_have_no_errors() {
    let world = Embedded::start(&["orders", "audit.fifo"]).await;
    let findings = found(&world.aws, settings()).await;
    let expected = [Problem::TableUnprotected, Problem::TableRecoveryOff, Problem::BucketPlainHttp, Problem::FifoSlow];
    assert_eq!(problems(&findings), expected);
    let accepted = [Problem::TableUnprotected, Problem::TableRecoveryOff].into();
    let findings = run(&world.aws, DiagnosisSettings { accepted, ..settings() }).await;
    assert!(Findings { findings }.is_healthy());
}

#[tokio::test]
async fn diagnosis_reports_all_faults_in_one_run() {
    let world = healthy().await;
    world.s3.delete_bucket_lifecycle().bucket("coats").send().await.unwrap();
    world.sqs.delete_queue().queue_url(url(&world, "orders-dead").await).send().await.unwrap();
    let findings = found(&with_names(&world, "nothing", "coats"), settings()).await;
    let expected = [Problem::TableMissing, Problem::LifecycleMissing, Problem::DeadLetterQueueMissing];
    assert_eq!(problems(&findings), expected);
}

#[tokio::test]
async fn wrong_clock_and_drifting_clock_are_different_problems() {
    let world = healthy().await;
    for (ahead_s, problem) in [(90, Problem::ClockDrift), (600, Problem::ClockSkew)] {
        let clock = Arc::new(planted::Ahead(std::time::Duration::from_secs(ahead_s)));
        let findings = Diagnosis::new(&world.aws, settings()).unwrap().with_clock(clock).run().await.findings;
        assert_eq!(problems(&findings), [problem, Problem::NotTried]);
        assert!(findings[0].fix.contains("NTP") && findings[0].text.contains("ahead of"), "{findings:?}");
    }
}
