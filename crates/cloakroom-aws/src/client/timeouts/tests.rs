use std::future::{pending, ready};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use bytes::Bytes;
use cloakroom::{
    MessageId, Partition, Timestamp,
    format::{Claim, Record},
    ports::{Commit, Embedded, Queue as _, QueueMessage, RecordKey, Records as _, Segment, StateWrite},
    protocol::{Consistency, Version},
};
use tokio::net::TcpListener;

use crate::{
    admin::{
        diagnosis::{Diagnosis, DiagnosisSettings, Problem},
        provisioning::{Provisioning, settings::ProvisioningSettings},
    },
    aws::{Aws, settings::AwsSettings},
    settings::QueueSettings,
    sqs::queue::SqsQueue,
};

use super::*;

/// Starts a server that accepts connections and never answers. Returns its task and its URL.
async fn silent() -> (tokio::task::JoinHandle<()>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    };
    (tokio::spawn(serving), url)
}

/// Ports on clients with these timeouts, or without timeouts.
fn aws(url: &str, timeouts: Option<&TimeoutConfig>) -> Aws {
    macro_rules! client {
        ($sdk:ident $(, $option:ident)?) => {{
            let mut config = $sdk::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .credentials_provider(Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test"))
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .endpoint_url(url)
                $(.$option(true))?;
            config.set_timeout_config(timeouts.cloned());
            $sdk::Client::from_conf(config.build())
        }};
    }
    let (dynamodb, s3) = (client!(aws_sdk_dynamodb), client!(aws_sdk_s3, force_path_style));
    Aws::new(dynamodb, s3, client!(aws_sdk_sqs), AwsSettings::new("orders", "orders-payloads")).unwrap()
}

fn short() -> TimeoutConfig {
    let (attempt, operation) = (Duration::from_millis(50), Duration::from_millis(120));
    TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(operation).build()
}

/// Waits for a call that must fail, with an error that names the service and the call, and says
/// what to check.
async fn ends<T: std::fmt::Debug>(call: impl Future<Output = Result<T, PortError>>, words: [&str; 2]) {
    let ended = tokio::time::timeout(Duration::from_secs(60), call).await;
    let text = ended.unwrap_or_else(|_| panic!("{words:?} never ends")).expect_err("nothing answers").to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} are missing: {text}");
    assert!(text.contains("did not answer") && text.contains("network"), "{text}");
}

#[tokio::test]
async fn each_call_to_a_server_that_never_answers_ends_with_an_error_that_names_the_service() {
    let (_server, url) = silent().await;
    let aws = aws(&url, Some(&short()));
    let ports = aws.ports();
    let (partition, message) = (Partition::new("p"), MessageId::new("m"));
    let (record, key) = (Record::default(), RecordKey { partition: &partition, endpoint: "orders", message: &message });
    let state = StateWrite::Tombstone { expires: Timestamp::default() };
    let commit = Commit {
        partition: &partition,
        endpoint: "orders",
        expected: Version::ABSENT,
        state: &state,
        records: &[(&message, &record)],
        kept: &Embedded::default(),
        embedded_bytes_max: 0,
        items: &[],
        token: "t",
    };
    let claim = Claim::from_random(1, "orders-payloads");

    let table = |operation| [operation, "table `orders`"];
    ends(ports.store.read_state(&partition, "orders", Consistency::Strong), table("GetItem")).await;
    ends(ports.store.commit(commit), table("TransactWriteItems")).await;
    ends(ports.store.store_claims(key, &record), table("PutItem")).await;
    ends(ports.store.clear(key), table("DeleteItem")).await;
    ends(aws.records().page(Segment { number: 0, of: 1 }, None), table("Scan")).await;

    let bucket = |operation| [operation, "bucket `orders-payloads`"];
    ends(ports.payloads.read(&claim), bucket("GetObject")).await;
    ends(ports.payloads.check_in(&claim, Bytes::from("{}")), bucket("PutObject")).await;
    ends(ports.payloads.delete(&claim), bucket("DeleteObject")).await;
    ends(aws.payloads().list(None), bucket("ListObjectsV2")).await;

    let queue = |operation| [operation, "queue `orders`"];
    ends(ports.queues.open("orders"), queue("GetQueueUrl")).await;
    ends(aws.depth("orders"), queue("GetQueueUrl")).await;
    let open = SqsQueue::at(aws.sqs.clone(), "orders", &QueueSettings::default(), format!("{url}/1/orders"));
    ends(open.receive(10, Duration::from_secs(1), Duration::ZERO), queue("ReceiveMessage")).await;
    let message = QueueMessage { body: "{}".to_owned(), ..QueueMessage::default() };
    ends(async { open.send(vec![message]).await.remove(0) }, queue("SendMessageBatch")).await;
    ends(async { open.delete(vec!["r".to_owned()]).await.remove(0) }, queue("DeleteMessageBatch")).await;
    let extend = async { open.extend(vec!["r".to_owned()], Duration::ZERO).await.remove(0) };
    ends(extend, queue("ChangeMessageVisibilityBatch")).await;
}

#[tokio::test]
async fn provisioning_and_diagnosis_end_if_no_service_answers() {
    let (_server, url) = silent().await;
    let aws = aws(&url, Some(&short()));
    let provisioning = Provisioning::new(&aws, ProvisioningSettings::default()).unwrap();
    ends(provisioning.plan(), ["", ""]).await;

    let settings = DiagnosisSettings { queues: vec!["orders".to_owned()], ..DiagnosisSettings::default() };
    let diagnosis = Diagnosis::new(&aws, settings).unwrap();
    let findings = tokio::time::timeout(Duration::from_secs(60), diagnosis.run()).await.expect("it ends").findings;
    for on in ["table `orders`", "bucket `orders-payloads`", "queue `orders`"] {
        let is_found = |problem| findings.iter().any(|finding| finding.problem == problem && finding.on == on);
        assert!(is_found(Problem::Unreachable), "{on}: {findings:?}");
    }
    assert!(!findings.iter().any(|finding| finding.problem == Problem::ClientTimeouts), "{findings:?}");
}

#[test]
fn clients_without_timeouts_get_timeouts_only_for_diagnosis_and_provisioning() {
    let callers = aws("http://127.0.0.1:1", None);
    assert_eq!(callers.without_timeouts(), ["DynamoDB", "S3", "SQS"]);
    assert!(callers.clone().with_timeouts().without_timeouts().is_empty());
    let with_own = aws("http://127.0.0.1:1", Some(&short())).with_timeouts();
    let own = with_own.sqs.config().timeout_config().unwrap();
    assert_eq!(own.operation_timeout(), short().operation_timeout(), "the caller's timeouts stay");
}

#[test]
fn timeouts_for_large_bodies_are_longer_and_have_few_read_timeouts() {
    let second = Duration::from_secs;
    let own = TimeoutConfig::builder().read_timeout(second(5)).operation_attempt_timeout(second(4));
    let own = own.operation_timeout(second(9)).build();
    for (extra_ms, read_s) in [(1_000, 6), (1_001, 7), (2_900, 9), (4_000, 9), (4_001, 13), (60_000, 69)] {
        let extra = Duration::from_millis(extra_ms);
        let raised = raised(Some(&own), extra).unwrap();
        assert_eq!(raised.read_timeout(), Some(second(read_s)), "{extra:?}");
        assert_eq!(raised.operation_attempt_timeout(), Some(second(4) + extra));
        assert_eq!(raised.operation_timeout(), Some(second(9) + extra));
    }
}

#[test]
fn timeouts_are_not_overridden_if_none_can_be_raised() {
    let connecting = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)).build();
    for timeouts in [None, Some(&connecting), Some(&TimeoutConfig::disabled())] {
        assert_eq!(raised(timeouts, Duration::from_secs(1)), None);
    }
}

#[tokio::test]
async fn call_of_several_requests_has_one_timeout() {
    let get = Operation::read("GetQueueAttributes", "sqs:GetQueueAttributes");
    let bound = Duration::from_millis(20);
    let unanswered = answer_within(bound, &get, "queue `orders`", pending::<Result<(), _>>());
    ends(unanswered, ["`sqs` did not answer: no answer within 20 ms", "queue `orders`"]).await;
    assert!(answer(&get, "queue `orders`", ready(Ok(()))).await.is_ok());
}
