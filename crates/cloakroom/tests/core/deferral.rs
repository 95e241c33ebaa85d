//! Messages that their handler defers. They are delivered again later, and a deferral is no
//! failure.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use crate::fixture::stage::{Fault, Stage, staged};

use std::{sync::Arc, time::Duration};

use cloakroom::{
    Delivery, Endpoint, ErrorKind, Handled, HandlerError, Message, Outcome, Partition, Tx, Worker,
    endpoint::EndpointBuilder,
    engine::{NotFinished, parking},
    format::{Claim, Envelope},
    memory::Memory,
    observe::Counters,
    ports::{Clock as _, PayloadStore as _, Queue as _, QueueMessage},
    worker::Batch,
};
use cloakroom_sim::wire::Operation;
use futures::future::join;
use serde::{Deserialize, Serialize};

/// An account. Payments are deferred until it is open.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    is_open: bool,
    paid: Vec<String>,
    seen: u32,
}

#[derive(Clone, Serialize, Deserialize)]
struct Pay {
    name: String,
}

impl Message for Pay {
    const TYPE: &'static str = "pay";
    fn partition(&self) -> Partition {
        "account".into()
    }
}

#[derive(Serialize, Deserialize)]
struct Switch {
    open: bool,
}

impl Message for Switch {
    const TYPE: &'static str = "switch";
    fn partition(&self) -> Partition {
        "account".into()
    }
}

const OPEN: Switch = Switch { open: true };

/// Its handler fails after the account was opened.
#[derive(Serialize, Deserialize)]
struct Fail;

impl Message for Fail {
    const TYPE: &'static str = "fail";
    fn partition(&self) -> Partition {
        "account".into()
    }
}

#[derive(Serialize, Deserialize)]
struct Receipt;

impl Message for Receipt {
    const TYPE: &'static str = "receipt";
    fn partition(&self) -> Partition {
        "receipts".into()
    }
}

const DELAY: Duration = Duration::from_secs(60);

async fn pay(account: &mut Account, pay: Pay, tx: &mut Tx) -> Handled {
    account.seen += 1;
    tx.send(Receipt);
    if !account.is_open {
        return Err(HandlerError::defer(DELAY));
    }
    account.paid.push(pay.name);
    Ok(())
}

async fn switch(account: &mut Account, switch: Switch, _: &mut Tx) -> Handled {
    account.is_open = switch.open;
    Ok(())
}

async fn fail(account: &mut Account, _: Fail, _: &mut Tx) -> Handled {
    Err(if account.is_open { HandlerError::retry("the handler fails") } else { HandlerError::defer(DELAY) })
}

struct Bank {
    memory: Memory,
    counters: Arc<Counters>,
    queue: &'static str,
}

impl Bank {
    fn new(queue: &'static str) -> Self {
        let memory = Memory::with_queues([queue, "receipts"]);
        memory.create_queues([parking::dead_letter_queue(queue)]);
        Self { memory, counters: Arc::default(), queue }
    }

    fn builder() -> EndpointBuilder<Account> {
        Endpoint::builder("bank").on(pay).on(switch).on(fail).plain::<Pay>().route::<Receipt>("receipts")
    }

    fn endpoint(&self) -> Endpoint {
        Self::builder().observer(self.counters.clone()).build(self.memory.ports()).unwrap()
    }

    fn envelope<M: Message>(id: &str, message: &M) -> Envelope {
        let mut envelope = Envelope::new(id.into(), "test", M::TYPE, message.partition());
        envelope.data = Some(serde_json::to_value(message).unwrap());
        envelope
    }

    async fn send(&self, envelope: &Envelope) {
        let group = self.queue.ends_with(".fifo").then(|| "account".to_owned());
        let deduplication = group.is_some().then(|| envelope.id.to_string());
        let message = QueueMessage { body: envelope.encode(), group, deduplication, ..QueueMessage::default() };
        self.memory.queues.get(self.queue).send(vec![message]).await.pop().unwrap().unwrap();
    }

    /// Receives the messages that are visible now.
    fn receive(&self) -> Vec<Delivery> {
        let queue = self.memory.queues.get(self.queue);
        self.memory.run(queue.receive(10, Duration::ZERO, Duration::from_secs(30))).unwrap()
    }

    fn batch(&self, deliveries: &[Delivery]) -> Vec<Result<Outcome, NotFinished>> {
        let until = self.memory.clock.now().after(Duration::from_secs(60));
        let batch = Batch { queue: self.queue, deliveries, in_flight_max: 10, until };
        self.memory.run(self.endpoint().process_batch(batch))
    }

    fn pass(&self, time: Duration) {
        self.memory.run(self.memory.clock.sleep(time));
    }

    /// Runs a worker until `work` is complete.
    fn work(&self, work: impl Future<Output = ()>) {
        let (stop, stopped) = futures::channel::oneshot::channel::<()>();
        let worker = Worker::new(self.endpoint(), self.queue).run(async {
            let _ = stopped.await;
        });
        let work = async {
            work.await;
            drop(stop);
        };
        self.memory.run(join(worker, work)).0.unwrap();
    }

    fn account(&self) -> Account {
        let mut items = self.memory.store.partition(&"account".into());
        items.remove("state#bank").map(|item| serde_dynamo::from_item(item).unwrap()).unwrap_or_default()
    }

    fn dead(&self) -> Vec<QueueMessage> {
        self.memory.queues.get(&parking::dead_letter_queue(self.queue)).messages()
    }
}

fn payment(name: &str) -> Pay {
    Pay { name: name.to_owned() }
}

#[test]
fn message_that_is_deferred_often_is_processed_once_and_never_parked() {
    let bank = Bank::new("bank");
    bank.work(async {
        bank.send(&Bank::envelope("1", &payment("a"))).await;
        bank.memory.clock.sleep(DELAY * 40).await;
        bank.send(&Bank::envelope("2", &OPEN)).await;
        bank.memory.clock.sleep(DELAY * 3).await;
    });
    let counts = bank.counters.counts();
    assert!((35..=41).contains(&counts.deferred), "{counts:?}");
    assert_eq!((counts.processed, counts.given_back, counts.parked), (2, 0, 0));
    let account = bank.account();
    assert_eq!(account.paid, ["a"]);
    assert_eq!(account.seen, 1, "a deferral drops the handler's changes");
    assert_eq!(bank.memory.queues.get("receipts").len(), 1, "a deferral drops the handler's outgoing messages");
    assert!(bank.memory.queues.get("bank").is_empty());
}

#[test]
fn deferrals_are_not_counted_as_attempts() {
    let bank = Bank::new("bank");
    bank.work(async {
        bank.send(&Bank::envelope("1", &Fail)).await;
        bank.memory.clock.sleep(DELAY * 20).await;
        assert!(bank.dead().is_empty());
        bank.send(&Bank::envelope("2", &OPEN)).await;
        bank.memory.clock.sleep(Duration::from_secs(24 * 60 * 60)).await;
    });
    let dead = bank.dead();
    assert_eq!(dead.len(), 1);
    assert!(
        dead[0].attributes[parking::REASON].starts_with("given up after 8 attempts: the handler fails"),
        "{dead:?}"
    );
}

#[test]
fn copy_of_a_deferred_plain_message_has_the_same_identity() {
    let bank = Bank::new("bank");
    let body = serde_json::to_string(&payment("a")).unwrap();
    let queue = bank.memory.queues.get("bank");
    let sent = QueueMessage { body, ..QueueMessage::default() };
    bank.memory.run(queue.send(vec![sent])).pop().unwrap().unwrap();
    let [first] = &bank.receive()[..] else { panic!("one message") };
    assert!(matches!(bank.batch(std::slice::from_ref(first))[..], [Ok(Outcome::Deferred)]));
    let open = Delivery { body: Bank::envelope("2", &OPEN).encode(), receive_count: 1, ..Delivery::default() };
    assert!(matches!(bank.batch(&[open])[..], [Ok(Outcome::Processed)]));
    // The first delivery was not deleted, and is delivered again before the copy.
    assert!(matches!(bank.batch(std::slice::from_ref(first))[..], [Ok(Outcome::Processed)]));
    assert!(bank.receive().is_empty(), "the copy must be delayed");
    bank.pass(DELAY);
    let copies = bank.receive();
    assert!(copies.iter().any(|copy| copy.id != first.id), "{copies:?}");
    assert!(bank.batch(&copies).iter().all(|result| matches!(result, Ok(Outcome::Duplicate))));
    assert_eq!(bank.account().paid, ["a"]);
}

#[test]
fn deferred_message_keeps_its_claim_and_its_payload() {
    let bank = Bank::new("bank");
    let payload = serde_json::to_vec(&payment("a")).unwrap();
    let claim = Claim::from_random(7, bank.memory.payloads.name());
    bank.memory.run(bank.memory.payloads.check_in(&claim, payload.into())).unwrap();
    let mut envelope = Bank::envelope("1", &payment("a"));
    (envelope.data, envelope.dataref) = (None, Some(claim));
    bank.memory.run(bank.send(&envelope));
    assert!(matches!(bank.batch(&bank.receive())[..], [Ok(Outcome::Deferred)]));
    let copies: Vec<_> = bank.memory.queues.get("bank").messages();
    let decode = |message: &QueueMessage| Envelope::decode(&message.body).unwrap();
    assert!(copies.iter().all(|copy| decode(copy).dataref == envelope.dataref), "{copies:?}");
    assert_eq!(bank.memory.payloads.claims().len(), 1);
}

#[test]
fn deferred_message_delays_its_group_on_a_fifo_queue() {
    let bank = Bank::new("bank.fifo");
    bank.work(async {
        bank.send(&Bank::envelope("1", &payment("a"))).await;
        bank.send(&Bank::envelope("2", &payment("b"))).await;
        bank.memory.clock.sleep(DELAY * 5).await;
        let open = Delivery { body: Bank::envelope("3", &OPEN).encode(), receive_count: 1, ..Delivery::default() };
        bank.endpoint().process(&open).await.unwrap();
        bank.memory.clock.sleep(DELAY * 2).await;
    });
    assert_eq!(bank.account().paid, ["a", "b"]);
    let counts = bank.counters.counts();
    assert!(
        (4..=6).contains(&counts.deferred),
        "the second message waits behind the first, without a deferral: {counts:?}"
    );
    assert_eq!((counts.given_back, counts.parked), (0, 0));
}

#[test]
fn deferral_without_a_queue_is_returned_as_an_error() {
    let bank = Bank::new("bank");
    let body = Bank::envelope("1", &payment("a")).encode();
    let delivery = Delivery { body, receive_count: 1, ..Delivery::default() };
    let error = bank.memory.run(bank.endpoint().process(&delivery)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RetryMessage);
    assert_eq!(error.to_string(), "its handler deferred it; let it come again in 60s");
}

#[test]
fn message_is_not_deferred_beyond_the_life_of_its_payload() {
    let bank = Bank::new("bank");
    let mut envelope = Bank::envelope("1", &payment("a"));
    let claim = Claim::from_random(7, bank.memory.payloads.name());
    let payload = serde_json::to_vec(&payment("a")).unwrap();
    bank.memory.run(bank.memory.payloads.check_in(&claim, payload.into())).unwrap();
    (envelope.data, envelope.dataref) = (None, Some(claim));
    envelope.time = Some(bank.memory.clock.now().to_string());
    bank.pass(Duration::from_secs(14 * 24 * 60 * 60) - DELAY);
    let delivery = |envelope: &Envelope| Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
    assert!(matches!(bank.batch(&[delivery(&envelope)])[..], [Ok(Outcome::Deferred)]));
    bank.pass(Duration::from_millis(1));
    assert!(matches!(bank.batch(&[delivery(&envelope)])[..], [Ok(Outcome::Parked)]));
    let reason = &bank.dead()[0].attributes[parking::REASON];
    assert!(reason.contains("deferred until half the life of its payload was over"), "{reason}");
}

#[test]
fn deferral_on_an_uncommitted_state_is_repeated_on_the_committed_state() {
    let bank = Bank::new("bank");
    let deliver = |envelope: Envelope| Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
    let group = |open| {
        let switch = Bank::envelope(&format!("switch-{open}"), &Switch { open });
        [deliver(switch), deliver(Bank::envelope(&format!("pay-{open}"), &payment("a")))]
    };
    assert!(matches!(bank.batch(&group(true))[..], [Ok(Outcome::Processed), Ok(Outcome::Processed)]));
    assert_eq!(bank.counters.counts().handled, 2, "the payment is accepted on a state that is not committed yet");
    assert!(matches!(bank.batch(&group(false))[..], [Ok(Outcome::Processed), Ok(Outcome::Deferred)]));
    assert_eq!(bank.counters.counts().handled, 5, "the payment is deferred only on the committed state");
}

#[test]
fn deferred_message_that_cannot_be_deleted_does_not_multiply() {
    let bank = Bank::new("bank");
    let body = Bank::envelope("1", &payment("a")).encode();
    let copies = |receive_count| {
        let deliveries = [Delivery { body: body.clone(), receive_count, ..Delivery::default() }];
        let deferred = match &bank.batch(&deliveries)[..] {
            [Ok(Outcome::Deferred)] => true,
            [Err(NotFinished::Deferred(delay))] => *delay != DELAY,
            results => panic!("receive {receive_count}: {results:?}"),
        };
        (deferred, bank.memory.queues.get("bank").len())
    };
    assert_eq!(copies(1), (true, 1));
    assert!(
        (2..8).all(|receive_count| copies(receive_count) == (false, 1)),
        "the message must be returned to the queue"
    );
    assert_eq!(
        copies(8),
        (true, 2),
        "a new copy restarts the receive count before SQS moves the message to the dead-letter queue"
    );
}

#[test]
fn deferred_copy_whose_send_has_an_unknown_outcome_is_sent_once() {
    let (bank, stage) = (Bank::new("bank"), Arc::new(Stage::new()));
    stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Unanswered));
    let endpoint = Bank::builder().build(staged(&stage, &bank.memory)).unwrap();
    let body = Bank::envelope("1", &payment("a")).encode();
    let deliveries = [Delivery { body, receive_count: 1, ..Delivery::default() }];
    let until = bank.memory.clock.now().after(Duration::from_secs(60));
    let batch = Batch { queue: "bank", deliveries: &deliveries, in_flight_max: 1, until };
    let results = bank.memory.run(endpoint.process_batch(batch));
    assert!(matches!(results[..], [Err(NotFinished::Failed(_))]), "the message must be delivered again: {results:?}");
    assert_eq!(bank.memory.queues.get("bank").len(), 1);
}

#[test]
fn deferral_is_limited_to_the_maximum_delay_of_a_queue() {
    async fn never(_: &mut Account, _: Pay, _: &mut Tx) -> Handled {
        Err(HandlerError::defer(Duration::from_secs(86_400)))
    }
    let bank = Bank::new("bank");
    let endpoint = Endpoint::builder("bank").on(never).build(bank.memory.ports()).unwrap();
    let until = bank.memory.clock.now().after(Duration::from_secs(60));
    let body = Bank::envelope("1", &payment("a")).encode();
    let deliveries = [Delivery { body, receive_count: 1, ..Delivery::default() }];
    let batch = Batch { queue: "bank", deliveries: &deliveries, in_flight_max: 1, until };
    assert!(matches!(bank.memory.run(endpoint.process_batch(batch))[..], [Ok(Outcome::Deferred)]));
    let copies = bank.memory.queues.get("bank").messages();
    assert_eq!(copies.iter().map(|copy| copy.delay_s).collect::<Vec<_>>(), [900]);
}
