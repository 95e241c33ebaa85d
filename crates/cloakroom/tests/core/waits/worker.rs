//! Workers on queues that do not answer, and workers that stop.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{
    Delivery, Endpoint, Error, Handled, Message, Partition, PortError, Ports, Timestamp, Tx, Worker, WorkerSettings,
    format::Envelope,
    memory::{Memory, MemoryClock},
    observe::{Event, LastProgress, Observer},
    ports::{Clock as _, Queue, QueueMessage, Queues},
};
use futures::future::join;

use super::queues::FaultyQueues;

#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    player: String,
}

impl Message for Ping {
    const TYPE: &'static str = "ping";
    fn partition(&self) -> Partition {
        Partition::new(self.player.as_str())
    }
}

async fn ping(_: &mut BTreeMap<String, u64>, _: Ping, _: &mut Tx) -> Handled {
    Ok(())
}

fn message(player: &str) -> QueueMessage {
    let mut envelope = Envelope::new(player.into(), "test", Ping::TYPE, player.into());
    envelope.data = Some(serde_json::json!({ "player": player }));
    QueueMessage { body: envelope.encode(), ..QueueMessage::default() }
}

/// An observer that records when messages were processed and when the worker made progress.
#[derive(Debug)]
struct Recorder {
    clock: Arc<MemoryClock>,
    processed: Mutex<Vec<Timestamp>>,
    progressed: Mutex<Vec<Timestamp>>,
}

impl Observer for Recorder {
    fn observe(&self, event: Event) {
        if event == Event::Processed {
            self.processed.lock().unwrap().push(self.clock.now());
        }
    }

    fn progressed(&self, queue: &str) {
        assert_eq!(queue, "pings");
        self.progressed.lock().unwrap().push(self.clock.now());
    }
}

impl Recorder {
    fn processed(&self) -> Vec<u64> {
        self.processed.lock().unwrap().iter().map(|at| at.as_secs()).collect()
    }

    fn progress(&self) -> Vec<u64> {
        self.progressed.lock().unwrap().iter().map(|at| at.as_secs()).collect()
    }
}

struct Bench {
    memory: Memory,
    recorder: Arc<Recorder>,
}

impl Bench {
    fn new() -> Self {
        let memory = Memory::with_queues(["pings", "orders"]);
        let clock = memory.clock.clone();
        Self {
            memory,
            recorder: Arc::new(Recorder { clock, processed: Mutex::default(), progressed: Mutex::default() }),
        }
    }

    fn worker(&self, queues: Arc<dyn Queues>) -> Worker {
        let ports = Ports { queues, ..self.memory.ports() };
        Worker::new(Endpoint::builder("pings").on(ping).observer(self.recorder.clone()).build(ports).unwrap(), "pings")
    }

    async fn send(&self, player: &str) {
        self.memory.queues.get("pings").send(vec![message(player)]).await[0].as_ref().unwrap();
    }

    async fn at(&self, second: u64) {
        let remaining = Timestamp::from_millis(second * 1_000).since(self.memory.clock.now());
        self.memory.clock.sleep(remaining).await;
    }

    /// Signals shutdown to a worker at this second. Returns the second at which the worker ended.
    fn run_until(&self, worker: Worker, second: u64) -> Result<u64, Error> {
        self.memory.run(worker.run(self.at(second)))?;
        Ok(self.memory.clock.now().as_secs())
    }
}

#[test]
fn worker_whose_receive_is_never_answered_receives_again() {
    let bench = Bench::new();
    bench.memory.run(bench.send("ann"));
    let queues = FaultyQueues::over(&bench.memory).silence(|call, number| call == "receive" && number == 0);
    bench.run_until(bench.worker(Arc::new(queues)), 24 * 60 * 60).unwrap();
    let processed = bench.recorder.processed();
    assert!(
        matches!(processed[..], [30 | 31]),
        "expected after a long poll of 20 s and its bound of 10 s: {processed:?}"
    );
}

#[test]
fn worker_whose_delete_is_never_answered_processes_further_messages() {
    let bench = Bench::new();
    bench.memory.run(join(bench.send("ann"), bench.send("bob")));
    let queues = FaultyQueues::over(&bench.memory).silence(|call, number| call == "delete" && number == 0);
    let settings = WorkerSettings { in_flight_max: 1, ..WorkerSettings::default() };
    bench.run_until(bench.worker(Arc::new(queues)).settings(settings), 60).unwrap();
    assert_eq!(
        bench.recorder.processed(),
        [0, 10],
        "the second message is processed when the delete of the first one is abandoned"
    );
    assert!(
        bench.memory.queues.get("pings").is_empty(),
        "the message that was not deleted was received again and deleted"
    );
}

#[test]
fn worker_that_starts_while_its_queue_cannot_be_reached_waits_for_it() {
    let bench = Bench::new();
    bench.memory.run(bench.send("ann"));
    let clock = bench.memory.clock.clone();
    let queues = FaultyQueues::over(&bench.memory).fail(move |call, _| call == "open" && clock.now().as_secs() < 3_600);
    bench.run_until(bench.worker(Arc::new(queues)), 7_200).unwrap();
    let processed = bench.recorder.processed();
    assert!(matches!(processed[..], [3_600..=3_610]), "the worker starts within ten seconds: {processed:?}");
}

#[test]
fn shutdown_ends_a_worker_that_waits_for_its_queue() {
    let bench = Bench::new();
    let queues = FaultyQueues::over(&bench.memory).silence(|call, _| call == "open");
    assert_eq!(bench.run_until(bench.worker(Arc::new(queues)), 3_600).unwrap(), 3_600);
}

#[test]
fn worker_makes_progress_only_with_each_response_and_each_message() {
    let bench = Bench::new();
    let progress = LastProgress::new(bench.memory.clock.clone());
    // The second receive and all from the fourth on are not answered.
    let queues =
        FaultyQueues::over(&bench.memory).silence(|call, number| call == "receive" && (number == 1 || number > 2));
    let settings = WorkerSettings { drain_ms: 0, ..WorkerSettings::default() };
    let worker = bench.worker(Arc::new(queues)).settings(settings);
    let send = async {
        bench.at(55).await;
        bench.send("ann").await;
        assert_eq!(progress.idle(), Duration::from_secs(55));
    };
    bench.memory.run(join(worker.run(bench.at(3_600)), send)).0.unwrap();
    let progressed = bench.recorder.progress();
    assert_eq!(
        progressed,
        [20, 55, 55],
        "expected for an empty receive, a receive with a message, and the end of the message"
    );
}

/// Queues that behave like SQS when a client drops a long poll: the poll continues to its end, and
/// takes messages that are sent in the meantime.
struct Lingering<Q: ?Sized> {
    inner: Arc<Q>,
    clock: Arc<MemoryClock>,
    /// The end and the visibility timeout of each poll whose client is gone.
    dropped: Arc<Mutex<Vec<(Timestamp, Duration)>>>,
}

impl<Q: ?Sized> fmt::Debug for Lingering<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lingering").finish_non_exhaustive()
    }
}

/// A running poll. If it is dropped before it returns, it is added to the dropped polls.
struct Poll<'a>(Option<(Timestamp, Duration)>, &'a Mutex<Vec<(Timestamp, Duration)>>);

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        self.1.lock().unwrap().extend(self.0);
    }
}

#[async_trait]
impl Queues for Lingering<dyn Queues> {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let (inner, clock) = (self.inner.open(name).await?, self.clock.clone());
        Ok(Arc::new(Lingering::<dyn Queue> { inner, clock, dropped: self.dropped.clone() }))
    }
}

#[async_trait]
impl Queue for Lingering<dyn Queue> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        let results = self.inner.send(messages).await;
        let now = self.clock.now();
        let dropped = std::mem::take(&mut *self.dropped.lock().unwrap());
        for (_, visibility) in dropped.into_iter().filter(|(until, _)| *until > now) {
            self.inner.receive(10, Duration::ZERO, visibility).await.unwrap();
        }
        results
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let mut poll = Poll(Some((self.clock.now().after(wait), visibility)), &self.dropped);
        let received = self.inner.receive(max, wait, visibility).await;
        poll.0 = None;
        received
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.inner.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.inner.extend(receipts, visibility).await
    }
}

#[test]
fn message_sent_after_the_shutdown_is_received_by_the_next_worker_at_once() {
    let bench = Bench::new();
    let (inner, clock) = (bench.memory.ports().queues, bench.memory.clock.clone());
    let queues = Arc::new(Lingering::<dyn Queues> { inner, clock, dropped: Arc::default() });
    let (first, second) = (bench.worker(queues.clone()), bench.worker(queues.clone()));
    let second = async {
        bench.at(7).await;
        second.run(bench.at(60)).await
    };
    let send = async {
        bench.at(6).await;
        queues.open("pings").await.unwrap().send(vec![message("ann")]).await[0].as_ref().unwrap();
    };
    let (workers, ()) = bench.memory.run(join(join(first.run(bench.at(5)), second), send));
    workers.0.unwrap();
    workers.1.unwrap();
    assert_eq!(bench.recorder.processed(), [7]);
}

#[test]
fn receive_of_an_idle_worker_delays_its_shutdown_by_the_drain_time_at_most() {
    for (drain_ms, ends) in [(20_000, 20), (3_000, 8), (0, 5)] {
        let bench = Bench::new();
        let settings = WorkerSettings { drain_ms, ..WorkerSettings::default() };
        let worker = bench.worker(bench.memory.ports().queues).settings(settings);
        assert_eq!(bench.run_until(worker, 5).unwrap(), ends, "drain_ms {drain_ms}");
    }
}

#[test]
fn worker_that_pauses_after_a_failed_receive_ends_at_once() {
    let bench = Bench::new();
    let queues = FaultyQueues::over(&bench.memory).fail(|call, _| call == "receive");
    assert_eq!(bench.run_until(bench.worker(Arc::new(queues)), 1_000).unwrap(), 1_000);
}
