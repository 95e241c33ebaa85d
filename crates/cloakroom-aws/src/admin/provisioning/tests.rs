use crate::{
    admin::provisioning::settings::{ATTEMPTS_MAX, RECEIVES_MAX, receives_max_min, receives_proposed},
    aws::settings::AwsSettings,
};
use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    scripted::{Reply, Script, dynamodb, refusal, reply, run, s3, s3_refusal, sqs},
    settings::QueueSettings,
};

use super::*;

fn field_at_fault(settings: &ProvisioningSettings) -> String {
    let naming = QueueSettings { prefix: "test-".to_owned(), ..QueueSettings::default() };
    settings.validate(&naming).map_or_else(|error| error.field().to_owned(), |()| "none".to_owned())
}

fn of_queues(queues: &[&str]) -> ProvisioningSettings {
    let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
    ProvisioningSettings { queues, ..ProvisioningSettings::default() }
}

#[test]
fn default_provisioning_settings_are_valid() {
    assert_eq!(field_at_fault(&ProvisioningSettings::default()), "none");
    let longest = "q".repeat(80 - "test--dead.fifo".len());
    assert_eq!(field_at_fault(&of_queues(&["orders", "a_B-1", &format!("{longest}.fifo")])), "none");
}

#[test]
fn invalid_queue_names_are_errors_of_the_field_queues() {
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
fn invalid_setting_is_an_error_that_names_its_field() {
    let default = ProvisioningSettings::default;
    for (field, settings) in [
        ("visibility_s", ProvisioningSettings { visibility_s: Some(43_201), ..default() }),
        ("retention_s", ProvisioningSettings { retention_s: 59, ..default() }),
        ("retention_s", ProvisioningSettings { retention_s: 1_209_601, ..default() }),
        ("dead_letter_retention_s", ProvisioningSettings { dead_letter_retention_s: 345_599, ..default() }),
        ("attempts_max", ProvisioningSettings { attempts_max: 0, ..default() }),
        ("attempts_max", ProvisioningSettings { attempts_max: 1_000, ..default() }),
        ("receives_max", ProvisioningSettings { receives_max: Some(8), ..default() }),
        ("receives_max", ProvisioningSettings { receives_max: Some(1_001), ..default() }),
        ("receives_max", ProvisioningSettings { attempts_max: 16, receives_max: Some(16), ..default() }),
        ("none", ProvisioningSettings { attempts_max: 999, ..default() }),
        ("none", ProvisioningSettings { receives_max: Some(9), ..default() }),
        // A message is sent at most after 28 days, and then stays 4 and 14 days in its queues.
        ("expiry_days", ProvisioningSettings { expiry_days: 45, ..default() }),
        ("none", ProvisioningSettings { expiry_days: 46, ..default() }),
        // Twice 14 and 14 days, and a week.
        ("expiry_days", ProvisioningSettings { retention_s: 1_209_600, expiry_days: 62, ..default() }),
        ("none", ProvisioningSettings { retention_s: 1_209_600, expiry_days: 63, ..default() }),
    ] {
        assert_eq!(field_at_fault(&settings), field, "{settings:?}");
    }
}

#[test]
fn receive_limit_below_the_copy_threshold_is_an_error() {
    for (attempts_max, receives_max, is_enough) in
        [(1, 4, false), (1, 5, true), (4, 4, false), (4, 5, true), (5, 5, false), (5, 6, true)]
    {
        let settings =
            ProvisioningSettings { attempts_max, receives_max: Some(receives_max), ..ProvisioningSettings::default() };
        let result = settings.validate(&QueueSettings::default());
        assert_eq!(result.is_ok(), is_enough, "{settings:?}");
        let text = result.map_or_else(|error| error.to_string(), |()| "a fresh copy".to_owned());
        assert!(text.contains("a fresh copy"), "the reason is missing: {text}");
    }
}

#[test]
fn proposed_receive_limit_is_valid_for_every_attempts_max() {
    for attempts_max in 1..=ATTEMPTS_MAX {
        let proposed = receives_proposed("orders", attempts_max);
        assert!((receives_max_min(attempts_max)..=RECEIVES_MAX).contains(&proposed), "{attempts_max}: {proposed}");
    }
    assert_eq!((receives_proposed("orders", 8), receives_proposed("audit.fifo", 8)), (16, 1_000));
}

/// The attributes of an existing queue.
fn attributes(visibility_s: u32, receives: u32, retention_s: u32) -> Reply {
    let arn = "arn:aws:sqs:us-east-1:000000000000:orders-dead";
    let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": receives }).to_string();
    let attributes = json!({
        "QueueArn": arn,
        "VisibilityTimeout": visibility_s.to_string(),
        "MessageRetentionPeriod": retention_s.to_string(),
        "RedrivePolicy": redrive,
    });
    reply(200, json!({ "Attributes": attributes }))
}

fn url() -> Reply {
    reply(200, json!({ "QueueUrl": "https://sqs.us-east-1.amazonaws.com/000000000000/orders" }))
}

/// The changes to the queue `orders`, by attribute, if it has this visibility timeout and this
/// `maxReceiveCount`.
fn changed(visibility_s: u32, receives: u32, settings: ProvisioningSettings) -> BTreeMap<String, String> {
    let queues =
        Script::new([url(), attributes(900, 16, 1_209_600), url(), attributes(visibility_s, receives, 345_600)]);
    let settings = ProvisioningSettings { queues: vec!["orders".to_owned()], ..settings };
    let provisioning = provisioning(&[Script::new([]), Script::new([]), queues], settings);
    let looked_at = run(provisioning.planned_queues()).unwrap();
    match looked_at[1].change() {
        None => BTreeMap::new(),
        Some(Change::SetQueueAttributes { attributes, .. }) => {
            attributes.into_iter().map(|(name, change)| (name, change.to)).collect()
        }
        Some(other) => panic!("{other} is not expected"),
    }
}

#[test]
fn default_settings_do_not_lower_values_of_an_existing_queue() {
    let default = ProvisioningSettings::default;
    let texts = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(changed(1_800, 1_000, default()), texts(&[]), "the queue of a function with many attempts");
    let raised = texts(&[("RedrivePolicy", "`orders-dead` after 16 receives"), ("VisibilityTimeout", "30")]);
    assert_eq!(changed(29, 9, default()), raised);
    let given = ProvisioningSettings { visibility_s: Some(60), receives_max: Some(20), ..default() };
    let lowered = texts(&[("RedrivePolicy", "`orders-dead` after 20 receives"), ("VisibilityTimeout", "60")]);
    assert_eq!(changed(1_800, 1_000, given), lowered, "the caller has set these numbers");
}

#[test]
fn only_changed_queue_attributes_are_set() {
    let queues = Script::new([
        url(),
        url(),
        attributes(1_800, 9, 345_600),
        url(),
        attributes(30, 16, 1_209_600),
        reply(200, "{}"),
    ]);
    let scripts = [Script::new([]), Script::new([]), queues.clone()];
    let provisioning = provisioning(&scripts, of_queues(&["orders"]));
    run(provisioning.set_queue_attributes("orders")).unwrap();
    let set = queues.seen().pop().unwrap().json()["Attributes"].clone();
    let names: Vec<_> = set.as_object().unwrap().keys().collect();
    assert_eq!(names, ["RedrivePolicy"]);
    assert!(set["RedrivePolicy"].as_str().is_some_and(|policy| policy.contains("\"maxReceiveCount\":16")), "{set}");
}

/// The plan if the queue `orders` and its dead-letter queue keep messages for 14 days, and the
/// bucket has these rules.
fn planned(rules: Reply, payload_table: Option<&str>) -> Result<Plan, PortError> {
    let kept = || attributes(30, 16, 1_209_600);
    let queues = Script::new([url(), kept(), url(), kept()]);
    let versioning = reply(200, "<VersioningConfiguration/>");
    let block = s3_refusal(404, "NoSuchPublicAccessBlockConfiguration");
    let bucket = Script::new([reply(200, ""), versioning, block, rules]);
    let table = || refusal(400, "ResourceNotFoundException");
    let scripts = [Script::new([table(), table()]), bucket, queues];
    let mut provisioning = provisioning(&scripts, of_queues(&["orders"]));
    provisioning.aws.settings.payload_table = payload_table.map(str::to_owned);
    run(provisioning.plan())
}

#[test]
fn expiry_below_the_existing_queue_retention_is_an_error() {
    let rule = |days: u32| {
        let expiration = format!("<Expiration><Days>{days}</Days></Expiration>");
        let rule =
            format!("<Rule><ID>cloakroom</ID><Filter><Prefix/></Filter><Status>Enabled</Status>{expiration}</Rule>");
        reply(200, format!("<LifecycleConfiguration>{rule}</LifecycleConfiguration>"))
    };
    let none = || s3_refusal(404, "NoSuchLifecycleConfiguration");
    for (rules, payload_table, option) in [
        (none(), None, "`--expiry-days`) to 63"),
        (rule(62), None, "`--expiry-days`) to 63"),
        (none(), Some("slips"), "`--payload-ttl-days`) to 63"),
    ] {
        let error = planned(rules, payload_table).unwrap_err();
        assert!(!error.may_be_repeated(), "{error}");
        let text = error.to_string();
        assert!(text.contains(option) && text.contains("queue `orders`"), "{text}");
    }
    assert!(planned(rule(63), None).is_ok(), "a longer expiry stays");
}

/// Provisioning with scripted answers of the three services.
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
fn new_bucket_has_a_location_constraint_outside_us_east_1() {
    assert_eq!(region_asked_for("us-east-1"), None);
    assert_eq!(region_asked_for("eu-central-1"), Some("eu-central-1".to_owned()));
}

#[test]
fn point_in_time_recovery_is_enabled_if_the_settings_ask_for_it() {
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
fn forbidden_bucket_does_not_count_as_missing() {
    for status in [301, 403] {
        let scripts = [Script::new([]), Script::new([reply(status, "")]), Script::new([])];
        let provisioning = provisioning(&scripts, ProvisioningSettings::default());
        let error = run(provisioning.bucket_changes(&PayloadNeed::default())).unwrap_err();
        assert!(!error.may_be_repeated(), "{error}");
    }
}

#[test]
fn bucket_with_versioning_is_refused_and_with_suspended_versioning_accepted() {
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
        run(provisioning.bucket_changes(&PayloadNeed::default()))
    };
    let error = changes("Enabled").unwrap_err();
    assert!(!error.may_be_repeated(), "{error}");
    assert!(error.to_string().contains("versioning is Enabled"), "{error}");
    assert_eq!(changes("Suspended").unwrap().len(), 2, "its queues can be created");
}

#[test]
fn permanently_failed_change_is_not_retried() {
    let nothing = || refusal(400, "QueueDoesNotExist");
    let queues = Script::new([nothing(), nothing(), refusal(403, "AccessDenied"), nothing(), nothing()]);
    let table = || refusal(400, "ResourceNotFoundException");
    let bucket = || s3_refusal(404, "NotFound");
    let scripts = [Script::new([table(), table()]), Script::new([bucket(), bucket()]), queues];
    let provisioning = provisioning(&scripts, of_queues(&["orders"]));
    let change = run(provisioning.planned_queues()).unwrap()[0].change().unwrap();
    let error = run(provisioning.make(&change, false)).unwrap_err();
    assert!(error.to_string().contains("sqs:CreateQueue on queue `orders-dead`"), "{error}");
}
