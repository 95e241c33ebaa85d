//! Faults of table, bucket and queues.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ProvisionedThroughput,
    ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Transition, TransitionStorageClass,
    VersioningConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName as Name;
use cloakroom::{Timestamp, ports::Clock};
use cloakroom_aws::{DiagnosisSettings, Problem, TokioClock};

use super::{assert_only, found, healthy, problems, set, settings, url, with_names};
use crate::embedded::Embedded;

/// A clock that is ahead by this duration.
#[derive(Debug)]
pub(super) struct Ahead(pub(super) Duration);

#[async_trait]
impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        TokioClock.now().after(self.0)
    }

    async fn sleep(&self, duration: Duration) {
        TokioClock.sleep(duration).await;
    }
}

async fn expire_by(world: &Embedded, attribute: &str, on: bool) {
    let expiry = TimeToLiveSpecification::builder().enabled(on).attribute_name(attribute).build().unwrap();
    let update = world.dynamodb.update_time_to_live().table_name("things").time_to_live_specification(expiry);
    update.send().await.unwrap();
}

#[tokio::test]
async fn a_missing_table_is_named_with_its_region() {
    let world = healthy().await;
    let findings = found(&with_names(&world, "nothing", "coats"), settings()).await;
    let fix = "cloakroom provision --table nothing --bucket coats --queue orders --queue audit.fifo";
    assert_only(&findings, Problem::TableMissing, &["table `nothing`", "us-east-1", fix]);
}

#[tokio::test]
async fn table_with_other_keys_and_provisioned_capacity_is_reported() {
    let world = healthy().await;
    let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
    let capacity = ProvisionedThroughput::builder().read_capacity_units(1).write_capacity_units(1);
    let create = world.dynamodb.create_table().table_name("odd").billing_mode(BillingMode::Provisioned);
    let create = create.attribute_definitions(id.build().unwrap()).key_schema(key.build().unwrap());
    create.provisioned_throughput(capacity.build().unwrap()).deletion_protection_enabled(true).send().await.unwrap();
    let findings = found(&with_names(&world, "odd", "coats"), settings()).await;
    let expected = [Problem::TableKeys, Problem::TableProvisioned, Problem::TableExpiryOff, Problem::TableRecoveryOff];
    assert_eq!(problems(&findings), expected, "{findings:?}");
    assert!(findings[0].text.contains("but id") && findings[0].fix.contains("another table"), "{findings:?}");
}

#[tokio::test]
async fn disabled_time_to_live_is_reported() {
    let world = healthy().await;
    expire_by(&world, "cloakroom_expires", false).await;
    assert_only(
        &found(&world.aws, settings()).await,
        Problem::TableExpiryOff,
        &["table `things`", "cloakroom provision"],
    );
}

#[tokio::test]
async fn time_to_live_on_a_foreign_attribute_is_reported() {
    let world = healthy().await;
    expire_by(&world, "cloakroom_expires", false).await;
    expire_by(&world, "gone_at", true).await;
    let fix = "Enabled=false,AttributeName=gone_at";
    assert_only(&found(&world.aws, settings()).await, Problem::TableExpiryForeign, &["`gone_at`", fix]);
}

#[tokio::test]
async fn item_of_another_layout_is_reported_without_its_contents() {
    let world = healthy().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put =
        world.dynamodb.put_item().table_name("things").item("pk", text("order#1")).item("sk", text("state#orders"));
    put.item("secret", text("s3cret")).send().await.unwrap();
    let findings = found(&world.aws, settings()).await;
    assert_only(&findings, Problem::TableLayout, &["`state#orders`", "cloakroom_version"]);
    let text = format!("{findings:?}");
    assert!(!text.contains("s3cret") && !text.contains("order#1"), "{text}");
}

#[tokio::test]
async fn table_without_deletion_protection_is_reported() {
    let world = healthy().await;
    world.dynamodb.update_table().table_name("things").deletion_protection_enabled(false).send().await.unwrap();
    let fix = "aws dynamodb update-table --table-name things --deletion-protection-enabled";
    assert_only(&found(&world.aws, settings()).await, Problem::TableUnprotected, &[fix]);
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let world = healthy().await;
    let findings = found(&with_names(&world, "things", "nowhere"), settings()).await;
    assert_only(&findings, Problem::BucketMissing, &["bucket `nowhere`", "us-east-1", "cloakroom provision"]);
}

#[tokio::test]
async fn bucket_that_was_versioned_is_reported() {
    let world = healthy().await;
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let put = world.s3.put_bucket_versioning().bucket("coats").versioning_configuration(suspended);
    put.send().await.unwrap();
    assert_only(
        &found(&world.aws, settings()).await,
        Problem::BucketOnceVersioned,
        &["bucket `coats`", "never was versioned"],
    );
}

#[tokio::test]
async fn bucket_without_public_access_block_is_reported() {
    let world = healthy().await;
    let block = PublicAccessBlockConfiguration::builder().block_public_acls(true).build();
    let put = world.s3.put_public_access_block().bucket("coats").public_access_block_configuration(block);
    put.send().await.unwrap();
    assert_only(
        &found(&world.aws, settings()).await,
        Problem::BucketPublic,
        &["bucket `coats`", "cloakroom provision"],
    );
}

fn rule(id: &str, days: i32) -> LifecycleRule {
    let filter = LifecycleRuleFilter::builder().prefix("").build();
    let expiration = LifecycleExpiration::builder().days(days).build();
    let rule = LifecycleRule::builder().id(id).status(ExpirationStatus::Enabled).filter(filter);
    rule.expiration(expiration).build().unwrap()
}

async fn put_rules(world: &Embedded, rules: Vec<LifecycleRule>) {
    let rules = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().unwrap();
    let put = world.s3.put_bucket_lifecycle_configuration().bucket("coats").lifecycle_configuration(rules);
    put.send().await.unwrap();
}

#[tokio::test]
async fn payload_expiry_shorter_than_the_queue_retention_is_reported() {
    let world = healthy().await;
    put_rules(&world, vec![rule("cloakroom", 50), rule("hasty", 42)]).await;
    let findings = found(&world.aws, settings()).await;
    assert_only(&findings, Problem::LifecycleShort, &["`hasty`", "after 42 days", "at least 46 days"]);
    put_rules(&world, vec![rule("cloakroom", 46)]).await;
    assert_eq!(found(&world.aws, settings()).await, []);
}

/// The required expiry follows from the actual retention of the queues, not from the default.
#[tokio::test]
async fn payload_expiry_is_checked_against_the_actual_queue_retention() {
    let world = healthy().await;
    set(&world, "orders", Name::MessageRetentionPeriod, "1209600").await;
    assert_only(&found(&world.aws, settings()).await, Problem::LifecycleShort, &["for 63 days", "--expiry-days 63"]);
}

#[tokio::test]
async fn lifecycle_rule_that_archives_payloads_is_reported() {
    let world = healthy().await;
    let transition = Transition::builder().days(1).storage_class(TransitionStorageClass::Glacier).build();
    let mut archive = rule("archive", 90);
    archive.transitions = Some(vec![transition]);
    put_rules(&world, vec![rule("cloakroom", 50), archive]).await;
    assert_only(&found(&world.aws, settings()).await, Problem::LifecycleArchives, &["`archive`", "remove the rule"]);
}

#[tokio::test]
async fn bucket_of_which_only_a_part_expires_is_reported() {
    let world = healthy().await;
    let mut part = rule("part", 50);
    part.filter = Some(LifecycleRuleFilter::builder().prefix("logs/").build());
    put_rules(&world, vec![part]).await;
    assert_only(
        &found(&world.aws, settings()).await,
        Problem::LifecycleMissing,
        &["bucket `coats`", "cloakroom provision"],
    );
}

#[tokio::test]
async fn bucket_with_foreign_objects_is_reported() {
    let world = healthy().await;
    world.s3.put_object().bucket("coats").key("photos/1.jpg").send().await.unwrap();
    assert_only(&found(&world.aws, settings()).await, Problem::BucketShared, &["`photos/1.jpg`", "of its own"]);
}

#[tokio::test]
async fn keys_of_kms_are_noted() {
    let world = healthy().await;
    let default = ServerSideEncryptionByDefault::builder().sse_algorithm(ServerSideEncryption::AwsKms);
    let default = default.kms_master_key_id("alias/coats").build().unwrap();
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(default).build();
    let all = ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
    let put = world.s3.put_bucket_encryption().bucket("coats").server_side_encryption_configuration(all);
    put.send().await.unwrap();
    assert_only(
        &found(&world.aws, settings()).await,
        Problem::BucketKms,
        &["alias/coats", "kms:Decrypt", "bucket key"],
    );
}

#[tokio::test]
async fn missing_queue_is_reported_with_its_name_in_sqs() {
    let world = healthy().await;
    world.sqs.delete_queue().queue_url(url(&world, "orders").await).send().await.unwrap();
    assert_only(&found(&world.aws, settings()).await, Problem::QueueMissing, &["queue `orders`", "--queue orders"]);
}

#[tokio::test]
async fn a_missing_dead_letter_queue_is_named() {
    let world = healthy().await;
    world.sqs.delete_queue().queue_url(url(&world, "audit-dead.fifo").await).send().await.unwrap();
    let words = ["queue `audit-dead.fifo`", "of `audit.fifo`", "cloakroom provision"];
    assert_only(&found(&world.aws, settings()).await, Problem::DeadLetterQueueMissing, &words);
}

fn policy(queue: &str, receives: u32) -> String {
    let arn = format!("arn:aws:sqs:us-east-1:000000000000:{queue}");
    format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{receives}"}}"#)
}

#[tokio::test]
async fn missing_or_wrong_redrive_policy_is_reported() {
    let world = healthy().await;
    set(&world, "orders", Name::RedrivePolicy, "").await;
    assert_only(
        &found(&world.aws, settings()).await,
        Problem::RedriveMissing,
        &["queue `orders`", "cloakroom provision"],
    );
    world.sqs.create_queue().queue_name("graveyard").send().await.unwrap();
    set(&world, "orders", Name::RedrivePolicy, &policy("graveyard", 16)).await;
    assert_only(&found(&world.aws, settings()).await, Problem::RedriveElsewhere, &["`graveyard`", "`orders-dead`"]);
}

#[tokio::test]
async fn receive_limit_below_the_attempts_is_reported() {
    let world = healthy().await;
    set(&world, "orders", Name::RedrivePolicy, &policy("orders-dead", 8)).await;
    let words = ["queue `orders`", "after 8 receives", "--attempts-max 8 --receives-max 16"];
    assert_only(&found(&world.aws, settings()).await, Problem::ReceivesLow, &words);
    let fewer_attempts = DiagnosisSettings { attempts_max: 7, ..settings() };
    assert_eq!(found(&world.aws, fewer_attempts).await, []);
}

#[tokio::test]
async fn function_timeout_above_the_visibility_timeout_is_reported() {
    let world = healthy().await;
    let function = |timeout| DiagnosisSettings {
        queues: vec!["orders".to_owned()],
        lambda_timeout_s: Some(timeout),
        ..DiagnosisSettings::default()
    };
    assert_eq!(found(&world.aws, function(5)).await, []);
    assert_only(
        &found(&world.aws, function(6)).await,
        Problem::VisibilityTight,
        &["queue `orders`", "--visibility-s 36"],
    );
    assert_only(
        &found(&world.aws, function(31)).await,
        Problem::VisibilityShort,
        &["queue `orders`", "--visibility-s 186"],
    );
}

#[tokio::test]
async fn attempt_limit_above_the_maximum_visibility_timeout_is_reported() {
    let world = healthy().await;
    let slow =
        DiagnosisSettings { queues: vec!["orders".to_owned()], attempt_s_max: 43_201, ..DiagnosisSettings::default() };
    assert_only(&found(&world.aws, slow).await, Problem::AttemptLong, &["43201", "`attempt_ms_max`"]);
}

#[tokio::test]
async fn queue_with_a_small_maximum_message_size_is_reported() {
    let world = healthy().await;
    set(&world, "orders", Name::MaximumMessageSize, "262144").await;
    let words = ["queue `orders`", "`limits.message_bytes_max` to 262144"];
    assert_only(&found(&world.aws, settings()).await, Problem::MessageSize, &words);
}

#[tokio::test]
async fn dead_letters_are_counted() {
    let world = healthy().await;
    let queue = url(&world, "orders-dead").await;
    for body in ["foreign", "not JSON either"] {
        world.sqs.send_message().queue_url(&queue).message_body(body).send().await.unwrap();
    }
    let words = ["queue `orders-dead`", "about 2 dead letters", "cloakroom dlq list"];
    assert_only(&found(&world.aws, settings()).await, Problem::DeadLetters, &words);
}

#[tokio::test]
async fn dead_letter_queue_with_a_shorter_retention_is_reported() {
    let world = healthy().await;
    set(&world, "orders-dead", Name::MessageRetentionPeriod, "345599").await;
    let words = ["queue `orders-dead`", "`orders` after 345600", "--retention-s 345600"];
    assert_only(&found(&world.aws, settings()).await, Problem::DeadLetterRetentionShort, &words);
}

#[tokio::test]
async fn dead_letter_queue_that_refuses_messages_is_reported() {
    let world = healthy().await;
    set(&world, "orders-dead", Name::RedriveAllowPolicy, r#"{"redrivePermission":"denyAll"}"#).await;
    assert_only(&found(&world.aws, settings()).await, Problem::RedriveRefused, &["queue `orders-dead`", "allowAll"]);
}

#[tokio::test]
async fn unencrypted_queue_and_delayed_queue_are_noted() {
    let world = healthy().await;
    set(&world, "orders", Name::SqsManagedSseEnabled, "false").await;
    assert_only(
        &found(&world.aws, settings()).await,
        Problem::QueuePlain,
        &["queue `orders`", "`SqsManagedSseEnabled`"],
    );
    set(&world, "orders", Name::KmsMasterKeyId, "alias/orders").await;
    assert_only(&found(&world.aws, settings()).await, Problem::QueueKms, &["alias/orders", "kms:Decrypt"]);
    set(&world, "orders", Name::KmsMasterKeyId, "").await;
    set(&world, "orders", Name::SqsManagedSseEnabled, "true").await;
    set(&world, "orders", Name::DelaySeconds, "5").await;
    assert_only(&found(&world.aws, settings()).await, Problem::QueueDelays, &["queue `orders`", "5 seconds"]);
}
