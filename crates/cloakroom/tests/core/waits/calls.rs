//! Calls that a port does not answer: each call by itself, and each component that makes calls.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc, time::Duration};

use bytes::Bytes;
use cloakroom::{
    Delivery, Endpoint, Error, Handled, Message, MessageId, Partition, PortError, Ports, Producer, Timestamp, Tx,
    format::{Claim, Envelope, Record},
    memory::Memory,
    ports::{
        Bounded, Clock as _, Commit, Embedded, PartitionStore, PayloadStore, Queue, QueueMessage, Queues, RecordKey,
        Records, Segment, StateWrite,
    },
    protocol::{Consistency, Version},
    recovery::{DeadLetters, Recovery, Sweep, SweepSettings, Treatment},
};

use super::{queues::FaultyQueues, silent::Silent};

const BOUND: Duration = Duration::from_secs(10);

#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

impl Message for Ping {
    const TYPE: &'static str = "ping";
    fn partition(&self) -> Partition {
        "p".into()
    }
}

async fn ping(_: &mut BTreeMap<String, u64>, _: Ping, _: &mut Tx) -> Handled {
    Ok(())
}

/// Asserts that a call ends after `bound` with an error that names the call and the target.
#[track_caller]
fn assert_ends<T: Debug>(
    memory: &Memory,
    operation: &str,
    bound: Duration,
    call: impl Future<Output = Result<T, PortError>>,
) {
    let began = memory.clock.now();
    let error = memory.run(call).expect_err("no port answers");
    assert_eq!(memory.clock.now().since(began), bound, "{operation}");
    let is_read =
        operation.starts_with("reading") || operation.starts_with("looking") || operation.starts_with("opening");
    assert_eq!(error.may_have_happened(), !is_read, "{error}");
    assert!(error.may_be_repeated(), "{error}");
    let text = error.to_string();
    let beginning = format!("{operation} failed: no answer within {} ms; check the network", bound.as_millis());
    assert!(text.starts_with(&beginning), "{text}");
    assert_eq!(error.loggable(), text, "the error contains neither keys nor data, so it may be logged");
}

/// Asserts that a call for two entries returns an error for each of them.
#[track_caller]
fn assert_batch_ends(memory: &Memory, operation: &str, call: impl Future<Output = Vec<Result<(), PortError>>>) {
    let each = async {
        let results = call.await;
        assert_eq!(results.len(), 2, "one result for each entry");
        results.into_iter().reduce(|one, other| one.and(other)).unwrap()
    };
    assert_ends(memory, operation, BOUND, each);
}

#[test]
fn unanswered_call_ends_with_an_error_that_names_it() {
    let memory = Memory::with_queues(["pings", "orders"]);
    let m = &memory;
    let (partition, message, claim) = (Partition::new("p"), MessageId::new("m"), Claim::new("c.silent"));
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

    let store = Bounded::<dyn PartitionStore>::new(Arc::new(Silent), memory.clock.clone(), BOUND);
    assert_ends(
        m,
        "reading a state in table `silent`",
        BOUND,
        store.read_state(&partition, "orders", Consistency::Strong),
    );
    assert_ends(m, "reading a record in table `silent`", BOUND, store.read_record(key));
    assert_ends(m, "committing in table `silent`", BOUND, store.commit(commit));
    assert_ends(m, "storing claims in table `silent`", BOUND, store.store_claims(key, &record));
    assert_ends(m, "retaining a record in table `silent`", BOUND, store.retain(key, &record, Timestamp::default()));
    assert_ends(m, "clearing a record in table `silent`", BOUND, store.clear(key));

    let payloads = Bounded::<dyn PayloadStore>::new(Arc::new(Silent), memory.clock.clone(), BOUND);
    assert_ends(m, "checking in a payload in payload store `silent`", BOUND, payloads.check_in(&claim, Bytes::new()));
    assert_ends(m, "reading a payload in payload store `silent`", BOUND, payloads.read(&claim));
    assert_ends(m, "deleting a payload in payload store `silent`", BOUND, payloads.delete(&claim));
    assert_ends(
        m,
        "looking for a dedupe entry in payload store `silent`",
        BOUND,
        payloads.has_entry("orders", &message),
    );
    assert_ends(m, "putting a dedupe entry in payload store `silent`", BOUND, payloads.put_entry("orders", &message));

    let queues = Bounded::<dyn Queues>::new(Arc::new(Silent), memory.clock.clone(), BOUND);
    assert_ends(m, "opening queue `orders`", BOUND, queues.open("orders"));

    let queue = Bounded::<dyn Queue>::new(Arc::new(Silent), memory.clock.clone(), BOUND);
    let (wait, visibility) = (Duration::from_secs(20), Duration::from_secs(30));
    assert_ends(m, "receiving from queue `silent`", wait + BOUND, queue.receive(10, wait, visibility));
    assert_batch_ends(m, "sending to queue `silent`", queue.send(vec![QueueMessage::default(); 2]));
    assert_batch_ends(m, "deleting messages of queue `silent`", queue.delete(vec![String::new(); 2]));
    let extend = queue.extend(vec![String::new(); 2], visibility);
    assert_batch_ends(m, "changing the visibility timeout of messages of queue `silent`", extend);

    let records = Bounded::<dyn Records>::new(Arc::new(Silent), memory.clock.clone(), BOUND);
    assert_ends(m, "reading a page of table `silent`", BOUND, records.page(Segment { number: 0, of: 1 }, None));
    assert_ends(m, "reading a partition of table `silent`", BOUND, records.items_of(&partition));
}

#[test]
fn response_within_the_time_limit_is_returned() {
    let memory = Memory::with_queues(["pings", "orders"]);
    let slow = FaultyQueues::over(&memory).delayed(Duration::from_millis(9_999));
    let queues = Bounded::<dyn Queues>::new(Arc::new(slow), memory.clock.clone(), BOUND);
    let queue = memory.run(queues.open("orders")).unwrap();
    assert!(memory.run(queue.send(vec![QueueMessage::default()]))[0].is_ok());
}

fn silent_ports(memory: &Memory) -> Ports {
    Ports { store: Arc::new(Silent), payloads: Arc::new(Silent), queues: Arc::new(Silent), ..memory.ports() }
}

fn delivery() -> Delivery {
    let mut envelope = Envelope::new("m".into(), "test", Ping::TYPE, "p".into());
    envelope.data = Some(serde_json::Value::Null);
    Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
}

/// Asserts that a call of a component ends with an error that names `target`, after at most
/// `calls_max` tries.
#[track_caller]
fn assert_fails<T: Debug, E: std::fmt::Display>(
    memory: &Memory,
    target: &str,
    work: impl Future<Output = Result<T, E>>,
) {
    let began = memory.clock.now();
    let text = memory.run(work).expect_err("no port answers").to_string();
    let took = memory.clock.now().since(began);
    assert!(took <= 4 * BOUND + Duration::from_secs(2), "{took:?}");
    assert!(text.contains(target) && text.contains("no answer within 10000 ms"), "{text}");
}

#[test]
fn component_on_unresponsive_ports_ends_with_an_error() -> Result<(), Error> {
    let memory = Memory::with_queues(["pings", "orders"]);
    let m = &memory;
    let endpoint = Endpoint::builder("pings").on(ping).build(silent_ports(m))?;
    assert_fails(m, "table `silent`", endpoint.process(&delivery()));
    assert_fails(m, "table `silent`", endpoint.finish(&delivery()));
    let producer = Producer::new(silent_ports(m), "website")?;
    assert_fails(m, "queue `pings`", producer.submit("pings", "key", &Ping));
    let recovery = Recovery::new("pings", silent_ports(m))?;
    assert_fails(m, "table `silent`", recovery.look(&delivery()));
    assert_fails(m, "queue `pings`", recovery.put_back(&delivery(), "pings"));
    let dead_letters = DeadLetters::new("pings-dead", "pings", silent_ports(m));
    assert_fails(m, "queue `pings-dead`", dead_letters.treat(Treatment::Look, |_| {}));
    let sweep = Sweep::new(Arc::new(Silent), silent_ports(m), SweepSettings::default())?;
    assert_fails(m, "table `silent`", sweep.run(None, |_| {}));
    Ok(())
}

#[test]
fn pass_over_dead_letters_ends_if_the_queue_does_not_answer() {
    let memory = Memory::with_queues(["pings", "orders"]);
    let queues = Arc::new(FaultyQueues::over(&memory).silence(|call, _| call == "receive"));
    let dead_letters = DeadLetters::new("pings-dead", "pings", Ports { queues, ..memory.ports() });
    let began = memory.clock.now();
    let error = memory.run(dead_letters.treat(Treatment::Look, |_| {})).unwrap_err();
    assert!(error.to_string().starts_with("receiving from queue `pings-dead` failed: no answer"), "{error}");
    assert!(memory.clock.now().since(began) < Duration::from_secs(60));
}
