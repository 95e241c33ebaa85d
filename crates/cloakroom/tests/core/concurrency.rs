//! The concurrency of a worker, over memory and on virtual time.
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

/// Messages, each in its own partition.
fn messages(count: usize) -> Vec<QueueMessage> {
    let message = |number: usize| {
        let mut envelope = Envelope::new("1".into(), "test", Job::TYPE, format!("p-{number}").into());
        envelope.data = Some(serde_json::Value::Null);
        QueueMessage { body: envelope.encode(), ..QueueMessage::default() }
    };
    (0..count).map(message).collect()
}

/// The duration of a call.
const LATENCY: Duration = Duration::from_millis(10);

/// Counts concurrent calls, and their maximum.
#[derive(Debug, Default)]
struct Concurrency {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Concurrency {
    /// Counts a call until the returned guard is dropped. Also returns the number of concurrent
    /// calls.
    fn enter(&self) -> (ConcurrencyGuard<'_>, usize) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        (ConcurrencyGuard(self), now)
    }
}

struct ConcurrencyGuard<'a>(&'a Concurrency);

impl Drop for ConcurrencyGuard<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A payload store that throttles dedupe entry calls above a limit of concurrent calls.
#[derive(Debug)]
struct ThrottlingPayloads {
    memory: Memory,
    concurrency: Concurrency,
    limit: AtomicUsize,
    calls: AtomicUsize,
    refused: AtomicUsize,
}

impl ThrottlingPayloads {
    async fn call(&self) -> Result<(), PortError> {
        let (_guard, concurrency) = self.concurrency.enter();
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.memory.clock.sleep(LATENCY).await;
        if concurrency <= self.limit.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(PortError::new("a call for a dedupe entry", "too many requests").without_effect().because(Retry::Throttled))
    }
}

#[async_trait]
impl PayloadStore for ThrottlingPayloads {
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

/// A queue whose receives take time and are counted.
#[derive(Debug)]
struct SlowQueue {
    memory: Memory,
    queue: Arc<dyn Queue>,
    receiving: Concurrency,
    receives: AtomicUsize,
    /// Messages that were received and not deleted, and their maximum.
    in_flight: AtomicUsize,
    in_flight_most: AtomicUsize,
}

impl SlowQueue {
    fn new(memory: &Memory) -> Arc<Self> {
        let (queue, memory) = (memory.queues.get("jobs"), memory.clone());
        let zero = AtomicUsize::default;
        let (receives, in_flight, in_flight_most) = (zero(), zero(), zero());
        Arc::new(Self { memory, queue, receiving: Concurrency::default(), receives, in_flight, in_flight_most })
    }
}

#[async_trait]
impl Queue for SlowQueue {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        self.queue.send(messages).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let _guard = self.receiving.enter();
        self.receives.fetch_add(1, Ordering::SeqCst);
        self.memory.clock.sleep(LATENCY).await;
        let deliveries = self.queue.receive(max, wait, visibility).await?;
        let in_flight = self.in_flight.fetch_add(deliveries.len(), Ordering::SeqCst) + deliveries.len();
        self.in_flight_most.fetch_max(in_flight, Ordering::SeqCst);
        Ok(deliveries)
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.in_flight.fetch_sub(receipts.len(), Ordering::SeqCst);
        self.queue.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.queue.extend(receipts, visibility).await
    }
}

/// Queues with one slow queue.
#[derive(Debug)]
struct SlowQueues(Arc<SlowQueue>);

#[async_trait]
impl Queues for SlowQueues {
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

/// Waits until a condition holds. Checks it every 100 ms.
async fn wait_until(memory: &Memory, holds: impl Fn() -> bool) {
    while !holds() {
        memory.clock.sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn throttled_worker_reduces_its_concurrency_and_recovers() {
    const LIMIT: usize = 16;
    const IN_FLIGHT_MAX: usize = 100;
    let (memory, counters) = (Memory::with_queues(["jobs"]), Arc::new(Counters::default()));
    let throttling = Arc::new(ThrottlingPayloads {
        memory: memory.clone(),
        concurrency: Concurrency::default(),
        limit: LIMIT.into(),
        calls: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
    });
    send(&memory, 20_000);
    let began = memory.clock.now();
    let worker = worker(Ports { payloads: throttling.clone(), ..memory.ports() }, &counters, IN_FLIGHT_MAX);
    let shutdown = async {
        wait_until(&memory, || counters.counts().processed >= 8_000).await;
        let took = memory.clock.now().since(began);
        let (calls, refused) = (throttling.calls.load(Ordering::SeqCst), throttling.refused.load(Ordering::SeqCst));
        assert!(refused * 5 < calls, "{refused} of {calls} calls were refused");
        // The duration if the concurrency were always at the limit. Each message needs two calls.
        let least = LATENCY * (2 * 8_000 / LIMIT) as u32;
        assert!(took < 2 * least, "the messages took {took:?}, but {least:?} is possible");

        throttling.limit.store(usize::MAX, Ordering::SeqCst);
        throttling.concurrency.most.store(0, Ordering::SeqCst);
        wait_until(&memory, || memory.queues.get("jobs").is_empty()).await;
    };
    memory.run(worker.run(shutdown)).unwrap();
    let most = throttling.concurrency.most.load(Ordering::SeqCst);
    assert!(most > 3 * IN_FLIGHT_MAX / 4, "at most {most} concurrent calls after the throttling ended");
    let counts = counters.counts();
    // A message that was released after its commit counts as resumed.
    assert_eq!((counts.processed + counts.resumed, counts.parked), (20_000, 0), "every message must be processed");
}

#[test]
fn an_idle_worker_waits_with_one_receive() {
    let (memory, counters) = (Memory::with_queues(["jobs"]), Arc::new(Counters::default()));
    let slow_queue = SlowQueue::new(&memory);
    let worker = worker(Ports { queues: Arc::new(SlowQueues(slow_queue.clone())), ..memory.ports() }, &counters, 64);
    memory.run(worker.run(memory.clock.sleep(Duration::from_secs(600)))).unwrap();
    assert_eq!(slow_queue.receiving.most.load(Ordering::SeqCst), 1);
    assert_eq!(slow_queue.receives.load(Ordering::SeqCst), 30);
}

#[test]
fn loaded_worker_receives_in_parallel_until_its_queue_is_empty() {
    let (memory, counters) = (Memory::with_queues(["jobs"]), Arc::new(Counters::default()));
    let slow_queue = SlowQueue::new(&memory);
    send(&memory, 10_000);
    let began = memory.clock.now();
    let worker = worker(Ports { queues: Arc::new(SlowQueues(slow_queue.clone())), ..memory.ports() }, &counters, 200);
    let shutdown = async {
        wait_until(&memory, || memory.queues.get("jobs").is_empty()).await;
        let took = memory.clock.now().since(began);
        let one_by_one = LATENCY * 10_000 / 10;
        assert!(took < one_by_one / 5, "the receives took {took:?}; receives one by one take {one_by_one:?}");
        let most = slow_queue.receiving.most.load(Ordering::SeqCst);
        assert!((10..=20).contains(&most), "{most} concurrent receives");
        let receives = slow_queue.receives.load(Ordering::SeqCst);
        assert!(receives <= 1_000 + most, "{receives} receives, so some were not full");
        let in_flight = slow_queue.in_flight_most.load(Ordering::SeqCst);
        assert!(in_flight <= 200, "{in_flight} messages in flight");

        // The waiting long polls return; then only one remains.
        memory.clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(slow_queue.receiving.now.load(Ordering::SeqCst), 1);
    };
    memory.run(worker.run(shutdown)).unwrap();
    assert_eq!(counters.counts().processed, 10_000);
}
