//! The templates create the same resources as provisioning. The test creates the resources of the
//! templates on the embedded AWS, property by property. Then provisioning has nothing to do.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    PublicAccessBlockConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom_aws::{Aws, AwsSettings, Provisioning, ProvisioningSettings, QueueSettings};
use serde_json::{Value, json};

use crate::{
    embedded::Embedded,
    template::{ACCOUNT, REGION, Template, names, plain},
};

const SHOP: (&str, &str) = ("Application", "shop");

fn number(value: &Value) -> i32 {
    plain(value).parse().unwrap_or_else(|_| panic!("{value} is not a number"))
}

fn is_true(value: &Value) -> bool {
    plain(value) == "true"
}

/// The items of a list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| panic!("{value} is not a list"), Vec::as_slice)
}

/// Asserts that this test handles every property. A property that is added to a template must be
/// created or checked here, too.
fn assert_all_known(properties: &Value, known: &[&str]) {
    let properties = properties.as_object().expect("properties");
    let unknown: Vec<_> = properties.keys().filter(|name| !known.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "this test does not handle these properties: {unknown:?}");
}

async fn make_table(world: &Embedded, table: &Value) {
    let known = ["TableName", "BillingMode", "AttributeDefinitions", "KeySchema", "TimeToLiveSpecification"];
    assert_all_known(table, &[&known[..], &["PointInTimeRecoverySpecification", "DeletionProtectionEnabled"]].concat());
    // The embedded AWS has neither backups nor deletion protection. A table of payloads must never
    // be restored.
    let is_recoverable = is_true(&table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]);
    assert_eq!(is_recoverable, plain(&table["TableName"]) == "shop");
    assert!(is_true(&table["DeletionProtectionEnabled"]));

    let name = plain(&table["TableName"]);
    let mut create = world.dynamodb.create_table().table_name(&name);
    create = create.billing_mode(BillingMode::from(&*plain(&table["BillingMode"])));
    for attribute in list(&table["AttributeDefinitions"]) {
        let definition = AttributeDefinition::builder().attribute_name(plain(&attribute["AttributeName"]));
        let kind = ScalarAttributeType::from(&*plain(&attribute["AttributeType"]));
        create = create.attribute_definitions(definition.attribute_type(kind).build().expect("both are set"));
    }
    for key in list(&table["KeySchema"]) {
        let element = KeySchemaElement::builder().attribute_name(plain(&key["AttributeName"]));
        let kind = KeyType::from(&*plain(&key["KeyType"]));
        create = create.key_schema(element.key_type(kind).build().expect("both are set"));
    }
    create.send().await.expect("the table is made");
    let expiry = &table["TimeToLiveSpecification"];
    let expiry = TimeToLiveSpecification::builder()
        .attribute_name(plain(&expiry["AttributeName"]))
        .enabled(is_true(&expiry["Enabled"]))
        .build();
    let update = world.dynamodb.update_time_to_live().table_name(name);
    update.time_to_live_specification(expiry.expect("both are set")).send().await.expect("expiry is set");
}

async fn make_bucket(world: &Embedded, bucket: &Value) {
    let known = ["BucketName", "PublicAccessBlockConfiguration", "LifecycleConfiguration"];
    assert_all_known(bucket, &[&known[..], &["OwnershipControls", "BucketEncryption"]].concat());
    let name = plain(&bucket["BucketName"]);
    world.s3.create_bucket().bucket(&name).send().await.expect("the bucket is made");
    let block = &bucket["PublicAccessBlockConfiguration"];
    let block = PublicAccessBlockConfiguration::builder()
        .block_public_acls(is_true(&block["BlockPublicAcls"]))
        .ignore_public_acls(is_true(&block["IgnorePublicAcls"]))
        .block_public_policy(is_true(&block["BlockPublicPolicy"]))
        .restrict_public_buckets(is_true(&block["RestrictPublicBuckets"]));
    let put = world.s3.put_public_access_block().bucket(&name);
    put.public_access_block_configuration(block.build()).send().await.expect("public access is blocked");

    let mut rules = BucketLifecycleConfiguration::builder();
    for rule in list(&bucket["LifecycleConfiguration"]["Rules"]) {
        assert_all_known(rule, &["Id", "Status", "ExpirationInDays", "AbortIncompleteMultipartUpload"]);
        let days = number(&rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]);
        let rule = LifecycleRule::builder()
            .id(plain(&rule["Id"]))
            .status(ExpirationStatus::from(&*plain(&rule["Status"])))
            .filter(aws_sdk_s3::types::LifecycleRuleFilter::builder().prefix("").build())
            .expiration(LifecycleExpiration::builder().days(number(&rule["ExpirationInDays"])).build())
            .abort_incomplete_multipart_upload(
                AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build(),
            );
        rules = rules.rules(rule.build().expect("a status"));
    }
    let put = world.s3.put_bucket_lifecycle_configuration().bucket(&name);
    put.lifecycle_configuration(rules.build().expect("rules")).send().await.expect("rules are put");
}

/// Returns the ARN of a queue of the embedded AWS.
async fn arn(world: &Embedded, queue: &str) -> String {
    let url = world.sqs.get_queue_url().queue_name(queue).send().await.expect("the queue exists").queue_url;
    let get = world.sqs.get_queue_attributes().set_queue_url(url).attribute_names(QueueAttributeName::QueueArn);
    get.send().await.expect("its attributes").attributes.expect("attributes")[&QueueAttributeName::QueueArn].clone()
}

async fn make_queue(world: &Embedded, template: &Template, resource: &str) {
    let mut queue = template.properties(resource);
    let attributes = ["FifoQueue", "VisibilityTimeout", "MessageRetentionPeriod", "SqsManagedSseEnabled"];
    let known = [&attributes[..], &["QueueName", "RedrivePolicy", "RedriveAllowPolicy"]].concat();
    assert_all_known(&queue, &known);
    if let Some(target) = queue.pointer_mut("/RedrivePolicy/deadLetterTargetArn") {
        assert_eq!(target, "DeadLetterQueue.Arn");
        *target = arn(world, &plain(&template.properties("DeadLetterQueue")["QueueName"])).await.into();
    }
    let mut create = world.sqs.create_queue().queue_name(plain(&queue["QueueName"]));
    for (name, value) in queue.as_object().expect("properties") {
        if name != "QueueName" {
            create = create.attributes(QueueAttributeName::from(name.as_str()), plain(value));
        }
    }
    create.send().await.unwrap_or_else(|error| panic!("{resource}: {error:?}"));
}

/// Returns provisioning with these settings, for the names that the templates use.
fn provisioning(world: &Embedded, settings: ProvisioningSettings) -> Provisioning {
    let bucket = format!("shop-payloads-{ACCOUNT}-{REGION}");
    let queues = QueueSettings { prefix: "shop-".to_owned(), ..QueueSettings::default() };
    let payload_table = Some("shop-payloads".to_owned());
    let names = AwsSettings { payload_table, queues, ..AwsSettings::new("shop", bucket) };
    let aws = Aws::new(world.dynamodb.clone(), world.s3.clone(), world.sqs.clone(), names).expect("valid names");
    Provisioning::new(&aws, settings).expect("valid settings")
}

#[tokio::test]
async fn provisioning_after_the_templates_has_nothing_to_do() {
    let world = Embedded::empty().await;
    let data = Template::read("data.yaml", &[SHOP]);
    make_table(&world, &data.properties("Table")).await;
    make_table(&world, &data.properties("PayloadTable")).await;
    make_bucket(&world, &data.properties("Bucket")).await;
    for suffix in ["", ".fifo"] {
        let template = Template::read("queue.yaml", &[SHOP, ("Queue", "orders"), ("Suffix", suffix)]);
        make_queue(&world, &template, "DeadLetterQueue").await;
        make_queue(&world, &template, "WorkQueue").await;
    }
    let queues = vec!["orders".to_owned(), "orders.fifo".to_owned()];
    let plan = provisioning(&world, ProvisioningSettings { queues, ..ProvisioningSettings::default() }).plan().await;
    let plan = plan.expect("provisioning can use the resources of the templates");
    assert!(plan.is_empty(), "provisioning would change this:\n{plan}");
}

/// The template and provisioning have the same minimum of the payload expiry. A shorter expiry
/// could lose messages.
#[test]
fn minimum_expiry_of_the_template_is_that_of_provisioning() {
    let data = Template::read("data.yaml", &[SHOP]);
    let expiry_days = data.parameter("ExpiryDays", "MinValue").as_u64().and_then(|days| days.try_into().ok());
    let least = ProvisioningSettings { expiry_days: expiry_days.expect("a number"), ..ProvisioningSettings::default() };
    let naming = QueueSettings::default();
    least.validate(&naming).expect("the minimum of the template is valid");
    let less = ProvisioningSettings { expiry_days: least.expiry_days - 1, ..least };
    less.validate(&naming).expect_err("less than the minimum is invalid");
}

/// Unencrypted requests are refused. Payloads are encrypted with the application's KMS key, if it
/// has one.
#[test]
fn stored_data_is_encrypted() {
    let (key, data) = ("arn:aws:kms:us-east-1:000000000000:key/k", "data.yaml");
    let encryption = |template: Template| {
        template.properties("Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0].clone()
    };
    let expected = json!({ "ServerSideEncryptionByDefault": { "SSEAlgorithm": "AES256" } });
    assert_eq!(encryption(Template::read(data, &[SHOP])), expected);
    let table =
        Template::read(data, &[SHOP, ("KmsKeyArn", key)]).properties("PayloadTable")["SSESpecification"].clone();
    assert_eq!(table, json!({ "SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": key }));
    let own = json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key });
    let expected = json!({ "ServerSideEncryptionByDefault": own, "BucketKeyEnabled": true });
    assert_eq!(encryption(Template::read(data, &[SHOP, ("KmsKeyArn", key)])), expected);

    let queue = Template::read("queue.yaml", &[SHOP, ("Queue", "orders")]);
    for (template, policy) in [
        (&Template::read(data, &[SHOP]), "BucketPolicy"),
        (&queue, "WorkQueuePolicy"),
        (&queue, "DeadLetterQueuePolicy"),
    ] {
        let statement = template.properties(policy)["PolicyDocument"]["Statement"][0].clone();
        assert_eq!((&statement["Effect"], &statement["Principal"]), (&json!("Deny"), &json!("*")), "{policy}");
        assert_eq!(statement["Condition"], json!({ "Bool": { "aws:SecureTransport": "false" } }), "{policy}");
    }
}

/// Only its work queue may use a queue as its dead-letter queue.
#[test]
fn a_dead_letter_queue_belongs_to_one_queue() {
    for suffix in ["", ".fifo"] {
        let template = Template::read("queue.yaml", &[SHOP, ("Queue", "orders"), ("Suffix", suffix)]);
        let allowed = template.properties("DeadLetterQueue")["RedriveAllowPolicy"].clone();
        let name = plain(&template.properties("WorkQueue")["QueueName"]);
        let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}");
        assert_eq!(allowed, json!({ "redrivePermission": "byQueue", "sourceQueueArns": [arn] }));
    }
}

/// Deleting a stack or renaming its resources deletes no data.
#[test]
fn data_outlives_its_stack() {
    let kinds = ["AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue"];
    let of_kind = |template: &Template| kinds.map(|kind| template.of_type(kind)).concat();
    let mut stores = 0;
    for name in names() {
        let template = Template::read(&name, &[SHOP]);
        for (resource, _) in of_kind(&template) {
            let policies =
                ["DeletionPolicy", "UpdateReplacePolicy"].map(|field| template.resource_field(&resource, field));
            assert!(policies.iter().all(|policy| policy.starts_with("Retain")), "{name}: {resource}: {policies:?}");
            stores += 1;
        }
    }
    assert_eq!(stores, 5, "two tables, a bucket and two queues");
}
