//! An operator who works on a dead-letter queue or sweeps the table cannot lose, duplicate or
//! reorder messages.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    Delivery, Endpoint, EndpointSettings, Handled, HandlerError, Message, MessageId, Outcome, Partition, PortError,
    Ports, Tx, Worker,
    engine::parking::ENDPOINT,
    format::{Claim, Envelope},
    memory::{Memory, MemoryClock, MemoryPayloads},
    observe::{Event, Observer},
    ports::{Clock as _, PayloadStore, Queue as _, QueueMessage},
    protocol::WhenMissing,
    recovery::{DeadLetter, DeadLetters, Sweep, SweepSettings, SweepStep, Swept, Treatment},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Each queue has its own dead-letter queue.
const QUEUES: [&str; 7] = ["bank", "bank.fifo", "billing", "notes", "orders", "orders-in", "stock"];

#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    p: String,
}
impl Message for Ping {
    const TYPE: &'static str = "ping";
    fn partition(&self) -> Partition {
        Partition::new(&*self.p)
    }
}
#[derive(serde::Serialize, serde::Deserialize)]
struct Note {
    p: String,
}
impl Message for Note {
    const TYPE: &'static str = "note";
    fn partition(&self) -> Partition {
        Partition::new(&*self.p)
    }
}
type S = BTreeMap<String, u64>;
async fn accept(s: &mut S, _: Ping, _: &mut Tx) -> Handled {
    *s.entry("n".into()).or_default() += 1;
    Ok(())
}
async fn reject(_: &mut S, _: Ping, _: &mut Tx) -> Handled {
    Err(HandlerError::reject("no"))
}
async fn send_note(_: &mut S, ping: Ping, tx: &mut Tx) -> Handled {
    tx.send(Note { p: ping.p });
    Ok(())
}
async fn note(s: &mut S, _: Note, _: &mut Tx) -> Handled {
    *s.entry("n".into()).or_default() += 1;
    Ok(())
}

fn claimed(memory: &Memory, id: &str) -> Delivery {
    let claim = Claim::new(format!("claim-of-{id}.memory"));
    memory.run(memory.payloads.check_in(&claim, Bytes::from_static(br#"{"p":"p"}"#))).unwrap();
    let mut envelope = Envelope::new(id.into(), "test", Ping::TYPE, "p".into());
    envelope.dataref = Some(claim);
    Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
}
fn put(memory: &Memory, queue: &str, delivery: &Delivery, group: Option<&str>) {
    let message = QueueMessage {
        body: delivery.body.clone(),
        attributes: delivery.attributes.clone(),
        group: group.map(str::to_owned),
        ..QueueMessage::default()
    };
    assert!(memory.run(memory.queues.get(queue).send(vec![message]))[0].is_ok());
}

#[test]
fn redrive_during_a_running_worker_ends() {
    let memory = Memory::with_queues(QUEUES);
    put(&memory, "bank-dead", &claimed(&memory, "m"), None);
    assert_redrive_with_a_live_worker_ends(&memory);
}

#[test]
fn redrive_of_an_unreadable_event_during_a_running_worker_ends() {
    let event = r#"{"specversion":"1.0","id":"1","source":"shop","type":"ping","data":{"q":7}}"#;
    let plain = r#"{"q":7}"#;
    for body in [event, plain] {
        let memory = Memory::with_queues(QUEUES);
        let attributes = BTreeMap::from([(ENDPOINT.to_owned(), "bank".to_owned())]);
        let parked = Delivery { body: body.to_owned(), attributes, ..Delivery::default() };
        put(&memory, "bank-dead", &parked, None);
        assert_redrive_with_a_live_worker_ends(&memory);
    }
}

/// Redrives the only message of the dead-letter queue while a worker runs that parks it again.
#[track_caller]
fn assert_redrive_with_a_live_worker_ends(memory: &Memory) {
    let endpoint = Endpoint::builder("bank").on(reject).build(memory.ports()).unwrap();
    let dead_letters = DeadLetters::new("bank-dead", "bank", memory.ports());
    let mut seen = 0;
    let redrive = dead_letters.treat(Treatment::Redrive, |_| seen += 1);
    let (stop, stopped) = futures::channel::oneshot::channel::<()>();
    let work = Worker::new(endpoint, "bank").run(async {
        let _ = stopped.await;
    });
    let before = memory.clock.now();
    let all = memory.run(async {
        let (all, _) = futures::join!(
            async {
                let all = redrive.await;
                drop(stop);
                all
            },
            work
        );
        all.unwrap()
    });
    assert_eq!(
        (seen, all),
        (2, true),
        "expected one redriven and one left dead letter, after {:?}",
        memory.clock.now().since(before)
    );
}

/// Payloads of which one takes 50 ms to read, as a GET of S3 may.
#[derive(Debug)]
struct Slow(Arc<MemoryPayloads>, Arc<MemoryClock>);
#[async_trait]
impl PayloadStore for Slow {
    fn name(&self) -> &str {
        "memory"
    }
    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        self.0.check_in(claim, payload).await
    }
    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        if claim.as_str().starts_with("claim-of-m1") {
            self.1.sleep(Duration::from_millis(50)).await;
        }
        self.0.read(claim).await
    }
    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        self.0.delete(claim).await
    }
    async fn has_entry(&self, e: &str, m: &MessageId) -> Result<bool, PortError> {
        self.0.has_entry(e, m).await
    }
    async fn put_entry(&self, e: &str, m: &MessageId) -> Result<(), PortError> {
        self.0.put_entry(e, m).await
    }
}

#[test]
fn a_redrive_keeps_the_order_of_a_group() {
    let memory = Memory::with_queues(QUEUES);
    for id in ["m1", "m2", "m3"] {
        put(&memory, "bank-dead.fifo", &claimed(&memory, id), Some("g"));
    }
    let ports = Ports { payloads: Arc::new(Slow(memory.payloads.clone(), memory.clock.clone())), ..memory.ports() };
    let dead_letters = DeadLetters::new("bank-dead.fifo", "bank.fifo", ports);
    assert!(memory.run(dead_letters.treat(Treatment::Redrive, |_| {})).unwrap());
    let ids: Vec<_> = memory
        .queues
        .get("bank.fifo")
        .messages()
        .iter()
        .map(|m| Envelope::decode(&m.body).unwrap().id.to_string())
        .collect();
    assert_eq!(ids, ["m1", "m2", "m3"]);
}

#[test]
fn finish_with_a_guessed_endpoint_deletes_nothing() {
    // An event is fanned out to two endpoints that share table and bucket. `billing` reads queue
    // `orders`, and `orders` reads `orders-in`.
    let memory = Memory::with_queues(QUEUES);
    let orders = Endpoint::builder("orders").on(accept).build(memory.ports()).unwrap();
    let mut envelope = Envelope::new("e-1".into(), "shop", Ping::TYPE, "p".into());
    envelope.data = Some(serde_json::json!({"p": "p"}));
    let event = Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
    assert_eq!(memory.run(orders.process(&event)).unwrap(), Outcome::Processed);
    // The workers of `billing` crashed on the event. SQS moved it to the dead-letter queue, without
    // attributes.
    put(&memory, "orders-dead", &event, None);
    let dead_letters = DeadLetters::new("orders-dead", "orders", memory.ports());
    let mut fates = Vec::new();
    memory
        .run(dead_letters.treat(Treatment::Finish, |l: &DeadLetter| fates.push((l.standing.clone(), l.fate.clone()))))
        .unwrap();
    assert_eq!(
        memory.queues.get("orders-dead").len(),
        1,
        "`billing` never processed the event, so it must stay: {fates:?}"
    );
}

#[derive(Debug, Default)]
struct Alarms(Mutex<Vec<Event>>);
impl Observer for Alarms {
    fn observe(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[test]
fn redriven_second_copy_raises_no_alarm_and_is_deleted() {
    // The dead-letter queue holds two copies of one message. Possible causes: the response to a
    // send was lost and the send repeated, two deliveries were both rejected, or a redrive stopped
    // between send and delete.
    let memory = Memory::with_queues(QUEUES);
    let alarms = Arc::new(Alarms::default());
    let settings = EndpointSettings { when_missing: WhenMissing::Park, ..EndpointSettings::default() };
    let endpoint =
        Endpoint::builder("bank").on(accept).settings(settings).observer(alarms.clone()).build(memory.ports()).unwrap();
    let m = claimed(&memory, "m");
    for _ in 0..2 {
        put(&memory, "bank-dead", &m, None);
    }
    let dead_letters = || DeadLetters::new("bank-dead", "bank", memory.ports());
    memory.run(dead_letters().treat(Treatment::Redrive, |_| {})).unwrap();
    for d in memory.run(memory.queues.get("bank").receive(10, Duration::ZERO, Duration::from_secs(30))).unwrap() {
        let _ = memory.run(endpoint.process(&d));
    }
    memory.run(dead_letters().treat(Treatment::Finish, |_| ())).unwrap();
    let alarm = alarms.0.lock().unwrap().contains(&Event::PayloadMissing);
    assert_eq!((alarm, memory.queues.get("bank-dead").len()), (false, 0));
}

#[test]
fn dead_letter_whose_payload_was_deleted_is_left() {
    let memory = Memory::with_queues(QUEUES);
    let endpoint = Endpoint::builder("bank").on(reject).build(memory.ports()).unwrap();
    assert_eq!(memory.run(endpoint.process(&claimed(&memory, "m"))).unwrap(), Outcome::Parked);
    // The bucket's lifecycle expires the payload after several redrives, or a person deletes it.
    memory.run(memory.payloads.delete(&Claim::new("claim-of-m.memory"))).unwrap();
    let dead_letters = DeadLetters::new("bank-dead", "bank", memory.ports());
    let mut fates = Vec::new();
    memory
        .run(dead_letters.treat(Treatment::Finish, |l: &DeadLetter| fates.push((l.standing.clone(), l.fate.clone()))))
        .unwrap();
    assert_eq!(memory.queues.get("bank-dead").len(), 1, "{fates:?}");
}

#[test]
fn sweep_does_not_send_claims_that_may_have_expired() {
    let memory = Memory::with_queues(QUEUES);
    let endpoint = Endpoint::builder("bank").on(send_note).route::<Note>("notes").build(memory.ports()).unwrap();
    let m = claimed(&memory, "m");
    // The attempt is dropped as soon as it has committed.
    let mut run = Box::pin(endpoint.process(&m));
    loop {
        let polled = {
            use futures::FutureExt as _;
            (&mut run).now_or_never()
        };
        let is_committed = memory.store.partition(&"p".into()).keys().any(|k| k.starts_with("outbox#"));
        if is_committed || polled.is_some() {
            break;
        }
    }
    drop(run);
    let has_record = memory.store.partition(&"p".into()).keys().any(|k| k.starts_with("outbox#"));
    if !has_record {
        panic!("the attempt left no record, so this test has nothing to sweep");
    }
    memory.run(memory.clock.sleep(Duration::from_secs(46 * 86_400)));
    for claim in memory.payloads.claims() {
        memory.run(memory.payloads.delete(&claim)).unwrap();
    } // as the bucket's lifecycle does after 50 days
    let sweep = Sweep::new(memory.store.clone(), memory.ports(), SweepSettings::default()).unwrap();
    let mut all = Vec::new();
    memory
        .run(sweep.run(None, |s| {
            if let SweepStep::Record(_, swept) = s {
                all.push(swept.clone())
            }
        }))
        .unwrap();
    let alarms = Arc::new(Alarms::default());
    let notes = Endpoint::builder("notes").on(note).observer(alarms.clone()).build(memory.ports()).unwrap();
    let mut outcomes = Vec::new();
    for d in memory.run(memory.queues.get("notes").receive(10, Duration::ZERO, Duration::from_secs(30))).unwrap() {
        outcomes.push(memory.run(notes.process(&d)).unwrap());
    }
    let alarm = alarms.0.lock().unwrap().contains(&Event::PayloadMissing);
    assert!(
        alarm || matches!(all[..], [Swept::Left(_)]),
        "the message is lost, and no alarm was raised: {all:?}, {outcomes:?}"
    );
}

#[test]
fn dead_letter_of_another_endpoint_is_not_redriven_to_this_queue() {
    // Two endpoints share a dead-letter queue, as is common with SQS.
    let memory = Memory::with_queues(QUEUES);
    let billing = Endpoint::builder("billing").on(reject).dead_letters("stock-dead").build(memory.ports()).unwrap();
    let stock = Endpoint::builder("stock").on(accept).build(memory.ports()).unwrap();
    assert_eq!(memory.run(billing.process(&claimed(&memory, "m"))).unwrap(), Outcome::Parked);
    let dead_letters = DeadLetters::new("stock-dead", "stock", memory.ports());
    let mut fates = Vec::new();
    memory
        .run(dead_letters.treat(Treatment::Redrive, |l: &DeadLetter| fates.push((l.endpoint.clone(), l.fate.clone()))))
        .unwrap();
    let mut outcomes = Vec::new();
    for d in memory.run(memory.queues.get("stock").receive(10, Duration::ZERO, Duration::from_secs(30))).unwrap() {
        outcomes.push(memory.run(stock.process(&d)).unwrap());
    }
    assert!(!memory.payloads.claims().is_empty(), "`stock` processed a message of `billing`: {fates:?} {outcomes:?}");
}

#[test]
fn explicit_endpoint_takes_precedence_over_a_guessed_one() {
    // Endpoint `orders` reads queue `orders-in`. A message was committed, and its worker crashes at
    // each dispatch.
    let memory = Memory::with_queues(QUEUES);
    let endpoint = Endpoint::builder("orders").on(send_note).route::<Note>("notes").build(memory.ports()).unwrap();
    let m = claimed(&memory, "m");
    let mut run = Box::pin(endpoint.process(&m));
    {
        use futures::FutureExt as _;
        assert!((&mut run).now_or_never().is_none());
    }
    drop(run);
    assert!(memory.store.partition(&"p".into()).keys().any(|k| k.starts_with("outbox#orders#")));
    put(&memory, "orders-in", &m, None);
    // `dlq park orders-in --id m`, without `--endpoint`.
    let dead_letters = || DeadLetters::new("orders-in-dead", "orders-in", memory.ports());
    memory.run(dead_letters().park(|e| e.id.as_str() == "m", "it crashes the worker", |_| {})).unwrap();
    // `dlq finish orders-in --endpoint orders`
    let mut fates = Vec::new();
    memory
        .run(dead_letters().endpoint("orders").treat(Treatment::Finish, |l: &DeadLetter| {
            fates.push((l.endpoint.clone(), l.standing.clone(), l.fate.clone()))
        }))
        .unwrap();
    assert_eq!(
        memory.queues.get("notes").len(),
        1,
        "the message was committed, but is reported as not processed: {fates:?}"
    );
}

#[test]
fn message_parked_by_an_old_version_for_its_type_can_be_redriven() {
    let memory = Memory::with_queues(QUEUES);
    let old = Endpoint::builder("bank").on(note).build(memory.ports()).unwrap();
    let body = r#"{"specversion":"1.0","id":"1","source":"s","type":"ping","data":{"p":"p"}}"#.to_owned();
    let event = Delivery { id: "q-1".into(), body, receive_count: 1, ..Delivery::default() };
    assert_eq!(memory.run(old.process(&event)).unwrap(), Outcome::Parked);
    let dead_letters = DeadLetters::new("bank-dead", "bank", memory.ports());
    let mut fates = Vec::new();
    memory
        .run(dead_letters.treat(Treatment::Redrive, |l: &DeadLetter| fates.push((l.standing.clone(), l.fate.clone()))))
        .unwrap();
    assert_eq!(memory.queues.get("bank").len(), 1, "{fates:?}");
}
