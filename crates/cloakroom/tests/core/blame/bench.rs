//! A worker over a memory backend whose store and queues can fail, and messages that select their
//! handler's action.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::redriving::Redriving;
use async_trait::async_trait;
use cloakroom::{
    Delivery, Endpoint, Handled, HandlerError, Message, Partition, PortError, Ports, Timestamp, Tx, Worker,
    endpoint::EndpointBuilder,
    engine::parking,
    error::Retry,
    format::{Claim, Envelope, Record},
    memory::{Memory, MemoryClock},
    observe::Counters,
    ports::{
        ClaimsStored, Clock as _, Commit, Committed, Conflict, Failures, PartitionStore, Queue, QueueMessage, Queues,
        RecordKey, StateRead,
    },
    protocol::Consistency,
};
use serde::{Deserialize, Serialize};

/// The action of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    Note,
    Fail,
    /// Runs for this number of seconds.
    Take(u64),
    Send,
    /// Sends a message without a route.
    SendUnrouted,
    /// Rejects the message, unless an earlier message was noted.
    RejectUnlessNoted,
    /// Makes the state larger than an item may be, unless an earlier message was noted.
    OverflowUnlessNoted,
}

/// The test message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) partition: String,
    pub(crate) act: Act,
    pub(crate) sent_ms: u64,
}

impl Message for Job {
    const TYPE: &'static str = "job";
    fn partition(&self) -> Partition {
        Partition::new(&*self.partition)
    }
}

#[derive(Serialize, Deserialize)]
struct Parcel;

impl Message for Parcel {
    const TYPE: &'static str = "parcel";
    fn partition(&self) -> Partition {
        "parcels".into()
    }
}

#[derive(Serialize, Deserialize)]
struct Unrouted;

impl Message for Unrouted {
    const TYPE: &'static str = "unrouted";
    fn partition(&self) -> Partition {
        "nowhere".into()
    }
}

/// The time that each message of a partition waited for its handler, in milliseconds.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Waits {
    by_message: std::collections::BTreeMap<String, u64>,
}

tokio::task_local! {
    static CLOCK: Arc<MemoryClock>;
}

async fn job(waits: &mut Waits, job: Job, tx: &mut Tx) -> Handled {
    let wait = tx.now().since(Timestamp::from_millis(job.sent_ms));
    match job.act {
        Act::Note => {}
        Act::Fail => return Err(HandlerError::retry("the handler fails")),
        Act::Take(seconds) => CLOCK.with(Arc::clone).sleep(Duration::from_secs(seconds)).await,
        Act::Send => tx.send(Parcel),
        Act::SendUnrouted => tx.send(Unrouted),
        Act::RejectUnlessNoted if waits.by_message.is_empty() => return Err(HandlerError::reject("nothing is noted")),
        Act::OverflowUnlessNoted if waits.by_message.is_empty() => {
            waits.by_message.insert("x".repeat(500_000), 0);
        }
        Act::RejectUnlessNoted | Act::OverflowUnlessNoted => {}
    }
    waits.by_message.insert(tx.message_id().to_string(), u64::try_from(wait.as_millis()).unwrap());
    Ok(())
}

pub(crate) fn builder() -> EndpointBuilder<Waits> {
    Endpoint::builder::<Waits>("jobs").on(job).route::<Parcel>("parcels")
}

pub(crate) struct Bench {
    pub(crate) memory: Memory,
    pub(crate) counters: Arc<Counters>,
    pub(crate) faults: Arc<Faults>,
    number: std::cell::Cell<u32>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            memory: Memory::with_queues(["jobs", "parcels", "parts", "parts.fifo"]),
            counters: Arc::default(),
            faults: Arc::default(),
            number: 0.into(),
        }
    }

    pub(crate) fn ports(&self) -> Ports {
        let ports = self.memory.ports();
        Ports {
            store: Arc::new(Store { faults: Arc::clone(&self.faults), inner: ports.store }),
            queues: Arc::new(FaultyQueues { faults: Arc::clone(&self.faults), inner: ports.queues }),
            ..ports
        }
    }

    pub(crate) fn worker(&self) -> Worker {
        let endpoint = builder().observer(self.counters.clone()).build(self.ports()).unwrap();
        Worker::new(endpoint, "jobs")
    }

    /// Sends a message that carries its payload.
    pub(crate) async fn send(&self, partition: &str, act: Act) {
        let mut envelope = self.envelope(partition);
        let job = Job { partition: partition.to_owned(), act, sent_ms: self.memory.clock.now().as_millis() };
        envelope.data = Some(serde_json::to_value(job).unwrap());
        self.send_envelope(&envelope).await;
    }

    /// Sends a message whose payload is in a store that the endpoint does not have.
    pub(crate) async fn send_from_unknown_store(&self, partition: &str) {
        let mut envelope = self.envelope(partition);
        envelope.dataref = Some(Claim::from_random(7, "elsewhere"));
        self.send_envelope(&envelope).await;
    }

    fn envelope(&self, partition: &str) -> Envelope {
        self.number.set(self.number.get() + 1);
        Envelope::new(format!("m-{}", self.number.get()).into(), "test", Job::TYPE, partition.into())
    }

    async fn send_envelope(&self, envelope: &Envelope) {
        let message = QueueMessage { body: envelope.encode(), ..QueueMessage::default() };
        let sent = self.memory.queues.get("jobs").send(vec![message]).await;
        sent.into_iter().for_each(|sent| sent.unwrap());
    }

    /// Sends one message per interval, each in its own partition.
    pub(crate) async fn traffic(&self, messages: u32, every: Duration) {
        for number in 0..messages {
            self.send(&format!("cold-{number}"), Act::Note).await;
            self.memory.clock.sleep(every).await;
        }
    }

    /// Runs a worker until its queue is empty, for at most `max`.
    pub(crate) fn run_until_empty(&self, worker: Worker, max: Duration) {
        let queue = self.memory.queues.get("jobs");
        self.run(worker, async {
            let began = self.memory.clock.now();
            while !queue.is_empty() && self.memory.clock.now().since(began) < max {
                self.memory.clock.sleep(Duration::from_millis(100)).await;
            }
        });
    }

    /// A delivery that carries its payload.
    pub(crate) fn delivery(&self, partition: &str, act: Act, receive_count: u32) -> Delivery {
        let mut envelope = Envelope::new("m".into(), "test", Job::TYPE, partition.into());
        let job = Job { partition: partition.to_owned(), act, sent_ms: 0 };
        envelope.data = Some(serde_json::to_value(job).unwrap());
        Delivery { body: envelope.encode(), receive_count, ..Delivery::default() }
    }

    /// Runs a future with the clock that the handlers use.
    pub(crate) fn run_with_clock<T>(&self, work: impl Future<Output = T>) -> T {
        self.memory.run(CLOCK.scope(Arc::clone(&self.memory.clock), work))
    }

    /// Runs a worker until `work` is complete.
    pub(crate) fn run(&self, worker: Worker, work: impl Future<Output = ()>) {
        let (stop, stopped) = futures::channel::oneshot::channel::<()>();
        let work = async {
            work.await;
            drop(stop);
        };
        let running = worker.run(async {
            let _ = stopped.await;
        });
        let both = async { futures::join!(running, work).0 };
        self.memory.run(CLOCK.scope(Arc::clone(&self.memory.clock), both)).unwrap();
    }

    /// Returns the waits of a partition's messages, in milliseconds.
    pub(crate) fn waits(&self, partition: &str) -> Vec<u64> {
        let mut items = self.memory.store.partition(&partition.into());
        let Some(item) = items.remove("state#jobs") else { return Vec::new() };
        serde_dynamo::from_item::<_, Waits>(item).unwrap().by_message.into_values().collect()
    }

    /// Returns the longest wait of the messages of [`traffic`](Self::traffic), all of which must
    /// have been processed.
    #[track_caller]
    pub(crate) fn longest_wait(&self, messages: u32) -> Duration {
        let waits = (0..messages).flat_map(|number| {
            let waits = self.waits(&format!("cold-{number}"));
            assert_eq!(waits.len(), 1, "message {number} was not processed");
            waits
        });
        Duration::from_millis(waits.max().unwrap())
    }

    /// Returns the reason of each parked message.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let dead = self.memory.queues.get("jobs-dead").messages();
        let reason = |message: &QueueMessage| message.attributes.get(parking::REASON).cloned();
        dead.iter().map(|message| reason(message).unwrap_or_else(|| "moved by the queue".to_owned())).collect()
    }
}

/// The faults that are active.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Access to the table is denied.
    pub(crate) table_denied: AtomicBool,
    /// The state of the partition `damaged` cannot be read.
    pub(crate) state_damaged: AtomicBool,
    /// The table does not respond.
    pub(crate) table_out: AtomicBool,
    /// Eventually consistent reads return the state before any commit.
    pub(crate) states_stale: AtomicBool,
    /// Every commit in the partition `hot` loses.
    pub(crate) hot_contended: AtomicBool,
    /// Every transaction in the partition `hot` conflicts with another one.
    pub(crate) hot_conflicts: AtomicBool,
    /// The queue of a route does not exist.
    pub(crate) route_missing: AtomicBool,
    /// The queue of a route accepts no messages.
    pub(crate) route_refuses: AtomicBool,
}

pub(crate) fn set(fault: &AtomicBool, holds: bool) {
    fault.store(holds, Ordering::SeqCst);
}

fn holds(fault: &AtomicBool) -> bool {
    fault.load(Ordering::SeqCst)
}

#[derive(Debug)]
struct Store {
    faults: Arc<Faults>,
    inner: Arc<dyn PartitionStore>,
}

#[async_trait]
impl PartitionStore for Store {
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        if holds(&self.faults.table_denied) {
            return Err(PortError::new("GetItem", "access denied").without_effect().permanent());
        }
        if holds(&self.faults.table_out) {
            return Err(PortError::new("GetItem", "no response"));
        }
        if partition.as_str() == "damaged" && holds(&self.faults.state_damaged) {
            return Err(PortError::new("reading the state", "no version").without_effect().caused_by_data());
        }
        if consistency == Consistency::Any && holds(&self.faults.states_stale) {
            return Ok(StateRead::default());
        }
        self.inner.read_state(partition, endpoint, consistency).await
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        self.inner.has_records(partition, endpoint).await
    }

    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        self.inner.read_record(key).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        if commit.partition.as_str() == "hot" && holds(&self.faults.hot_contended) {
            return Ok(Committed::Conflict(Conflict::Overtaken));
        }
        if commit.partition.as_str() == "hot" && holds(&self.faults.hot_conflicts) {
            let error = PortError::new("TransactWriteItems", "another transaction has the item");
            return Err(error.without_effect().because(Retry::TransactionConflict));
        }
        self.inner.commit(commit).await
    }

    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError> {
        self.inner.store_claims(key, record).await
    }

    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError> {
        self.inner.retain(key, record, expires).await
    }

    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        self.inner.clear(key).await
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        self.inner.read_failures(key).await
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        self.inner.write_failures(key, failures).await
    }
}

#[derive(Debug)]
struct FaultyQueues {
    faults: Arc<Faults>,
    inner: Arc<dyn Queues>,
}

#[async_trait]
impl Queues for FaultyQueues {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        if name == "parcels" && holds(&self.faults.route_missing) {
            return Err(PortError::new("opening queue `parcels`", "it does not exist").without_effect().permanent());
        }
        let queue = self.inner.open(name).await?;
        let dead = self.inner.open("jobs-dead").await?;
        Ok(match name {
            "jobs" => Arc::new(Redriving { queue, dead }),
            "parcels" => Arc::new(Refusing { faults: Arc::clone(&self.faults), queue }),
            _ => queue,
        })
    }
}

/// A queue that refuses messages while `route_refuses` is set.
#[derive(Debug)]
struct Refusing {
    faults: Arc<Faults>,
    queue: Arc<dyn Queue>,
}

#[async_trait]
impl Queue for Refusing {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        if holds(&self.faults.route_refuses) {
            let refused = || PortError::new("send to queue `parcels`", "access denied").without_effect().permanent();
            return messages.iter().map(|_| Err(refused())).collect();
        }
        self.queue.send(messages).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        self.queue.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.queue.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.queue.extend(receipts, visibility).await
    }
}
