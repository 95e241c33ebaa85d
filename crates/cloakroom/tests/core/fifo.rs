//! Order on FIFO queues under failures: the first send of each message follows the first sends of
//! the messages before it.

use crate::fixture;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{
    Delivery, Endpoint, Outcome, PortError, Ports, Producer, Submission,
    engine::parking,
    format::Envelope,
    memory::Memory,
    ports::{Queue, QueueMessage, Queues},
};
use fixture::{Account, Act, Note, envelope, play};
use futures::future::join_all;

/// A FIFO queue that refuses some entries of a batch, and reports an unknown outcome for some that
/// it accepts.
#[derive(Debug)]
struct FailingQueue {
    name: String,
    fails: AtomicBool,
    accepted: Mutex<Accepted>,
}

#[derive(Debug)]
struct Accepted {
    random: fastrand::Rng,
    /// The deduplication ids of the accepted messages.
    known: BTreeSet<Option<String>>,
    messages: Vec<QueueMessage>,
    requests: usize,
    /// Requests without a response, and their maximum.
    pending: usize,
    pending_most: usize,
}

impl FailingQueue {
    fn accepted(&self) -> MutexGuard<'_, Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for FailingQueue {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        // The responses to two batches arrive in any order.
        let waits = {
            let accepted = &mut *self.accepted();
            accepted.pending += 1;
            accepted.pending_most = accepted.pending_most.max(accepted.pending);
            accepted.random.u8(..4)
        };
        for _ in 0..waits {
            fixture::stage::yield_once().await;
        }
        let accepted = &mut *self.accepted();
        accepted.requests += 1;
        accepted.pending -= 1;
        let failure = || PortError::new("send", "a planned failure");
        let mut accept = |message: QueueMessage| {
            let outcome = if self.fails.load(Ordering::Relaxed) { accepted.random.u8(..4) } else { 0 };
            if outcome == 1 {
                return Err(failure().without_effect());
            }
            if accepted.known.insert(message.deduplication.clone()) {
                accepted.messages.push(message);
            }
            if outcome == 2 { Err(failure()) } else { Ok(()) }
        };
        messages.into_iter().map(&mut accept).collect()
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Delivery>, PortError> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: Vec<String>) -> Vec<Result<(), PortError>> {
        Vec::new()
    }

    async fn extend(&self, _: Vec<String>, _: Duration) -> Vec<Result<(), PortError>> {
        Vec::new()
    }
}

/// Queues with one failing queue.
#[derive(Debug)]
struct FailingQueues(Arc<FailingQueue>, Arc<dyn Queues>);

#[async_trait]
impl Queues for FailingQueues {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        if name == self.0.name { Ok(self.0.clone()) } else { self.1.open(name).await }
    }
}

struct World {
    memory: Memory,
    queue: Arc<FailingQueue>,
    ports: Ports,
    endpoint: Endpoint,
}

impl World {
    fn new(seed: u64, fails: bool) -> Self {
        let (memory, random) = (Memory::seeded(seed), fastrand::Rng::with_seed(seed));
        memory.create_queues(["bank"]);
        let accepted =
            Accepted { random, known: BTreeSet::new(), messages: Vec::new(), requests: 0, pending: 0, pending_most: 0 };
        let queue = FailingQueue { name: "notes.fifo".to_owned(), fails: fails.into(), accepted: accepted.into() };
        let queue = Arc::new(queue);
        let ports = memory.ports();
        let ports = Ports { queues: Arc::new(FailingQueues(queue.clone(), ports.queues)), ..ports };
        let builder = Endpoint::builder::<Account>("bank").on(play).route::<Note>("notes.fifo");
        let endpoint = builder.build(ports.clone()).expect("an endpoint");
        Self { memory, queue, ports, endpoint }
    }

    /// Processes one message for each account concurrently, until each is finished. Returns the
    /// partitions of the sent notes, by message group.
    fn play(&self, accounts: u32, acts: &[Act]) -> BTreeMap<String, Vec<String>> {
        let deliveries = (0..accounts).map(|number| {
            let mut envelope = envelope("m", "account.play");
            envelope.partition = format!("account#{number}").into();
            envelope.data = Some(serde_json::json!({ "acts": acts }));
            Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
        });
        let deliveries: Vec<Delivery> = deliveries.collect();
        let finish = async |delivery: &Delivery| while self.endpoint.process(delivery).await.is_err() {};
        self.memory.run(join_all(deliveries.iter().map(finish)));
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for message in &self.queue.accepted().messages {
            let partition = Envelope::decode(&message.body).expect("an envelope").partition.to_string();
            groups.entry(message.group.clone().expect("a group")).or_default().push(partition);
        }
        groups
    }
}

#[test]
fn message_group_keeps_its_order_under_send_failures() {
    let acts: Vec<Act> = (0..6).map(Act::Note).collect();
    let in_order: Vec<String> = (0..6).map(|number| format!("note#{number}")).collect();
    for seed in 0..50 {
        let groups = World::new(seed, true).play(7, &acts);
        assert_eq!(groups.len(), 7);
        for (group, notes) in groups {
            assert_eq!(notes, in_order, "group {group}, seed {seed}");
        }
    }
}

#[test]
fn messages_of_several_groups_share_batches() {
    let world = World::new(1, false);
    world.play(10, &[Act::Note(1), Act::Note(2), Act::Note(3)]);
    let accepted = world.queue.accepted();
    assert_eq!((accepted.messages.len(), accepted.requests), (30, 3));
}

#[test]
fn thousand_messages_are_sent_with_at_most_ten_concurrent_requests() {
    let world = World::new(1, false);
    let producer = Producer::new(world.ports.clone(), "test").expect("a producer");
    let notes = (0..1000).map(|number| Submission::new(number.to_string(), &Note { number, text: String::new() }));
    let results = world.memory.run(producer.submit_all("notes.fifo", notes.collect()));
    assert!(results.iter().all(Result::is_ok));
    let accepted = world.queue.accepted();
    assert_eq!((accepted.messages.len(), accepted.requests, accepted.pending_most), (1000, 100, 10));
}

#[test]
fn a_delay_on_a_fifo_queue_is_refused_before_anything_is_written() {
    let world = World::new(1, false);
    world.play(1, &[Act::Add(1), Act::Note(1), Act::Later(2, 5_000)]);
    assert!(world.queue.accepted().messages.is_empty());
    assert!(world.memory.store.partition(&"account#0".into()).is_empty());
    let parked = world.memory.queues.get("bank-dead").messages().pop().expect("the message is parked");
    let reason = &parked.attributes[parking::REASON];
    assert!(reason.contains("message `note` to queue `notes.fifo` has a delay of 5 s"), "{reason}");
    let delivery = Delivery { body: parked.body, receive_count: 1, ..Delivery::default() };
    assert_eq!(world.memory.run(world.endpoint.process(&delivery)).ok(), Some(Outcome::Parked));
}
