//! Calls to ports that are not answered, by themselves and by each component that makes them.

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

use super::{queues::Moody, silent::Silent};

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

/// Runs a call that must end after `bound` with an error that names the call and the target.
#[track_caller]
fn ends<T: Debug>(memory: &Memory, what: &str, bound: Duration, call: impl Future<Output = Result<T, PortError>>) {
    let began = memory.clock.now();
    let error = memory.run(call).expect_err("nothing answers");
    assert_eq!(memory.clock.now().since(began), bound, "{what}");
    let is_read = what.starts_with("reading") || what.starts_with("looking") || what.starts_with("opening");
    assert_eq!(error.may_have_happened(), !is_read, "{error}");
    assert!(error.may_be_repeated(), "{error}");
    let text = error.to_string();
    let beginning = format!("{what} failed: no answer within {} ms; look at the network", bound.as_millis());
    assert!(text.starts_with(&beginning), "{text}");
    assert_eq!(error.loggable(), text, "it quotes no key and no data, and may be logged");
}

/// Runs a call for two entries, each of which must have an error of its own.
#[track_caller]
fn batch_ends(memory: &Memory, what: &str, call: impl Future<Output = Vec<Result<(), PortError>>>) {
    let each = async {
        let answers = call.await;
        assert_eq!(answers.len(), 2, "one answer for each entry");
        answers.into_iter().reduce(|one, other| one.and(other)).unwrap()
    };
    ends(memory, what, BOUND, each);
}

#[test]
fn unanswered_call_of_each_port_ends_with_an_error_that_names_it() {
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
    ends(m, "reading a state in table `silent`", BOUND, store.read_state(&partition, "orders", Consistency::Strong));
    ends(m, "reading a record in table `silent`", BOUND, store.read_record(key));
    ends(m, "committing in table `silent`", BOUND, store.commit(commit));
    ends(m, "storing claims in table `silent`", BOUND, store.store_claims(key, &record));
    ends(m, "retaining a record in table `silent`", BOUND, store.retain(key, &record, Timestamp::default()));
    ends(m, "clearing a record in table `silent`", BOUND, store.clear(key));

    let payloads = Bounded::<dyn PayloadStore>::new(Arc::new(Silent), memory.clock.clone(), BOUND);
    ends(m, "checking in a payload in payload store `silent`", BOUND, payloads.check_in(&claim, Bytes::new()));
    ends(m, "reading a payload in payload store `silent`", BOUND, payloads.read(&claim));
    ends(m, "deleting a payload in payload store `silent`", BOUND, payloads.delete(&claim));
    ends(m, "looking for a dedupe entry in payload store `silent`", BOUND, payloads.has_entry("orders", &message));
    ends(m, "putting a dedupe entry in payload store `silent`", BOUND, payloads.put_entry("orders", &message));

    let queues = Bounded::<dyn Queues>::new(Arc::new(Silent), memory.clock.clone(), BOUND);
    ends(m, "opening queue `orders`", BOUND, queues.open("orders"));

    let queue = Bounded::<dyn Queue>::new(Arc::new(Silent), memory.clock.clone(), BOUND);
    let (wait, lease) = (Duration::from_secs(20), Duration::from_secs(30));
    ends(m, "receiving from queue `silent`", wait + BOUND, queue.receive(10, wait, lease));
    batch_ends(m, "sending to queue `silent`", queue.send(vec![QueueMessage::default(); 2]));
    batch_ends(m, "deleting messages of queue `silent`", queue.delete(vec![String::new(); 2]));
    let extend = queue.extend(vec![String::new(); 2], lease);
    batch_ends(m, "changing the visibility timeout of messages of queue `silent`", extend);

    let records = Bounded::<dyn Records>::new(Arc::new(Silent), memory.clock.clone(), BOUND);
    ends(m, "reading a page of table `silent`", BOUND, records.page(Segment { number: 0, of: 1 }, None));
    ends(m, "reading a partition of table `silent`", BOUND, records.items_of(&partition));
}

#[test]
fn answer_that_comes_within_the_bound_is_returned() {
    let memory = Memory::with_queues(["pings", "orders"]);
    let slow = Moody::over(&memory).take(Duration::from_millis(9_999));
    let queues = Bounded::<dyn Queues>::new(Arc::new(slow), memory.clock.clone(), BOUND);
    let queue = memory.run(queues.open("orders")).unwrap();
    assert!(memory.run(queue.send(vec![QueueMessage::default()]))[0].is_ok());
}

fn silent(memory: &Memory) -> Ports {
    Ports { store: Arc::new(Silent), payloads: Arc::new(Silent), queues: Arc::new(Silent), ..memory.ports() }
}

fn delivery() -> Delivery {
    let mut envelope = Envelope::new("m".into(), "test", Ping::TYPE, "p".into());
    envelope.data = Some(serde_json::Value::Null);
    Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
}

/// Runs what a component does, which must end with an error that names `target`, after `calls_max` tries at most.
#[track_caller]
fn fails<T: Debug, E: std::fmt::Display>(memory: &Memory, target: &str, work: impl Future<Output = Result<T, E>>) {
    let began = memory.clock.now();
    let text = memory.run(work).expect_err("nothing answers").to_string();
    let took = memory.clock.now().since(began);
    assert!(took <= 4 * BOUND + Duration::from_secs(2), "{took:?}");
    assert!(text.contains(target) && text.contains("no answer within 10000 ms"), "{text}");
}

#[test]
fn each_component_over_ports_that_do_not_answer_ends_with_an_error() -> Result<(), Error> {
    let memory = Memory::with_queues(["pings", "orders"]);
    let m = &memory;
    let endpoint = Endpoint::builder("pings").on(ping).build(silent(m))?;
    fails(m, "table `silent`", endpoint.process(&delivery()));
    fails(m, "table `silent`", endpoint.finish(&delivery()));
    let producer = Producer::new(silent(m), "website")?;
    fails(m, "queue `pings`", producer.submit("pings", "key", &Ping));
    let recovery = Recovery::new("pings", silent(m))?;
    fails(m, "table `silent`", recovery.look(&delivery()));
    fails(m, "queue `pings`", recovery.put_back(&delivery(), "pings"));
    let letters = DeadLetters::new("pings-dead", "pings", silent(m));
    fails(m, "queue `pings-dead`", letters.treat(Treatment::Look, |_| {}));
    let sweep = Sweep::new(Arc::new(Silent), silent(m), SweepSettings::default())?;
    fails(m, "table `silent`", sweep.run(None, |_| {}));
    Ok(())
}

#[test]
fn walk_through_dead_letters_ends_when_the_queue_falls_silent() {
    let memory = Memory::with_queues(["pings", "orders"]);
    let queues = Arc::new(Moody::over(&memory).silence(|call, _| call == "receive"));
    let letters = DeadLetters::new("pings-dead", "pings", Ports { queues, ..memory.ports() });
    let began = memory.clock.now();
    let error = memory.run(letters.treat(Treatment::Look, |_| {})).unwrap_err();
    assert!(error.to_string().starts_with("receiving from queue `pings-dead` failed: no answer"), "{error}");
    assert!(memory.clock.now().since(began) < Duration::from_secs(60));
}
