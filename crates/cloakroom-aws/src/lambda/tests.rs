use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{
    Handled, HandlerError, Message, Partition, PortError, Tx,
    format::Envelope,
    memory::{Memory, MemoryClock},
    ports::{Clock as _, Queue, Queues},
};
use serde_json::{Value, json};

use super::*;

#[derive(Deserialize, Serialize)]
struct Job {
    takes_s: u64,
    fails: bool,
    #[serde(default)]
    is_early: bool,
}

impl Message for Job {
    const TYPE: &'static str = "job";
    fn partition(&self) -> Partition {
        "not asked for".into()
    }
}

type Jobs = std::collections::BTreeMap<String, u64>;

tokio::task_local! {
    static CLOCK: Arc<MemoryClock>;
}

async fn handle(jobs: &mut Jobs, job: Job, tx: &mut Tx) -> Handled {
    CLOCK.with(Arc::clone).sleep(Duration::from_secs(job.takes_s)).await;
    jobs.insert(tx.message_id().to_string(), job.takes_s);
    if job.is_early {
        return Err(HandlerError::defer(Duration::from_secs(60)));
    }
    if job.fails { Err(HandlerError::retry("not yet")) } else { Ok(()) }
}

fn function(memory: &Memory) -> Function {
    Function::new(Endpoint::builder("jobs").on(handle).build(memory.ports()).unwrap())
}

/// Returns the answer to an invocation, on the clock of `memory`.
fn run(memory: &Memory, function: &Function, records: Vec<Value>, deadline: Timestamp) -> Value {
    let event = serde_json::from_value(json!({ "Records": records })).unwrap();
    let response = memory.run(CLOCK.scope(memory.clock.clone(), function.handle(event, deadline)));
    serde_json::to_value(response).unwrap()
}

/// Returns the answer to an invocation with a deadline in one minute.
fn answer(memory: &Memory, function: &Function, records: Vec<Value>) -> Value {
    run(memory, function, records, memory.clock.now().after(Duration::from_secs(60)))
}

fn body(id: &str, partition: &str, takes_s: u64, fails: bool) -> String {
    let mut envelope = Envelope::new(id.into(), "test", Job::TYPE, partition.into());
    envelope.data = Some(json!({ "takes_s": takes_s, "fails": fails }));
    envelope.encode()
}

/// A record like the example in the documentation of AWS.
fn record(id: &str, body: String) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "3",
            "SentTimestamp": "1545082649183",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185"
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
        "awsRegion": "us-east-2"
    })
}

fn failures<const N: usize>(ids: [&str; N]) -> Value {
    json!({ "batchItemFailures": ids.map(|id| json!({ "itemIdentifier": id })).to_vec() })
}

#[test]
fn lambda_record_becomes_the_delivery_that_a_receive_returns() {
    let mut record = record("id", "text".to_owned());
    record["attributes"]["MessageGroupId"] = "g".into();
    record["messageAttributes"] = json!({
        "text": { "stringValue": "grün", "stringListValues": [], "binaryListValues": [], "dataType": "String" },
        "number": { "stringValue": "1e3", "stringListValues": [], "binaryListValues": [], "dataType": "Number" },
        "bytes": { "binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary.der" }
    });
    let (id, delivery) = crate::lambda::record::delivery(serde_json::from_value(record).unwrap());
    let attributes = [("text", "grün"), ("number", "\0Number\x001e3"), ("bytes", "\0Binary.der\0AP8=")];
    let expected = Delivery {
        id: "id".to_owned(),
        body: "text".to_owned(),
        attributes: attributes.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
        receipt: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...".to_owned(),
        receive_count: 3,
        group: Some("g".to_owned()),
    };
    assert_eq!((id.as_str(), delivery), ("id", expected));
}

#[test]
fn lambda_answer_names_only_unfinished_messages() {
    let memory = Memory::with_queues(["jobs"]);
    let function = function(&memory);
    let records = |fails| {
        let bodies = [body("a", "p", 0, false), body("b", "p", 0, fails), body("c", "q", 0, false), "{".to_owned()];
        ["1", "2", "3", "4"].into_iter().zip(bodies).map(|(id, body)| record(id, body)).collect()
    };
    assert_eq!(answer(&memory, &function, records(true)), failures(["2"]), "an unreadable message is parked");
    assert_eq!(memory.queues.get("jobs-dead").len(), 1);
    assert_eq!(answer(&memory, &function, vec![]), failures([]));
}

#[test]
fn later_messages_of_a_failed_group_are_reported_only_on_fifo_queues() {
    for (arn, expected) in [
        ("arn:aws:sqs:us-east-2:123456789012:my-queue.fifo", failures(["2", "3"])),
        ("arn:aws:sqs:us-east-2:123456789012:my-queue", failures(["2"])),
    ] {
        let memory = Memory::with_queues(["jobs"]);
        let jobs = [("1", "g", false), ("2", "g", true), ("3", "g", false), ("4", "other", false)];
        let records = jobs.map(|(id, group, fails)| {
            let mut record = record(id, body(id, id, 0, fails));
            record["eventSourceARN"] = arn.into();
            record["attributes"]["MessageGroupId"] = group.into();
            record
        });
        assert_eq!(answer(&memory, &function(&memory), records.to_vec()), expected);
    }
}

#[test]
fn lambda_answer_is_ready_before_the_deadline() {
    let memory = Memory::with_queues(["jobs"]);
    let settings = FunctionSettings { margin_ms: 3_000, ..FunctionSettings::default() };
    let function = function(&memory).settings(settings);
    let records = vec![record("quick", body("a", "p", 1, false)), record("slow", body("b", "q", 100, false))];
    assert_eq!(answer(&memory, &function, records), failures(["slow"]));
    // A handler is stopped after nine tenths of the time, so that its failure can still be counted.
    assert_eq!(memory.clock.now(), Timestamp::from_millis(51_300));
}

#[test]
fn invocation_shorter_than_the_margin_reports_every_message() {
    let memory = Memory::with_queues(["jobs"]);
    let records = vec![record("1", body("a", "p", 0, false))];
    assert_eq!(run(&memory, &function(&memory), records, Timestamp::from_millis(1_999)), failures(["1"]));
}

#[test]
fn message_without_an_id_fails_the_batch() {
    let memory = Memory::with_queues(["jobs"]);
    let mut nameless = record("", body("a", "p", 0, true));
    nameless.as_object_mut().unwrap().remove("messageId");
    assert_eq!(answer(&memory, &function(&memory), vec![nameless]), failures([""]));
}

#[test]
fn last_attempt_in_a_function_parks_the_message() {
    for (arn, dead) in [
        ("arn:aws:sqs:us-east-2:1:shop-jobs", "jobs-dead"),
        ("arn:aws:sqs:us-east-2:1:shop-jobs.fifo", "jobs-dead.fifo"),
    ] {
        let memory = Memory::with_queues(["jobs", "jobs.fifo"]);
        for number in 1..=8 {
            let mut record = record("1", body("a", "p", 0, true));
            record["eventSourceARN"] = arn.into();
            let reported = if number < 8 { failures(["1"]) } else { failures([]) };
            assert_eq!(answer(&memory, &function(&memory), vec![record]), reported, "failure {number}");
        }
        assert_eq!(memory.queues.get(dead).len(), 1);
    }
}

/// Queues of which one is missing. They record the names that were opened.
#[derive(Debug)]
struct Opened {
    queues: Arc<dyn Queues>,
    missing: &'static str,
    names: Mutex<Vec<String>>,
}

#[async_trait]
impl Queues for Opened {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        self.names.lock().unwrap().push(name.to_owned());
        if name == self.missing {
            return Err(PortError::new("opening it", "there is none").without_effect().permanent());
        }
        self.queues.open(name).await
    }
}

#[test]
fn function_checks_its_endpoint_once_with_its_first_messages() {
    for missing in ["", "jobs-dead"] {
        let memory = Memory::with_queues(["jobs"]);
        let ports = memory.ports();
        let queues = Arc::new(Opened { queues: ports.queues.clone(), missing, names: Mutex::default() });
        let ports = cloakroom::Ports { queues: queues.clone(), ..ports };
        let function = Function::new(Endpoint::builder("jobs").on(handle).build(ports).unwrap());
        assert_eq!(queues.names.lock().unwrap().len(), 0, "a cold start sends no request");
        for _ in 0..3 {
            let records = vec![record("1", body("a", "p", 1, false))];
            assert_eq!(answer(&memory, &function, records), failures([]), "messages do not fail because of the check");
        }
        assert_eq!(*queues.names.lock().unwrap(), ["jobs-dead"]);
    }
}

#[test]
fn deferred_message_is_sent_only_to_the_queue_of_its_event() {
    for (arn, prefix, copies, answers) in [
        ("arn:aws:sqs:us-east-2:1:shop-jobs", "shop-", 1, failures([])),
        ("arn:aws:sqs:us-east-2:1:jobs", "", 1, failures([])),
        ("arn:aws:sqs:us-east-2:1:shop-other", "shop-", 0, failures(["1"])),
        ("arn:aws:sqs:us-east-2:1:shop-other-jobs", "shop-", 0, failures(["1"])),
        ("arn:aws:sqs:us-east-2:1:shop-jobs", "", 0, failures(["1"])),
        ("arn:aws:sqs:us-east-2:1:jobs", "shop-", 0, failures(["1"])),
        ("arn:aws:sqs:us-east-2:1:shop-jobs.fifo", "shop-", 0, failures(["1"])),
    ] {
        let memory = Memory::with_queues(["jobs", "jobs.fifo"]);
        let mut envelope = Envelope::new("a".into(), "test", Job::TYPE, "p".into());
        envelope.data = Some(json!({ "takes_s": 0, "fails": false, "is_early": true }));
        let mut record = record("1", envelope.encode());
        record["eventSourceARN"] = arn.into();
        record["attributes"]["ApproximateReceiveCount"] = "1".into();
        let function = function(&memory).queue_prefix(prefix);
        assert_eq!(answer(&memory, &function, vec![record]), answers, "{arn} after `{prefix}`");
        assert_eq!(memory.queues.get("jobs").len(), copies, "{arn} after `{prefix}`");
    }
}

#[test]
fn lambda_answer_does_not_wait_for_the_check() {
    let memory = Memory::new();
    let ports = memory.ports();
    let slow = Arc::new(Slow { queues: ports.queues.clone(), clock: memory.clock.clone() });
    let function =
        Function::new(Endpoint::builder("jobs").on(handle).build(cloakroom::Ports { queues: slow, ..ports }).unwrap());
    assert_eq!(answer(&memory, &function, vec![record("1", body("a", "p", 1, false))]), failures([]));
    assert_eq!(memory.clock.now(), Timestamp::from_millis(1_000));
}

/// Queues that take an hour to open.
#[derive(Debug)]
struct Slow {
    queues: Arc<dyn Queues>,
    clock: Arc<MemoryClock>,
}

#[async_trait]
impl Queues for Slow {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        self.clock.sleep(Duration::from_secs(3_600)).await;
        self.queues.open(name).await
    }
}

#[test]
fn function_setting_out_of_range_is_an_error_that_names_it() {
    let error = FunctionSettings { margin_ms: 60_001, ..FunctionSettings::default() }.validate().unwrap_err();
    assert_eq!(error.to_string(), "setting `margin_ms` is `60001`; it must be from 100 to 60000");
    assert_eq!(
        FunctionSettings { in_flight_max: 0, ..FunctionSettings::default() }.validate().unwrap_err().field(),
        "in_flight_max"
    );
    FunctionSettings::default().validate().unwrap();
}
