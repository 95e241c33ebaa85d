//! The worker on a backend in memory, in virtual time.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod counted;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{
    Delivery, Endpoint, Handled, HandlerError, Message, Partition, PortError, Ports, Timestamp, Tx, Worker,
    WorkerSettings,
    engine::parking,
    format::{Envelope, Record},
    memory::Memory,
    observe::Counters,
    ports::{
        ClaimsStored, Clock, Commit, Committed, Failures, PartitionStore, Queue, QueueMessage, Queues, RecordKey,
        StateRead,
    },
    protocol::Consistency,
};
use counted::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Job {
    partition: String,
    takes_s: u64,
}

impl Message for Job {
    const TYPE: &'static str = "job";
    fn partition(&self) -> Partition {
        Partition::new(self.partition.as_str())
    }
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Done {
    jobs: Vec<String>,
}

tokio::task_local! {
    /// The world of the test, for the handler.
    static WORLD: Arc<World>;
}

struct World {
    memory: Memory,
    running: AtomicUsize,
    running_max: AtomicUsize,
}

async fn job(done: &mut Done, job: Job, tx: &mut Tx) -> Handled {
    if job.partition == "poison" {
        return Err(HandlerError::reject("poison"));
    }
    let world = WORLD.with(Arc::clone);
    let running = world.running.fetch_add(1, Ordering::SeqCst) + 1;
    world.running_max.fetch_max(running, Ordering::SeqCst);
    world.memory.clock.sleep(Duration::from_secs(job.takes_s)).await;
    world.running.fetch_sub(1, Ordering::SeqCst);
    done.jobs.push(tx.message_id().to_string());
    Ok(())
}

fn message(id: usize, partition: &str, takes_s: u64) -> QueueMessage {
    let mut envelope = Envelope::new(format!("m-{id}").into(), "test", Job::TYPE, partition.into());
    envelope.data = Some(serde_json::json!({ "partition": partition, "takes_s": takes_s }));
    QueueMessage { body: envelope.encode(), ..QueueMessage::default() }
}

struct Bench {
    world: Arc<World>,
    counters: Arc<Counters>,
}

impl Bench {
    fn new() -> Self {
        let memory = Memory::with_queues(["jobs"]);
        let world = World { memory, running: AtomicUsize::new(0), running_max: AtomicUsize::new(0) };
        Self { world: Arc::new(world), counters: Arc::default() }
    }

    fn memory(&self) -> &Memory {
        &self.world.memory
    }

    fn worker(&self, queues: Option<Arc<dyn Queues>>) -> Worker {
        let mut ports = self.memory().ports();
        ports.queues = queues.unwrap_or(ports.queues);
        let endpoint = Endpoint::builder::<Done>("jobs").on(job).observer(self.counters.clone()).build(ports).unwrap();
        Worker::new(endpoint, "jobs")
    }

    /// Runs workers until the queue is empty, or for at most `seconds`.
    fn run(&self, workers: Vec<Worker>, seconds: u64) {
        let shutdown = || async {
            for _ in 0..seconds * 10 {
                if self.memory().queues.get("jobs").is_empty() {
                    return;
                }
                self.memory().clock.sleep(Duration::from_millis(100)).await;
            }
        };
        let all = futures::future::join_all(workers.into_iter().map(|worker| worker.run(shutdown())));
        let results = self.memory().run(WORLD.scope(Arc::clone(&self.world), all));
        results.into_iter().for_each(|result| result.unwrap());
    }

    fn send(&self, messages: Vec<QueueMessage>) {
        self.memory().run(self.memory().queues.get("jobs").send(messages)).into_iter().for_each(|sent| sent.unwrap());
    }

    fn jobs(&self, partition: &str) -> Vec<String> {
        let mut items = self.memory().store.partition(&partition.into());
        let Some(item) = items.remove("state#jobs") else { return Vec::new() };
        serde_dynamo::from_item::<_, Done>(item).unwrap().jobs
    }
}

#[test]
fn every_message_is_processed_once_by_several_workers() {
    let bench = Bench::new();
    let partition = |id: usize| format!("p-{}", id % 7);
    bench.send((0..300).map(|id| message(id, &partition(id), 0)).collect());
    bench.run(vec![bench.worker(None), bench.worker(None), bench.worker(None)], 600);
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    (0..7).flat_map(|p| bench.jobs(&format!("p-{p}"))).for_each(|id| *done.entry(id).or_default() += 1);
    assert_eq!(done.len(), 300);
    assert!(done.values().all(|times| *times == 1));
    assert!(bench.memory().queues.get("jobs").is_empty());
}

#[test]
fn messages_of_a_partition_are_processed_one_at_a_time_in_order() {
    let bench = Bench::new();
    bench.send((0..20).map(|id| message(id, "one", 1)).collect());
    bench.run(vec![bench.worker(None)], 600);
    assert_eq!(bench.world.running_max.load(Ordering::SeqCst), 1);
    assert_eq!(bench.jobs("one"), (0..20).map(|id| format!("m-{id}")).collect::<Vec<_>>());
    assert_eq!(bench.counters.counts().conflict, 0);
}

#[test]
fn at_most_in_flight_max_messages_are_processed_at_a_time() {
    let bench = Bench::new();
    bench.send((0..60).map(|id| message(id, &format!("p-{id}"), 3)).collect());
    let settings = WorkerSettings { in_flight_max: 12, ..WorkerSettings::default() };
    bench.run(vec![bench.worker(None).settings(settings)], 600);
    let most = bench.world.running_max.load(Ordering::SeqCst);
    assert!((2..=12).contains(&most), "{most} messages at a time");
    assert_eq!(bench.counters.counts().processed, 60);
}

#[test]
fn worker_extends_the_visibility_timeout_of_a_long_handler() {
    let bench = Bench::new();
    bench.send(vec![message(0, "slow", 300)]);
    bench.run(vec![bench.worker(None), bench.worker(None)], 1_000);
    assert_eq!(
        bench.counters.counts().handled,
        1,
        "the visibility timeout was extended, so no worker received it again"
    );
    assert_eq!(bench.jobs("slow"), ["m-0"]);
}

#[test]
fn worker_at_shutdown_finishes_messages_in_flight_and_receives_no_more() {
    let bench = Bench::new();
    bench.send((0..40).map(|id| message(id, &format!("p-{id}"), 5)).collect());
    let memory = bench.memory().clone();
    let settings = WorkerSettings { in_flight_max: 10, ..WorkerSettings::default() };
    let run = bench.worker(None).settings(settings).run(memory.clock.sleep(Duration::from_secs(2)));
    memory.run(WORLD.scope(Arc::clone(&bench.world), run)).unwrap();
    assert_eq!(bench.counters.counts().processed, 10);
    assert_eq!(memory.queues.get("jobs").len(), 30);
}

#[test]
fn worker_at_shutdown_releases_messages_that_exceed_the_drain_time() {
    let bench = Bench::new();
    bench.send(vec![message(0, "slow", 300)]);
    let memory = bench.memory().clone();
    let settings = WorkerSettings { drain_ms: 1_000, ..WorkerSettings::default() };
    let run = bench.worker(None).settings(settings).run(memory.clock.sleep(Duration::from_secs(2)));
    memory.run(WORLD.scope(Arc::clone(&bench.world), run)).unwrap();
    let queue = memory.queues.get("jobs");
    let again = memory.run(queue.receive(1, Duration::ZERO, Duration::from_secs(30))).unwrap();
    assert_eq!(again.len(), 1, "it can be received again before its visibility timeout would have ended");
}

#[test]
fn rejected_message_is_parked_with_its_reason_and_does_not_affect_others() {
    let bench = Bench::new();
    let mut malformed = message(1, "p-1", 0);
    malformed.body.truncate(20);
    bench.send(vec![message(0, "poison", 0), malformed, message(2, "p-2", 0)]);
    bench.run(vec![bench.worker(None)], 60);
    assert_eq!(bench.jobs("p-2"), ["m-2"]);
    let dead = bench.memory().queues.get("jobs-dead").messages();
    let mut reasons: Vec<_> = dead.iter().map(|message| message.attributes[parking::REASON].clone()).collect();
    reasons.sort();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].starts_with("not an envelope"), "{reasons:?}");
    assert_eq!(reasons[1], "poison");
}

#[test]
fn worker_under_load_fills_its_requests() {
    let bench = Bench::new();
    let counted = Arc::new(CountedQueues { queues: bench.memory().ports().queues, requests: Arc::default() });
    bench.send((0..1_000).map(|id| message(id, &format!("p-{id}"), 0)).collect());
    bench.run(vec![bench.worker(Some(counted.clone()))], 600);
    assert_eq!(bench.counters.counts().processed, 1_000);
    let requests = counted.requests.load(Ordering::SeqCst);
    assert!(requests <= 210, "{requests} requests to receive and delete 1,000 messages");
}

#[test]
fn attempt_that_hangs_ends_at_its_time_limit() {
    let bench = Bench::new();
    bench.send((0..10).map(|id| message(id, "hangs", 1_000_000)).collect());
    bench.send(vec![message(10, "fine", 0)]);
    let settings = WorkerSettings { in_flight_max: 10, attempt_ms_max: 60_000, ..WorkerSettings::default() };
    bench.run(vec![bench.worker(None).settings(settings)], 3_600);
    assert_eq!(bench.jobs("fine"), ["m-10"]);
    assert_eq!(bench.counters.counts().processed, 1);
}

#[test]
fn outage_does_not_use_up_the_attempts_of_messages() {
    let bench = Bench::new();
    bench.send((0..200).map(|id| message(id, &format!("p-{id}"), 0)).collect());
    let memory = bench.memory().clone();
    let ports = Ports { store: Out::of(&memory), ..memory.ports() };
    let endpoint = Endpoint::builder::<Done>("jobs").on(job).observer(bench.counters.clone()).build(ports).unwrap();
    bench.run(vec![Worker::new(endpoint, "jobs")], 20_000);
    let counts = bench.counters.counts();
    assert_eq!(counts.processed, 200);
    assert!(counts.given_back < 200 * 4, "{} receives ended with the message given back", counts.given_back);
}

/// Another worker has processed the message that failed here. No message of this worker shows that
/// the service is available again.
#[test]
fn worker_without_messages_after_an_outage_receives_the_next_one_at_once() {
    // At one moment the worker may be about to receive anyway. Ten moments exclude that
    // coincidence.
    for after_s in (1_200..1_500).step_by(30) {
        let took = next_message_after_an_outage(after_s);
        assert!(took < Duration::from_secs(1), "a message that was sent after {after_s} s took {took:?}");
    }
}

/// Returns how long a message takes that is sent `after_s` after the failed message was deleted.
fn next_message_after_an_outage(after_s: u64) -> Duration {
    let bench = Bench::new();
    bench.send(vec![message(0, "p", 0)]);
    let memory = bench.memory().clone();
    let ports = Ports { store: Out::of(&memory), ..memory.ports() };
    let endpoint = Endpoint::builder::<Done>("jobs").on(job).build(ports).unwrap();
    let (queue, seconds) = (memory.queues.get("jobs"), Duration::from_secs);
    let took = async {
        memory.clock.sleep(seconds(3_000)).await;
        while !queue.is_empty() {
            let taken = queue.receive(1, seconds(20), seconds(600)).await.unwrap();
            queue.delete(taken.into_iter().map(|delivery| delivery.receipt).collect()).await;
        }
        memory.clock.sleep(seconds(after_s)).await;
        queue.send(vec![message(1, "q", 0)]).await;
        let sent = memory.clock.now();
        while !queue.is_empty() {
            memory.clock.sleep(Duration::from_millis(100)).await;
        }
        memory.clock.now().since(sent)
    };
    let worker = Worker::new(endpoint, "jobs").run(std::future::pending());
    let both = futures::future::select(Box::pin(worker), Box::pin(took));
    match memory.run(WORLD.scope(Arc::clone(&bench.world), both)) {
        futures::future::Either::Left((ended, _)) => panic!("the worker ended: {ended:?}"),
        futures::future::Either::Right((took, _)) => took,
    }
}

/// A store that is out of service for the first hour. Only the check with which a worker starts
/// succeeds.
#[derive(Debug)]
struct Out(Arc<dyn Clock>, Arc<dyn PartitionStore>, AtomicUsize);

impl Out {
    fn of(memory: &Memory) -> Arc<Self> {
        Arc::new(Self(memory.clock.clone(), memory.ports().store, AtomicUsize::new(0)))
    }

    fn fail(&self) -> Result<(), PortError> {
        if self.2.fetch_add(1, Ordering::SeqCst) == 0 || self.0.now().as_secs() >= 3_600 {
            return Ok(());
        }
        Err(PortError::new("the store", "out of service"))
    }
}

#[async_trait]
impl PartitionStore for Out {
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        self.fail()?;
        self.1.read_state(partition, endpoint, consistency).await
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        self.1.has_records(partition, endpoint).await
    }

    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        self.1.read_record(key).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        self.1.commit(commit).await
    }

    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError> {
        self.1.store_claims(key, record).await
    }

    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError> {
        self.1.retain(key, record, expires).await
    }

    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        self.1.clear(key).await
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        self.1.read_failures(key).await
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        self.1.write_failures(key, failures).await
    }
}
