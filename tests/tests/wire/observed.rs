//! What observers and logs show of the running library. The reported consumption is the billed
//! usage, and the logs contain no data of messages.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use cloakroom::{
    Delivery, Endpoint, EndpointSettings, Handled, HandlerError, Message, Partition, Ports, Tx,
    format::{Claim, Envelope},
    observe::{Consumption, Counters, Service, prices::Prices},
    ports::{Backoff, QueueMessage},
};
use cloakroom_local::{Faults, Usage};
use futures::future::join_all;

use crate::{capture::Capture, embedded::Embedded};

#[derive(serde::Serialize, serde::Deserialize)]
struct Entry {
    text: String,
}

impl Message for Entry {
    const TYPE: &'static str = "entry";
    fn partition(&self) -> Partition {
        Partition::new("PATIENT-1")
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Copy {
    text: String,
}

impl Message for Copy {
    const TYPE: &'static str = "copy";
    fn partition(&self) -> Partition {
        Partition::new("PATIENT-2")
    }
}

async fn entry(journal: &mut BTreeMap<String, String>, Entry { text }: Entry, tx: &mut Tx) -> Handled {
    match &*text {
        "REJECT" => return Err(HandlerError::reject("DIAGNOSIS rejected")),
        "RETRY" => return Err(HandlerError::retry("DIAGNOSIS later")),
        _ => {}
    }
    tx.put("ITEM-1", &*journal, cloakroom::Condition::Any);
    journal.insert("last".to_owned(), text.clone());
    tx.send(Copy { text });
    Ok(())
}

fn endpoint(ports: Ports, counters: &Arc<Counters>) -> Endpoint {
    let backoff = Backoff { first_ms: 1, max_ms: 10 };
    let settings = EndpointSettings { attempts_max: 2, linger_ms: 0, backoff, ..EndpointSettings::default() };
    let builder = Endpoint::builder("journal").on(entry).route::<Copy>("copies").settings(settings);
    builder.observer(counters.clone()).build(ports).expect("an endpoint")
}

/// Sends messages with and without a claim.
async fn fill(ports: &Ports, texts: &[String]) {
    let mut messages = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let mut envelope =
            Envelope::new(format!("m-{number}").into(), "test", Entry::TYPE, Partition::new("PATIENT-1"));
        let payload = serde_json::json!({ "text": text });
        if number % 2 == 0 {
            let claim = Claim::from_random(ports.random.bits(), ports.payloads.name());
            ports.payloads.check_in(&claim, Bytes::from(payload.to_string())).await.expect("the bucket exists");
            envelope.dataref = Some(claim);
        } else {
            envelope.data = Some(payload);
        }
        messages.push(QueueMessage { body: envelope.encode(), ..QueueMessage::default() });
    }
    let queue = ports.queues.open("journal").await.expect("the queue exists");
    queue.send(messages).await.into_iter().for_each(|sent| sent.expect("sent"));
}

/// Receives all messages of the queue and processes them once, concurrently. No request is
/// abandoned, so the observer and the meter both count each.
async fn process(ports: &Ports, endpoint: &Endpoint) {
    let queue = ports.queues.open("journal").await.expect("the queue exists");
    let mut all: Vec<Delivery> = Vec::new();
    loop {
        match queue.receive(10, Duration::ZERO, Duration::from_secs(600)).await {
            Ok(some) if some.is_empty() => break,
            Ok(some) => all.extend(some),
            Err(_) => {}
        }
    }
    let results = join_all(all.iter().map(|delivery| endpoint.process(delivery))).await;
    let done = all.iter().zip(results).filter(|(_, result)| result.is_ok());
    queue.delete(done.map(|(delivery, _)| delivery.receipt.clone()).collect()).await;
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("DIAGNOSIS-{number}")).collect()
}

/// Returns the requests to a service, by operation.
fn metered(consumption: &Consumption, of: Service) -> BTreeMap<String, u64> {
    let all = consumption.iter().filter(|(service, ..)| *service == of);
    all.map(|(_, operation, used)| (operation.to_owned(), used.requests)).collect()
}

#[tokio::test]
async fn metered_consumption_is_the_billed_usage() {
    let Embedded { local, aws, .. } = Embedded::start(&["journal", "copies"]).await;
    let counters = Arc::new(Counters::default());
    let ports = aws.observed_by(counters.clone()).ports();
    let before = local.usage();
    fill(&ports, &texts(8)).await;
    process(&ports, &endpoint(ports.clone(), &counters)).await;
    let (usage, consumption) = (local.usage().since(&before), counters.consumption());
    assert!(counters.counts().conflict > 0, "some commits must be lost, because their requests count, too");
    assert_same_requests(&usage, &consumption);
    let dynamodb = consumption.total(Service::DynamoDb);
    assert_eq!((dynamodb.read_units, dynamodb.write_units), (usage.dynamodb.units.read, usage.dynamodb.units.write));
    assert_eq!(consumption.total(Service::Sqs).requests, usage.sqs.billed_requests);
    assert_same_dollars(&usage, &consumption);
    let messages = |operation| consumption.of(Service::Sqs, operation).messages;
    let reported = ["SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"].map(messages);
    assert_eq!(reported, [usage.sqs.messages_sent, usage.sqs.messages_received, usage.sqs.messages_deleted]);
    assert!(reported.iter().all(|messages| *messages >= 8), "{reported:?}");
}

/// Asserts that both have the same price. The unit prices are powers of two, so sums are exact in
/// any order.
#[track_caller]
fn assert_same_dollars(Usage { dynamodb, s3, sqs, .. }: &Usage, consumption: &Consumption) {
    let prices = r#"{ "region": "here", "dynamodb_write_unit": 8, "dynamodb_read_unit": 4, "s3_put_class": 2,
        "s3_get_class": 1, "sqs_request": 16, "sqs_fifo_request": 0 }"#;
    let dollars = Prices::read(prices, "the prices of this test", None).expect("all prices").of(consumption);
    assert_eq!(dollars.dynamodb, dynamodb.units.write * 8.0 + dynamodb.units.read * 4.0);
    assert_eq!(dollars.s3, (s3.put_class * 2 + s3.get_class) as f64);
    assert_eq!(dollars.sqs, (sqs.billed_requests * 16) as f64);
}

#[track_caller]
fn assert_same_requests(usage: &Usage, consumption: &Consumption) {
    assert_eq!(metered(consumption, Service::DynamoDb), usage.dynamodb.requests);
    assert_eq!(metered(consumption, Service::S3), usage.s3.requests);
}

const FAULTS: Faults = Faults {
    throttled: 0.05,
    transaction_conflicts: 0.05,
    server_errors: 0.05,
    lost_responses: 0.05,
    silences: 0.0,
    duplicate_deliveries: 0.1,
    late_deliveries: 0.0,
    late_delivery_ms_max: 0,
    seed: 3,
};

#[tokio::test]
async fn retries_of_the_sdk_and_of_the_library_are_metered() {
    let Embedded { local, aws, .. } = Embedded::start(&["journal", "copies"]).await;
    let counters = Arc::new(Counters::default());
    let ports = aws.observed_by(counters.clone()).ports();
    let before = local.usage();
    fill(&ports, &texts(6)).await;
    local.set_faults(FAULTS).expect("valid faults");
    process(&ports, &endpoint(ports.clone(), &counters)).await;
    let usage = local.usage().since(&before);
    assert!(usage.faults.throttled + usage.faults.lost_responses > 0, "{:?}", usage.faults);
    assert_same_requests(&usage, &counters.consumption());
}

#[test]
fn log_lines_contain_no_data_of_messages() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let capture = Capture::of(|| {
        runtime.block_on(async {
            let Embedded { local, aws, .. } = Embedded::start(&["journal", "copies"]).await;
            let ports = aws.ports();
            let mut texts = texts(6);
            texts.extend(["REJECT".to_owned(), "RETRY".to_owned()]);
            fill(&ports, &texts).await;
            // With this many faults, some certainly reach the engine.
            let faults = Faults { throttled: 0.1, transaction_conflicts: 0.1, server_errors: 0.1, ..FAULTS };
            local.set_faults(faults).expect("valid faults");
            let endpoint = endpoint(ports.clone(), &Arc::default());
            process(&ports, &endpoint).await;
            process(&ports, &endpoint).await;
        });
    });
    let text = capture.text();
    for secret in ["PATIENT", "DIAGNOSIS", "ITEM-1", "REJECT", "RETRY"] {
        assert_eq!(text.lines().find(|line| line.contains(secret)), None, "`{secret}` was logged");
    }
    for expected in ["call repeated", "commit lost", "message parked", "on table `things` failed"] {
        assert!(text.contains(expected), "`{expected}` is missing, so this test checks too little\n{text}");
    }
}

/// Finds the source files of a crate, without its tests.
fn sources(folder: &std::path::Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            into.push(path);
        }
    }
}

/// Checks the source, because the tests above see only the errors that they cause.
#[test]
fn errors_are_logged_only_by_their_loggable_text() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut paths = Vec::new();
    ["cloakroom", "cloakroom-aws"].iter().for_each(|name| sources(&crates.join(name).join("src"), &mut paths));
    assert!(paths.len() > 50, "sources are missing");
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a source");
        for (number, line) in text.lines().enumerate() {
            for field in ["error", "reason", "partition", "envelope", "delivery", "record", "state", "conflict", "key"]
            {
                let is_logged =
                    [format!("%{field},"), format!("?{field},"), format!("= %{field}"), format!("= ?{field}")];
                let found = is_logged.iter().find(|field| line.contains(*field));
                assert_eq!(
                    found,
                    None,
                    "{}:{}: log `{field}.loggable()`, or leave `{field}` out",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}
