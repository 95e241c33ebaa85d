//! Provisioning of an empty account, a second time, concurrently, and on resources of other
//! applications.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom::PortError;
use cloakroom_aws::{AwsSettings, Provisioning, ProvisioningSettings};

use crate::embedded::{Embedded, with_payload_table};

const QUEUES: &[&str] = &["orders", "audit.fifo"];

fn lines(plan: &cloakroom_aws::Plan) -> Vec<String> {
    plan.to_string().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn provisioning_creates_every_resource_once() {
    let world = Embedded::empty().await;
    let provisioning = world.provisioning(QUEUES);
    let plan = provisioning.plan().await.unwrap();
    assert_eq!(
        lines(&plan),
        [
            "create table `things`",
            "turn time to live on for table `things`",
            "create bucket `coats`",
            "block public access to bucket `coats`",
            "let the objects of bucket `coats` expire after 50 days",
            "create queue `orders-dead`",
            "create queue `orders`",
            "create queue `audit-dead.fifo`",
            "create queue `audit.fifo`",
        ]
    );
    assert_eq!(provisioning.apply().await.unwrap(), plan);
    assert!(provisioning.plan().await.unwrap().is_empty());
    let before = world.local.usage();
    assert!(provisioning.apply().await.unwrap().is_empty());
    let used = world.local.usage().since(&before);
    let requests = [used.dynamodb.requests, used.s3.requests, used.sqs.requests];
    let mut names = requests.iter().flat_map(|requests| requests.keys());
    assert!(names.all(|name| ["Describe", "Get", "Head"].iter().any(|read| name.starts_with(read))), "{requests:?}");
}

#[tokio::test]
async fn concurrent_provisionings_do_not_disturb_each_other() {
    let world = Embedded::empty().await;
    let (one, other) = (world.provisioning(QUEUES), world.provisioning(QUEUES));
    let (made, made_too) = futures::join!(one.apply(), other.apply());
    let made = made.unwrap().changes.len() + made_too.unwrap().changes.len();
    assert!(made >= 9, "{made} changes were made");
    assert!(one.plan().await.unwrap().is_empty());
}

#[tokio::test]
async fn queues_have_the_configured_attributes() {
    let world = Embedded::start(QUEUES).await;
    let url = world.sqs.get_queue_url().queue_name("audit.fifo").send().await.unwrap().queue_url.unwrap();
    let get = world.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
    let attributes = get.send().await.unwrap().attributes.unwrap();
    assert_eq!(attributes[&QueueAttributeName::MessageRetentionPeriod], "345600");
    assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], "30");
    assert_eq!(attributes[&QueueAttributeName::FifoQueue], "true");
    let redrive = &attributes[&QueueAttributeName::RedrivePolicy];
    assert!(redrive.contains(":audit-dead.fifo\"") && redrive.contains("\"maxReceiveCount\":1000"), "{redrive}");
}

#[tokio::test]
async fn a_queue_with_other_attributes_is_changed() {
    let world = Embedded::start(QUEUES).await;
    let queues = vec!["orders".to_owned()];
    let settings = ProvisioningSettings {
        queues,
        visibility_s: Some(60),
        receives_max: Some(20),
        ..ProvisioningSettings::default()
    };
    let provisioning = world.provisioning_of(settings);
    assert_eq!(
        lines(&provisioning.apply().await.unwrap()),
        [
            "set queue `orders-dead`: VisibilityTimeout from 30 to 60",
            "set queue `orders`: RedrivePolicy from `orders-dead` after 16 receives to `orders-dead` after 20 receives, \
         VisibilityTimeout from 30 to 60",
        ]
    );
    assert!(provisioning.plan().await.unwrap().is_empty());
}

/// Asserts that both plan and apply fail with an error that contains `text`.
async fn assert_refused(world: &Embedded, text: &str) {
    let provisioning = world.provisioning(&[]);
    let errors: [PortError; 2] = [provisioning.plan().await.unwrap_err(), provisioning.apply().await.unwrap_err()];
    for error in errors {
        assert!(!error.may_be_repeated() && error.to_string().contains(text), "{error}");
    }
}

async fn make_table(world: &Embedded, keys: &[&str]) {
    let mut create = world.dynamodb.create_table().table_name("things").billing_mode(BillingMode::PayPerRequest);
    for (name, role) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
        let definition = AttributeDefinition::builder().attribute_name(*name).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(*name).key_type(role);
        create = create.attribute_definitions(definition.build().unwrap()).key_schema(key.build().unwrap());
    }
    create.send().await.unwrap();
}

#[tokio::test]
async fn a_table_with_other_keys_is_refused() {
    for keys in [&["id"][..], &["sk", "pk"], &["pk"]] {
        let world = Embedded::empty().await;
        make_table(&world, keys).await;
        assert_refused(&world, &format!("other keys ({})", keys.join(", "))).await;
    }
}

#[tokio::test]
async fn table_without_time_to_live_is_completed() {
    let world = Embedded::empty().await;
    make_table(&world, &["pk", "sk"]).await;
    let made = world.provisioning(&[]).apply().await.unwrap();
    assert_eq!(lines(&made)[0], "turn time to live on for table `things`");
}

#[tokio::test]
async fn a_table_that_expires_by_another_attribute_is_refused() {
    let world = Embedded::empty().await;
    make_table(&world, &["pk", "sk"]).await;
    let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name("gone_at").build().unwrap();
    let update = world.dynamodb.update_time_to_live().table_name("things").time_to_live_specification(expiry);
    update.send().await.unwrap();
    assert_refused(&world, "`gone_at`").await;
}

#[tokio::test]
async fn payload_table_is_created_if_it_is_configured() {
    let world = Embedded::of(with_payload_table()).await;
    let settings = ProvisioningSettings { point_in_time_recovery: true, ..ProvisioningSettings::default() };
    let provisioning = world.provisioning_of(settings);
    let made = lines(&provisioning.apply().await.unwrap());
    let expected = [
        "create table `things`",
        "turn time to live on for table `things`",
        "turn point-in-time recovery on for table `things`",
        "create table `slips`",
        "turn time to live on for table `slips`",
        "create bucket `coats`",
    ];
    assert_eq!(
        made[..6],
        expected,
        "the payload table has no point-in-time recovery, because a restored payload would be processed again"
    );
    assert!(provisioning.plan().await.unwrap().is_empty());
    let expiry = world.dynamodb.describe_time_to_live().table_name("slips").send().await.unwrap();
    assert_eq!(expiry.time_to_live_description.unwrap().attribute_name.as_deref(), Some("x"));
}

#[tokio::test]
async fn a_payload_table_with_other_keys_is_refused() {
    for kind in [ScalarAttributeType::S, ScalarAttributeType::N] {
        let world = Embedded::of(with_payload_table()).await;
        let key = KeySchemaElement::builder().attribute_name("k").key_type(KeyType::Hash).build().unwrap();
        let definition = AttributeDefinition::builder().attribute_name("k").attribute_type(kind).build().unwrap();
        let create = world.dynamodb.create_table().table_name("slips").billing_mode(BillingMode::PayPerRequest);
        create.key_schema(key).attribute_definitions(definition).send().await.unwrap();
        assert_refused(&world, "other keys (k); Cloakroom needs the bytes `k`").await;
    }
}

/// The time to live is written into the items, so the settings are checked against the retention of
/// the queues.
#[tokio::test]
async fn payload_expiry_shorter_than_the_queue_retention_is_refused() {
    let longer = ProvisioningSettings { retention_s: 1_209_600, expiry_days: 63, ..ProvisioningSettings::default() };
    let world = Embedded::of(with_payload_table()).await;
    let error = Provisioning::new(&world.aws, longer.clone()).unwrap_err();
    assert_eq!(error.field(), "payload_ttl_days");
    assert!(error.to_string().contains("from 63 to 3650"), "{error}");
    let world = Embedded::of(AwsSettings { payload_table: None, ..with_payload_table() }).await;
    assert!(Provisioning::new(&world.aws, longer).is_ok(), "without a payload table there are no items to expire");
}

#[tokio::test]
async fn bucket_with_foreign_objects_is_refused() {
    let world = Embedded::empty().await;
    world.s3.create_bucket().bucket("coats").send().await.unwrap();
    world.s3.put_object().bucket("coats").key("photos/1.jpg").send().await.unwrap();
    assert_refused(&world, "object `photos/1.jpg`").await;
}

async fn put_rule(world: &Embedded, id: &str, days: i32) {
    let rule = LifecycleRule::builder()
        .id(id)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("x").build())
        .expiration(LifecycleExpiration::builder().days(days).build());
    let rules = BucketLifecycleConfiguration::builder().rules(rule.build().unwrap()).build().unwrap();
    let put = world.s3.put_bucket_lifecycle_configuration().bucket("coats").lifecycle_configuration(rules);
    put.send().await.unwrap();
}

#[tokio::test]
async fn foreign_lifecycle_rules_stay_unless_they_lose_messages() {
    let world = Embedded::empty().await;
    world.s3.create_bucket().bucket("coats").send().await.unwrap();
    put_rule(&world, "others", 90).await;
    world.provisioning(&[]).apply().await.unwrap();
    let rules = world.s3.get_bucket_lifecycle_configuration().bucket("coats").send().await.unwrap().rules.unwrap();
    let ids: Vec<_> = rules.iter().map(|rule| rule.id().unwrap()).collect();
    assert_eq!(ids, ["others", "cloakroom"]);
    put_rule(&world, "hasty", 44).await;
    assert_refused(&world, "`hasty`").await;
}

/// Provisioning never shortens a retention or an expiry. SQS and S3 would delete data, and other
/// applications may rely on it.
#[tokio::test]
async fn a_retention_is_never_made_shorter() {
    let world = Embedded::empty().await;
    let long = ProvisioningSettings {
        queues: vec!["orders".to_owned()],
        retention_s: 1_209_600,
        expiry_days: 90,
        ..ProvisioningSettings::default()
    };
    world.provisioning_of(long).apply().await.unwrap();
    let other = ProvisioningSettings {
        queues: vec!["orders".to_owned()],
        visibility_s: Some(60),
        ..ProvisioningSettings::default()
    };
    let changed = world.provisioning_of(other).apply().await.unwrap();
    let only_visibility = |line: &String| line.contains("VisibilityTimeout") && !line.contains("Retention");
    assert!(lines(&changed).iter().all(only_visibility), "{changed}");
    let url = world.sqs.get_queue_url().queue_name("orders").send().await.unwrap().queue_url.unwrap();
    let get = world.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
    let attributes = get.send().await.unwrap().attributes.unwrap();
    assert_eq!(attributes[&QueueAttributeName::MessageRetentionPeriod], "1209600");
    let rules = world.s3.get_bucket_lifecycle_configuration().bucket("coats").send().await.unwrap().rules.unwrap();
    assert_eq!(rules[0].expiration().and_then(LifecycleExpiration::days), Some(90));
}
