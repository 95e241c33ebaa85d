//! Faults of the table for small payloads.

use aws_sdk_dynamodb::types::TimeToLiveSpecification;
use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom_aws::{Aws, AwsSettings, Problem};

use super::{assert_only, denied, found, healthy_as, problems, set, settings};
use crate::embedded::{Embedded, with_payload_table};

/// Returns an [`Aws`] on the same services, with other settings.
fn with_settings(world: &Embedded, settings: AwsSettings) -> Aws {
    Aws::new(world.dynamodb.clone(), world.s3.clone(), world.sqs.clone(), settings).unwrap()
}

async fn expire_by(world: &Embedded, attribute: &str, on: bool) {
    let expiry = TimeToLiveSpecification::builder().enabled(on).attribute_name(attribute).build().unwrap();
    let update = world.dynamodb.update_time_to_live().table_name("slips").time_to_live_specification(expiry);
    update.send().await.unwrap();
}

#[tokio::test]
async fn healthy_payload_table_has_no_findings_and_is_not_changed() {
    let world = healthy_as(with_payload_table()).await;
    assert_eq!(found(&world.aws, settings()).await, []);
    assert!(world.dynamodb.scan().table_name("slips").send().await.unwrap().items().is_empty());
}

#[tokio::test]
async fn diagnosis_tries_batches_only_if_endpoints_send_them() {
    let world = healthy_as(with_payload_table()).await;
    for (items_per_request_max, batches) in [(25, 1), (1, 0)] {
        let aws_settings = AwsSettings { items_per_request_max, ..with_payload_table() };
        let before = world.local.usage();
        assert_eq!(found(&with_settings(&world, aws_settings), settings()).await, []);
        let requests = world.local.usage().since(&before).dynamodb.requests;
        let sent = |operation: &str| requests.get(operation).copied().unwrap_or_default();
        assert_eq!((sent("BatchGetItem"), sent("BatchWriteItem")), (2 * batches, batches), "{requests:?}");
    }
}

#[tokio::test]
async fn missing_payload_table_is_named() {
    let world = healthy_as(with_payload_table()).await;
    let aws_settings = AwsSettings { payload_table: Some("nothing".to_owned()), ..with_payload_table() };
    let fix = "cloakroom provision --table things --bucket coats --payload-table nothing --queue orders";
    assert_only(
        &found(&with_settings(&world, aws_settings), settings()).await,
        Problem::TableMissing,
        &["table `nothing`", fix],
    );
}

#[tokio::test]
async fn state_table_used_as_payload_table_is_reported() {
    let world = healthy_as(with_payload_table()).await;
    let aws_settings = AwsSettings { payload_table: Some("things".to_owned()), ..AwsSettings::new("slips", "coats") };
    let findings = found(&with_settings(&world, aws_settings), settings()).await;
    let keys: Vec<_> = findings.iter().filter(|finding| finding.problem == Problem::TableKeys).collect();
    assert_eq!(keys.len(), 2, "{findings:?}");
    assert!(keys[1].on.contains("things") && keys[1].text.contains("not the bytes `k`"), "{keys:?}");
}

#[tokio::test]
async fn payload_table_without_time_to_live_is_reported() {
    let world = healthy_as(with_payload_table()).await;
    expire_by(&world, "x", false).await;
    assert_only(&found(&world.aws, settings()).await, Problem::TableExpiryOff, &["table `slips`", "off for `x`"]);
    expire_by(&world, "gone_at", true).await;
    assert_only(
        &found(&world.aws, settings()).await,
        Problem::TableExpiryForeign,
        &["`gone_at`", "--table-name slips"],
    );
}

#[tokio::test]
async fn payload_table_without_deletion_protection_is_reported() {
    let world = healthy_as(with_payload_table()).await;
    world.dynamodb.update_table().table_name("slips").deletion_protection_enabled(false).send().await.unwrap();
    assert_only(
        &found(&world.aws, settings()).await,
        Problem::TableUnprotected,
        &["table `slips`", "payloads", "are lost"],
    );
}

#[tokio::test]
async fn payload_expiry_shorter_than_the_queue_retention_is_reported() {
    let world = healthy_as(with_payload_table()).await;
    set(&world, "orders", QueueAttributeName::MessageRetentionPeriod, "1209600").await;
    let findings = found(&world.aws, settings()).await;
    assert_eq!(problems(&findings), [Problem::LifecycleShort; 2], "also for the bucket: {findings:?}");
    let of_table: Vec<_> = findings.into_iter().filter(|finding| finding.fix.contains("payload-ttl-days")).collect();
    let fix = "`--payload-ttl-days` here, to 63 or more";
    assert_only(&of_table, Problem::LifecycleShort, &["after 50 days", fix]);
}

/// Both tables are checked, and each has a finding for a missing permission.
#[tokio::test]
async fn every_missing_permission_of_endpoints_is_named() {
    let world = healthy_as(with_payload_table()).await;
    for (verb, tables) in
        [("GetItem", 2), ("BatchGetItem", 2), ("PutItem", 2), ("DeleteItem", 2), ("BatchWriteItem", 1)]
    {
        let operation = format!("DynamoDB.{verb}").leak();
        let findings = found(&denied::with_error(&world, denied::denied(operation)), settings()).await;
        assert_eq!(problems(&findings), vec![Problem::PermissionMissing; tables], "{findings:?}");
        let allow = format!("allow `dynamodb:{verb}` on table `slips`");
        assert!(findings[tables - 1].fix.contains(&allow), "{findings:?}");
    }
}
