//! Order on FIFO queues, whatever fails: of one handler's messages each comes for the first time behind those before it.

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

/// A FIFO queue that refuses some entries of a batch, and says nothing of others that it takes.
#[derive(Debug)]
struct Moody {
    name: String,
    is_moody: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    random: fastrand::Rng,
    /// The deduplication ids of what it took.
    known: BTreeSet<Option<String>>,
    taken: Vec<QueueMessage>,
    requests: usize,
    /// Requests that it has not answered yet; and the most of them that there were.
    under_way: usize,
    most: usize,
}

impl Moody {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for Moody {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        // The answers of two batches do not come in the order in which they were sent.
        let waits = {
            let held = &mut *self.held();
            held.under_way += 1;
            held.most = held.most.max(held.under_way);
            held.random.u8(..4)
        };
        for _ in 0..waits {
            fixture::stage::yield_once().await;
        }
        let held = &mut *self.held();
        held.requests += 1;
        held.under_way -= 1;
        let failure = || PortError::new("send", "a mood");
        let mut take = |message: QueueMessage| {
            let mood = if self.is_moody.load(Ordering::Relaxed) { held.random.u8(..4) } else { 0 };
            if mood == 1 {
                return Err(failure().without_effect());
            }
            if held.known.insert(message.deduplication.clone()) {
                held.taken.push(message);
            }
            if mood == 2 { Err(failure()) } else { Ok(()) }
        };
        messages.into_iter().map(&mut take).collect()
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

/// Queues of which one is moody.
#[derive(Debug)]
struct ButOne(Arc<Moody>, Arc<dyn Queues>);

#[async_trait]
impl Queues for ButOne {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        if name == self.0.name { Ok(self.0.clone()) } else { self.1.open(name).await }
    }
}

struct World {
    memory: Memory,
    queue: Arc<Moody>,
    ports: Ports,
    endpoint: Endpoint,
}

impl World {
    fn new(seed: u64, is_moody: bool) -> Self {
        let (memory, random) = (Memory::seeded(seed), fastrand::Rng::with_seed(seed));
        memory.create_queues(["bank"]);
        let held = Held { random, known: BTreeSet::new(), taken: Vec::new(), requests: 0, under_way: 0, most: 0 };
        let queue = Moody { name: "notes.fifo".to_owned(), is_moody: is_moody.into(), held: held.into() };
        let queue = Arc::new(queue);
        let ports = memory.ports();
        let ports = Ports { queues: Arc::new(ButOne(queue.clone(), ports.queues)), ..ports };
        let builder = Endpoint::builder::<Account>("bank").on(play).route::<Note>("notes.fifo");
        let endpoint = builder.build(ports.clone()).expect("an endpoint");
        Self { memory, queue, ports, endpoint }
    }

    /// Processes a message of each of so many accounts at the same time, until each is finished. Returns the groups of
    /// what was sent, with the numbers of their notes.
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
        for message in &self.queue.held().taken {
            let partition = Envelope::decode(&message.body).expect("an envelope").partition.to_string();
            groups.entry(message.group.clone().expect("a group")).or_default().push(partition);
        }
        groups
    }
}

#[test]
fn a_group_keeps_its_order_whatever_fails() {
    let acts: Vec<Act> = (0..6).map(Act::Note).collect();
    let in_order: Vec<String> = (0..6).map(|number| format!("note#{number}")).collect();
    for seed in 0..50 {
        let groups = World::new(seed, true).play(7, &acts);
        assert_eq!(groups.len(), 7);
        for (group, notes) in groups {
            assert_eq!(notes, in_order, "of {group}, seed {seed}");
        }
    }
}

#[test]
fn groups_fill_batches_together() {
    let world = World::new(1, false);
    world.play(10, &[Act::Note(1), Act::Note(2), Act::Note(3)]);
    let held = world.queue.held();
    assert_eq!((held.taken.len(), held.requests), (30, 3));
}

#[test]
fn a_thousand_messages_do_not_ask_a_hundred_times_at_once() {
    let world = World::new(1, false);
    let producer = Producer::new(world.ports.clone(), "test").expect("a producer");
    let notes = (0..1000).map(|number| Submission::new(number.to_string(), &Note { number, text: String::new() }));
    let answers = world.memory.run(producer.submit_all("notes.fifo", notes.collect()));
    assert!(answers.iter().all(Result::is_ok));
    let held = world.queue.held();
    assert_eq!((held.taken.len(), held.requests, held.most), (1000, 100, 10));
}

#[test]
fn a_delay_on_a_fifo_queue_is_refused_before_anything_is_written() {
    let world = World::new(1, false);
    world.play(1, &[Act::Add(1), Act::Note(1), Act::Later(2, 5_000)]);
    assert!(world.queue.held().taken.is_empty());
    assert!(world.memory.store.partition(&"account#0".into()).is_empty());
    let parked = world.memory.queues.get("bank-dead").messages().pop().expect("it is parked");
    let reason = &parked.attributes[parking::REASON];
    assert!(reason.contains("message `note` to queue `notes.fifo` is to be held back for 5 s"), "{reason}");
    let delivery = Delivery { body: parked.body, receive_count: 1, ..Delivery::default() };
    assert_eq!(world.memory.run(world.endpoint.process(&delivery)).ok(), Some(Outcome::Parked));
}
