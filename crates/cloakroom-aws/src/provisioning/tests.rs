use super::*;
use crate::{
    AwsSettings, QueueSettings,
    scripted::{Script, dynamodb, refusal, reply, run, s3, s3_refusal, sqs},
};

fn field_at_fault(settings: &ProvisioningSettings) -> String {
    let naming = QueueSettings { prefix: "test-".to_owned(), ..QueueSettings::default() };
    settings.validate(&naming).map_or_else(|error| error.field().to_owned(), |()| "none".to_owned())
}

fn of_queues(queues: &[&str]) -> ProvisioningSettings {
    let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
    ProvisioningSettings { queues, ..ProvisioningSettings::default() }
}

#[test]
fn the_defaults_are_valid() {
    assert_eq!(field_at_fault(&ProvisioningSettings::default()), "none");
    let longest = "q".repeat(80 - "test--dead.fifo".len());
    assert_eq!(field_at_fault(&of_queues(&["orders", "a_B-1", &format!("{longest}.fifo")])), "none");
}

#[test]
fn queues_that_cannot_be_are_named() {
    let longest = "q".repeat(80 - "test--dead".len());
    for queues in [
        &[""][..],
        &[".fifo"],
        &["a b"],
        &["a.b"],
        &["a", "a"],
        &["a", "a-dead"],
        &["a-dead", "a"],
        &["a-dead"],
        &["a-dead.fifo"],
        &[&*format!("{longest}x")],
    ] {
        assert_eq!(field_at_fault(&of_queues(queues)), "queues", "{queues:?}");
    }
}

#[test]
fn the_field_at_fault_is_named() {
    let default = ProvisioningSettings::default;
    for (field, settings) in [
        ("visibility_s", ProvisioningSettings { visibility_s: 43_201, ..default() }),
        ("retention_s", ProvisioningSettings { retention_s: 59, ..default() }),
        ("retention_s", ProvisioningSettings { retention_s: 1_209_601, ..default() }),
        ("dead_letter_retention_s", ProvisioningSettings { dead_letter_retention_s: 345_599, ..default() }),
        ("attempts_max", ProvisioningSettings { attempts_max: 0, ..default() }),
        ("receives_max", ProvisioningSettings { receives_max: 8, ..default() }),
        ("receives_max", ProvisioningSettings { attempts_max: 16, ..default() }),
        // Twice 4 and 14 days, and a week.
        ("expiry_days", ProvisioningSettings { expiry_days: 42, ..default() }),
        ("none", ProvisioningSettings { expiry_days: 43, ..default() }),
        ("none", ProvisioningSettings { receives_max: 9, ..default() }),
    ] {
        assert_eq!(field_at_fault(&settings), field, "{settings:?}");
    }
}

/// Provisioning over scripts of the three services.
fn provisioning(scripts: &[Script; 3], settings: ProvisioningSettings) -> Provisioning {
    let [tables, buckets, queues] = scripts;
    let settings_of_aws = AwsSettings::new("things", "coats");
    let aws = Aws::new(dynamodb(tables), s3(buckets), sqs(queues), settings_of_aws).unwrap();
    Provisioning::new(&aws, settings).unwrap()
}

fn region_asked_for(region: &'static str) -> Option<String> {
    let bucket = Script::new([reply(200, "")]);
    let scripts = [Script::new([]), bucket.clone(), Script::new([])];
    let mut provisioning = provisioning(&scripts, ProvisioningSettings::default());
    let config = provisioning.aws.s3.config().to_builder().region(aws_sdk_s3::config::Region::new(region));
    provisioning.aws.s3 = aws_sdk_s3::Client::from_conf(config.build());
    run(provisioning.create_bucket()).unwrap();
    let body = bucket.seen().remove(0).body;
    let (_, rest) = body.split_once("<LocationConstraint>")?;
    rest.split_once("</LocationConstraint>").map(|(region, _)| region.to_owned())
}

#[test]
fn every_region_but_the_oldest_is_named() {
    assert_eq!(region_asked_for("us-east-1"), None);
    assert_eq!(region_asked_for("eu-central-1"), Some("eu-central-1".to_owned()));
}

#[test]
fn recovery_is_turned_on_where_it_is_wanted() {
    let table = r#"{ "Table": { "TableName": "things", "TableStatus": "ACTIVE",
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }, { "AttributeName": "sk", "KeyType": "RANGE" }],
        "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" },
                                 { "AttributeName": "sk", "AttributeType": "S" }] } }"#;
    let expiry = r#"{ "TimeToLiveDescription":
        { "TimeToLiveStatus": "ENABLING", "AttributeName": "cloakroom_expires" } }"#;
    let backups = |status: &str| {
        let recovery = format!(r#"{{ "PointInTimeRecoveryStatus": "{status}" }}"#);
        let text =
            format!(r#"{{ "ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": {recovery} }}"#);
        reply(200, format!(r#"{{ "ContinuousBackupsDescription": {text} }}"#))
    };
    let tables = Script::new([
        reply(200, table),
        reply(200, expiry),
        backups("DISABLED"),
        reply(200, table),
        reply(200, expiry),
        backups("ENABLED"),
    ]);
    let scripts = [tables, Script::new([]), Script::new([])];
    let settings = ProvisioningSettings { point_in_time_recovery: true, ..ProvisioningSettings::default() };
    let provisioning = provisioning(&scripts, settings);
    let recover = Change::KeepRecoverable { table: "things".to_owned() };
    assert_eq!(run(provisioning.table_changes()).unwrap(), [recover]);
    assert_eq!(run(provisioning.table_changes()).unwrap(), []);
}

#[test]
fn a_bucket_of_somebody_else_is_not_taken_for_a_missing_one() {
    for status in [301, 403] {
        let scripts = [Script::new([]), Script::new([reply(status, "")]), Script::new([])];
        let provisioning = provisioning(&scripts, ProvisioningSettings::default());
        let error = run(provisioning.bucket_changes()).unwrap_err();
        assert!(!error.may_be_repeated(), "{error}");
    }
}

#[test]
fn a_versioned_bucket_is_refused_and_one_that_was_versioned_is_not() {
    let changes = |status: &str| {
        let versioning = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        let not_there = || s3_refusal(404, "NoSuchPublicAccessBlockConfiguration");
        let bucket = Script::new([
            reply(200, ""),
            reply(200, versioning),
            not_there(),
            s3_refusal(404, "NoSuchLifecycleConfiguration"),
            reply(200, "<ListBucketResult/>"),
        ]);
        let provisioning = provisioning(&[Script::new([]), bucket, Script::new([])], ProvisioningSettings::default());
        run(provisioning.bucket_changes())
    };
    let error = changes("Enabled").unwrap_err();
    assert!(!error.may_be_repeated(), "{error}");
    assert!(error.to_string().contains("versioning is Enabled"), "{error}");
    assert_eq!(changes("Suspended").unwrap().len(), 2, "its queues can be made");
}

#[test]
fn a_change_that_fails_for_good_is_not_tried_again() {
    let nothing = || refusal(400, "QueueDoesNotExist");
    let queues = Script::new([nothing(), nothing(), refusal(403, "AccessDenied"), nothing(), nothing()]);
    let table = || refusal(400, "ResourceNotFoundException");
    let bucket = || s3_refusal(404, "NotFound");
    let scripts = [Script::new([table(), table()]), Script::new([bucket(), bucket()]), queues];
    let provisioning = provisioning(&scripts, of_queues(&["orders"]));
    let change = run(provisioning.queue_changes()).unwrap().remove(0);
    let error = run(provisioning.make(&change, false)).unwrap_err();
    assert!(error.to_string().contains("sqs:CreateQueue on queue `orders-dead`"), "{error}");
}
