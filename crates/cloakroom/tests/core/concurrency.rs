//! How much a worker does at a time, over memory and on virtual time.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    Delivery, Endpoint, Handled, Message, MessageId, Partition, PortError, Ports, Tx, Worker, WorkerSettings,
    error::Retry,
    format::{Claim, Envelope},
    memory::Memory,
    observe::Counters,
    ports::{Clock, PayloadStore, Queue, QueueMessage, Queues},
};

#[derive(serde::Serialize, serde::Deserialize)]
struct Job;

impl Message for Job {
    const TYPE: &'static str = "job";
    fn partition(&self) -> Partition {
        "unused".into()
    }
}

async fn job(done: &mut std::collections::BTreeMap<String, u64>, _: Job, _: &mut Tx) -> Handled {
    *done.entry("jobs".to_owned()).or_default() += 1;
    Ok(())
}

/// Each in a partition of its own.
fn messages(count: usize) -> Vec<QueueMessage> {
    let message = |number: usize| {
        let mut envelope = Envelope::new("1".into(), "test", Job::TYPE, format!("p-{number}").into());
        envelope.data = Some(serde_json::Value::Null);
        QueueMessage { body: envelope.encode(), ..QueueMessage::default() }
    };
    (0..count).map(message).collect()
}

/// What a call takes.
const LATENCY: Duration = Duration::from_millis(10);

/// Counts who is inside, and the most there were.
#[derive(Debug, Default)]
struct Inside {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Inside {
    /// Goes in, until what it returns is dropped; and how many are inside then.
    fn enter(&self) -> (Stay<'_>, usize) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        (Stay(self), now)
    }
}

struct Stay<'a>(&'a Inside);

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Dedupe entries that refuse whoever comes when so many are inside.
#[derive(Debug)]
struct Crowded {
    memory: Memory,
    inside: Inside,
    room: AtomicUsize,
    calls: AtomicUsize,
    refused: AtomicUsize,
}

impl Crowded {
    async fn call(&self) -> Result<(), PortError> {
        let (_stay, inside) = self.inside.enter();
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.memory.clock.sleep(LATENCY).await;
        if inside <= self.room.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(PortError::new("an entry", "too many requests").without_effect().because(Retry::Throttled))
    }
}

#[async_trait]
impl PayloadStore for Crowded {
    fn name(&self) -> &str {
        self.memory.payloads.name()
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        self.memory.payloads.check_in(claim, payload).await
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        self.memory.payloads.read(claim).await
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        self.memory.payloads.delete(claim).await
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        self.call().await?;
        self.memory.payloads.has_entry(endpoint, message).await
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        self.call().await?;
        self.memory.payloads.put_entry(endpoint, message).await
    }
}

/// A queue whose receives take their time, and are counted.
#[derive(Debug)]
struct Distant {
    memory: Memory,
    queue: Arc<dyn Queue>,
    receiving: Inside,
    receives: AtomicUsize,
    /// Messages that were received and not deleted; and the most there were.
    held: AtomicUsize,
    held_most: AtomicUsize,
}

impl Distant {
    fn new(memory: &Memory) -> Arc<Self> {
        let (queue, memory) = (memory.queues.get("jobs"), memory.clone());
        let zero = AtomicUsize::default;
        let (receives, held, held_most) = (zero(), zero(), zero());
        Arc::new(Self { memory, queue, receiving: Inside::default(), receives, held, held_most })
    }
}

#[async_trait]
impl Queue for Distant {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        self.queue.send(messages).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let _stay = self.receiving.enter();
        self.receives.fetch_add(1, Ordering::SeqCst);
        self.memory.clock.sleep(LATENCY).await;
        let deliveries = self.queue.receive(max, wait, visibility).await?;
        let held = self.held.fetch_add(deliveries.len(), Ordering::SeqCst) + deliveries.len();
        self.held_most.fetch_max(held, Ordering::SeqCst);
        Ok(deliveries)
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.held.fetch_sub(receipts.len(), Ordering::SeqCst);
        self.queue.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.queue.extend(receipts, visibility).await
    }
}

/// Queues of which this is the only one.
#[derive(Debug)]
struct Only(Arc<Distant>);

#[async_trait]
impl Queues for Only {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        if name == "jobs" { Ok(self.0.clone()) } else { self.0.memory.ports().queues.open(name).await }
    }
}

fn send(memory: &Memory, count: usize) {
    memory.run(memory.queues.get("jobs").send(messages(count))).into_iter().for_each(|sent| sent.unwrap());
}

fn worker(ports: Ports, counters: &Arc<Counters>, in_flight_max: usize) -> Worker {
    let endpoint = Endpoint::builder("jobs").on(job).observer(counters.clone()).build(ports).unwrap();
    Worker::new(endpoint, "jobs").settings(WorkerSettings { in_flight_max, ..WorkerSettings::default() })
}

/// Looks every now and then, until it is so.
async fn until(memory: &Memory, is_so: impl Fn() -> bool) {
    while !is_so() {
        memory.clock.sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn a_throttled_worker_holds_back_and_recovers() {
    const ROOM: usize = 16;
    const IN_FLIGHT_MAX: usize = 100;
    let (memory, counters) = (Memory::with_queues(["jobs"]), Arc::new(Counters::default()));
    let crowded = Arc::new(Crowded {
        memory: memory.clone(),
        inside: Inside::default(),
        room: ROOM.into(),
        calls: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
    });
    send(&memory, 20_000);
    let began = memory.clock.now();
    let worker = worker(Ports { payloads: crowded.clone(), ..memory.ports() }, &counters, IN_FLIGHT_MAX);
    let shutdown = async {
        until(&memory, || counters.counts().processed >= 8_000).await;
        let took = memory.clock.now().since(began);
        let (calls, refused) = (crowded.calls.load(Ordering::SeqCst), crowded.refused.load(Ordering::SeqCst));
        assert!(refused * 5 < calls, "{refused} of {calls} calls were refused");
        // As if the room had been full all the time, and each message needs two calls.
        let least = LATENCY * (2 * 8_000 / ROOM) as u32;
        assert!(took < 2 * least, "it took {took:?} for what can be done in {least:?}");

        crowded.room.store(usize::MAX, Ordering::SeqCst);
        crowded.inside.most.store(0, Ordering::SeqCst);
        until(&memory, || memory.queues.get("jobs").is_empty()).await;
    };
    memory.run(worker.run(shutdown)).unwrap();
    let most = crowded.inside.most.load(Ordering::SeqCst);
    assert!(most > 3 * IN_FLIGHT_MAX / 4, "afterwards {most} at a time");
    let counts = counters.counts();
    // Resumed are those that were given back after their commit.
    assert_eq!((counts.processed + counts.resumed, counts.parked), (20_000, 0), "nobody starves");
}

#[test]
fn an_idle_worker_waits_with_one_receive() {
    let (memory, counters) = (Memory::with_queues(["jobs"]), Arc::new(Counters::default()));
    let distant = Distant::new(&memory);
    let worker = worker(Ports { queues: Arc::new(Only(distant.clone())), ..memory.ports() }, &counters, 64);
    memory.run(worker.run(memory.clock.sleep(Duration::from_secs(600)))).unwrap();
    assert_eq!(distant.receiving.most.load(Ordering::SeqCst), 1);
    assert_eq!(distant.receives.load(Ordering::SeqCst), 30);
}

#[test]
fn a_loaded_worker_receives_in_parallel_and_ends_that_when_nothing_is_left() {
    let (memory, counters) = (Memory::with_queues(["jobs"]), Arc::new(Counters::default()));
    let distant = Distant::new(&memory);
    send(&memory, 10_000);
    let began = memory.clock.now();
    let worker = worker(Ports { queues: Arc::new(Only(distant.clone())), ..memory.ports() }, &counters, 200);
    let shutdown = async {
        until(&memory, || memory.queues.get("jobs").is_empty()).await;
        let took = memory.clock.now().since(began);
        let one_by_one = LATENCY * 10_000 / 10;
        assert!(took < one_by_one / 5, "it took {took:?}; one receive after the other takes {one_by_one:?}");
        let most = distant.receiving.most.load(Ordering::SeqCst);
        assert!((10..=20).contains(&most), "{most} receives at a time");
        let receives = distant.receives.load(Ordering::SeqCst);
        assert!(receives <= 1_000 + most, "{receives} receives, which were not full");
        let held = distant.held_most.load(Ordering::SeqCst);
        assert!(held <= 200, "{held} messages in hand");

        // Those that wait come back; then there is one.
        memory.clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(distant.receiving.now.load(Ordering::SeqCst), 1);
    };
    memory.run(worker.run(shutdown)).unwrap();
    assert_eq!(counters.counts().processed, 10_000);
}
