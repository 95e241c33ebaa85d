use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::region::Region;

use crate::scripted::{Script, Seen, refusal, reply, run};

use super::*;

/// A configuration for clients that a script answers.
pub(crate) fn config(script: &Script) -> aws_types::sdk_config::Builder {
    let credentials = aws_credential_types::Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test");
    let credentials = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
    let config = SdkConfig::builder().behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest());
    config.region(Region::new("us-east-1")).credentials_provider(credentials).http_client(script.clone())
}

fn configured(config: &SdkConfig) -> Aws {
    Aws::configured(config, AwsSettings::new("orders", "orders-payloads")).unwrap()
}

/// The timeouts of each client for an attempt and for an operation.
fn timeouts_of(aws: &Aws) -> Vec<(Option<Duration>, Option<Duration>)> {
    let each =
        [aws.dynamodb.config().timeout_config(), aws.s3.config().timeout_config(), aws.sqs.config().timeout_config()];
    let both = |own: &TimeoutConfig| (own.operation_attempt_timeout(), own.operation_timeout());
    each.into_iter().map(|own| own.map(both).unwrap_or_default()).collect()
}

#[test]
fn configured_clients_have_timeouts_unless_the_configuration_sets_its_own() {
    let second = |seconds| Some(Duration::from_secs(seconds));
    let script = Script::new([]);
    let aws = configured(&config(&script).build());
    assert_eq!(timeouts_of(&aws), [(second(4), second(9)); 3]);
    assert_eq!(aws.without_timeouts(), [""; 0]);
    let call_max = Duration::from_millis(cloakroom::EndpointSettings::default().call_ms_max);
    assert!(timeouts::OPERATION < call_max, "the client gives up before the endpoint, and closes its connection");

    let own = TimeoutConfig::builder().operation_timeout(Duration::from_secs(60)).build();
    let aws = configured(&config(&script).timeout_config(own).build());
    assert_eq!(timeouts_of(&aws), [(None, second(60)); 3]);

    let none = TimeoutConfig::builder().disable_operation_timeout().disable_operation_attempt_timeout().build();
    let aws = configured(&config(&script).timeout_config(none).build());
    assert_eq!(timeouts_of(&aws), [(None, None); 3]);
    assert_eq!(aws.without_timeouts(), ["DynamoDB", "S3", "SQS"]);
}

#[test]
fn configured_clients_have_separate_retry_partitions() {
    let aws = configured(&config(&Script::new([])).build());
    let partitions = [
        aws.dynamodb.config().retry_partition().cloned(),
        aws.s3.config().retry_partition().cloned(),
        aws.sqs.config().retry_partition().cloned(),
    ];
    let own = ["dynamodb", "s3", "sqs"].map(|name| Some(RetryPartition::custom(format!("cloakroom-{name}")).build()));
    assert_eq!(partitions, own);
}

#[test]
fn requests_of_configured_clients_name_the_library_and_its_version() {
    let script = Script::new([reply(200, r#"{"QueueUrl":"http://localhost/1/orders"}"#)]);
    let aws = configured(&config(&script).build());
    run(aws.ports().queues.open("orders")).unwrap();
    let seen = script.seen();
    let agent = seen[0].header("x-amz-user-agent").unwrap();
    assert!(agent.contains(concat!("lib/cloakroom/", env!("CARGO_PKG_VERSION"))), "{agent}");
}

#[test]
fn configured_clients_do_not_correct_a_wrong_clock() {
    // Far ahead of this machine's clock.
    let date = "Tue, 31 Dec 2199 23:59:59 GMT";
    let times = |config: aws_types::sdk_config::Builder| {
        let refused = refusal(403, "InvalidSignatureException").at(date);
        let script = Script::new(vec![refused; 2]);
        let aws = configured(&config.http_client(script.clone()).build());
        for _ in 0..2 {
            run(aws.ports().queues.open("orders")).expect_err("the signature is refused");
        }
        let signed = |seen: &Seen| seen.header("x-amz-date").unwrap()[..4].to_owned();
        script.seen().iter().map(signed).collect::<Vec<_>>()
    };
    let base = || config(&Script::new([])).retry_config(RetryConfig::disabled());
    let corrected = |time: &String| time.starts_with("2199");
    assert!(!times(base()).iter().any(corrected), "a corrected signature would hide that expiry times are wrong");
    assert!(times(base().disable_clock_skew_correction(false)).iter().any(corrected), "the caller decides");
}
