//! What an operator must not be able to lose, double or bring out of order by going through a dead-letter queue or the table.
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

/// Each comes with its dead-letter queue.
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
fn lay(memory: &Memory, queue: &str, delivery: &Delivery, group: Option<&str>) {
    let message = QueueMessage {
        body: delivery.body.clone(),
        attributes: delivery.attributes.clone(),
        group: group.map(str::to_owned),
        ..QueueMessage::default()
    };
    assert!(memory.run(memory.queues.get(queue).send(vec![message]))[0].is_ok());
}

#[test]
fn a_redrive_beside_a_live_worker_ends() {
    let memory = Memory::with_queues(QUEUES);
    lay(&memory, "bank-dead", &claimed(&memory, "m"), None);
    assert_redrive_beside_a_worker_ends(&memory);
}

#[test]
fn redrive_of_unreadable_event_beside_a_live_worker_ends() {
    let event = r#"{"specversion":"1.0","id":"1","source":"shop","type":"ping","data":{"q":7}}"#;
    let plain = r#"{"q":7}"#;
    for body in [event, plain] {
        let memory = Memory::with_queues(QUEUES);
        let attributes = BTreeMap::from([(ENDPOINT.to_owned(), "bank".to_owned())]);
        let parked = Delivery { body: body.to_owned(), attributes, ..Delivery::default() };
        lay(&memory, "bank-dead", &parked, None);
        assert_redrive_beside_a_worker_ends(&memory);
    }
}

/// Redrives the one message of the dead-letter queue while a worker runs, which parks it again.
#[track_caller]
fn assert_redrive_beside_a_worker_ends(memory: &Memory) {
    let endpoint = Endpoint::builder("bank").on(reject).build(memory.ports()).unwrap();
    let letters = DeadLetters::new("bank-dead", "bank", memory.ports());
    let mut seen = 0;
    let redrive = letters.treat(Treatment::Redrive, |_| seen += 1);
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
    assert_eq!((seen, all), (2, true), "put back, and left; after {:?}", memory.clock.now().since(before));
}

/// One claim is read late, as a GET may be.
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
        lay(&memory, "bank-dead.fifo", &claimed(&memory, id), Some("g"));
    }
    let ports = Ports { payloads: Arc::new(Slow(memory.payloads.clone(), memory.clock.clone())), ..memory.ports() };
    let letters = DeadLetters::new("bank-dead.fifo", "bank.fifo", ports);
    assert!(memory.run(letters.treat(Treatment::Redrive, |_| {})).unwrap());
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
fn a_guessed_endpoint_deletes_nothing() {
    // An event that is fanned out to two endpoints which share table and bucket. `billing` reads queue `orders`, `orders` reads `orders-in`.
    let memory = Memory::with_queues(QUEUES);
    let orders = Endpoint::builder("orders").on(accept).build(memory.ports()).unwrap();
    let mut envelope = Envelope::new("e-1".into(), "shop", Ping::TYPE, "p".into());
    envelope.data = Some(serde_json::json!({"p": "p"}));
    let event = Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
    assert_eq!(memory.run(orders.process(&event)).unwrap(), Outcome::Processed);
    // Billing's workers crashed on it; SQS moved it, without a word.
    lay(&memory, "orders-dead", &event, None);
    let letters = DeadLetters::new("orders-dead", "orders", memory.ports());
    let mut fates = Vec::new();
    memory
        .run(letters.treat(Treatment::Finish, |l: &DeadLetter| fates.push((l.standing.clone(), l.fate.clone()))))
        .unwrap();
    assert_eq!(memory.queues.get("orders-dead").len(), 1, "billing never processed it, and it is gone: {fates:?}");
}

#[derive(Debug, Default)]
struct Alarms(Mutex<Vec<Event>>);
impl Observer for Alarms {
    fn observe(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[test]
fn a_twin_that_is_put_back_raises_no_alarm_and_does_not_stay() {
    // The answer to the parking was lost and it was sent twice; or two deliveries were both rejected; or a redrive stopped between send and delete.
    let memory = Memory::with_queues(QUEUES);
    let alarms = Arc::new(Alarms::default());
    let settings = EndpointSettings { when_missing: WhenMissing::Park, ..EndpointSettings::default() };
    let endpoint =
        Endpoint::builder("bank").on(accept).settings(settings).observer(alarms.clone()).build(memory.ports()).unwrap();
    let m = claimed(&memory, "m");
    for _ in 0..2 {
        lay(&memory, "bank-dead", &m, None);
    }
    let letters = || DeadLetters::new("bank-dead", "bank", memory.ports());
    memory.run(letters().treat(Treatment::Redrive, |_| {})).unwrap();
    for d in memory.run(memory.queues.get("bank").receive(10, Duration::ZERO, Duration::from_secs(30))).unwrap() {
        let _ = memory.run(endpoint.process(&d));
    }
    memory.run(letters().treat(Treatment::Finish, |_| ())).unwrap();
    let alarm = alarms.0.lock().unwrap().contains(&Event::PayloadMissing);
    assert_eq!((alarm, memory.queues.get("bank-dead").len()), (false, 0));
}

#[test]
fn a_parked_letter_whose_payload_was_removed_is_left() {
    let memory = Memory::with_queues(QUEUES);
    let endpoint = Endpoint::builder("bank").on(reject).build(memory.ports()).unwrap();
    assert_eq!(memory.run(endpoint.process(&claimed(&memory, "m"))).unwrap(), Outcome::Parked);
    // The lifecycle, after some park / redrive rounds; or a hand.
    memory.run(memory.payloads.delete(&Claim::new("claim-of-m.memory"))).unwrap();
    let letters = DeadLetters::new("bank-dead", "bank", memory.ports());
    let mut fates = Vec::new();
    memory
        .run(letters.treat(Treatment::Finish, |l: &DeadLetter| fates.push((l.standing.clone(), l.fate.clone()))))
        .unwrap();
    assert_eq!(memory.queues.get("bank-dead").len(), 1, "{fates:?}");
}

#[test]
fn what_may_have_expired_is_not_sent() {
    let memory = Memory::with_queues(QUEUES);
    let endpoint = Endpoint::builder("bank").on(send_note).route::<Note>("notes").build(memory.ports()).unwrap();
    let m = claimed(&memory, "m");
    // Dropped as soon as it is committed.
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
    let waits = memory.store.partition(&"p".into()).keys().any(|k| k.starts_with("outbox#"));
    if !waits {
        panic!("test: could not strand it");
    }
    memory.run(memory.clock.sleep(Duration::from_secs(46 * 86_400)));
    for claim in memory.payloads.claims() {
        memory.run(memory.payloads.delete(&claim)).unwrap();
    } // the lifecycle, after 50 days
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
    assert!(alarm || matches!(all[..], [Swept::Left(_)]), "lost without a word: {all:?}, {outcomes:?}");
}

#[test]
fn a_letter_of_another_endpoint_is_not_put_into_this_queue() {
    // Two endpoints park into one dead-letter queue, as is common with SQS.
    let memory = Memory::with_queues(QUEUES);
    let billing = Endpoint::builder("billing").on(reject).dead_letters("stock-dead").build(memory.ports()).unwrap();
    let stock = Endpoint::builder("stock").on(accept).build(memory.ports()).unwrap();
    assert_eq!(memory.run(billing.process(&claimed(&memory, "m"))).unwrap(), Outcome::Parked);
    let letters = DeadLetters::new("stock-dead", "stock", memory.ports());
    let mut fates = Vec::new();
    memory
        .run(letters.treat(Treatment::Redrive, |l: &DeadLetter| fates.push((l.endpoint.clone(), l.fate.clone()))))
        .unwrap();
    let mut outcomes = Vec::new();
    for d in memory.run(memory.queues.get("stock").receive(10, Duration::ZERO, Duration::from_secs(30))).unwrap() {
        outcomes.push(memory.run(stock.process(&d)).unwrap());
    }
    assert!(!memory.payloads.claims().is_empty(), "`stock` has processed what was billing's: {fates:?} {outcomes:?}");
}

#[test]
fn who_says_the_endpoint_is_believed_over_a_guess_of_park() {
    // Endpoint `orders` reads queue `orders-in`. A message was committed, and its worker crashes at each dispatch.
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
    lay(&memory, "orders-in", &m, None);
    // `dlq park orders-in --id m`, without `--endpoint`.
    let letters = || DeadLetters::new("orders-in-dead", "orders-in", memory.ports());
    memory.run(letters().park(|e| e.id.as_str() == "m", "it kills", |_| {})).unwrap();
    // `dlq finish orders-in --endpoint orders`
    let mut fates = Vec::new();
    memory
        .run(letters().endpoint("orders").treat(Treatment::Finish, |l: &DeadLetter| {
            fates.push((l.endpoint.clone(), l.standing.clone(), l.fate.clone()))
        }))
        .unwrap();
    assert_eq!(memory.queues.get("notes").len(), 1, "committed, and said to be not processed: {fates:?}");
}

#[test]
fn what_an_old_version_parked_for_its_type_can_be_redriven() {
    let memory = Memory::with_queues(QUEUES);
    let old = Endpoint::builder("bank").on(note).build(memory.ports()).unwrap();
    let body = r#"{"specversion":"1.0","id":"1","source":"s","type":"ping","data":{"p":"p"}}"#.to_owned();
    let event = Delivery { id: "q-1".into(), body, receive_count: 1, ..Delivery::default() };
    assert_eq!(memory.run(old.process(&event)).unwrap(), Outcome::Parked);
    let letters = DeadLetters::new("bank-dead", "bank", memory.ports());
    let mut fates = Vec::new();
    memory
        .run(letters.treat(Treatment::Redrive, |l: &DeadLetter| fates.push((l.standing.clone(), l.fate.clone()))))
        .unwrap();
    assert_eq!(memory.queues.get("bank").len(), 1, "{fates:?}");
}
