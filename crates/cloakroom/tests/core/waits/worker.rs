//! Workers over queues that do not answer, and workers that stop.

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

use super::queues::Moody;

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

/// The moments of events and of progress.
#[derive(Debug)]
struct Seen {
    clock: Arc<MemoryClock>,
    processed: Mutex<Vec<Timestamp>>,
    progressed: Mutex<Vec<Timestamp>>,
}

impl Observer for Seen {
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

impl Seen {
    fn processed(&self) -> Vec<u64> {
        self.processed.lock().unwrap().iter().map(|at| at.as_secs()).collect()
    }

    fn progress(&self) -> Vec<u64> {
        self.progressed.lock().unwrap().iter().map(|at| at.as_secs()).collect()
    }
}

struct Bench {
    memory: Memory,
    seen: Arc<Seen>,
}

impl Bench {
    fn new() -> Self {
        let memory = Memory::with_queues(["pings", "orders"]);
        let clock = memory.clock.clone();
        Self { memory, seen: Arc::new(Seen { clock, processed: Mutex::default(), progressed: Mutex::default() }) }
    }

    fn worker(&self, queues: Arc<dyn Queues>) -> Worker {
        let ports = Ports { queues, ..self.memory.ports() };
        Worker::new(Endpoint::builder("pings").on(ping).observer(self.seen.clone()).build(ports).unwrap(), "pings")
    }

    async fn send(&self, player: &str) {
        self.memory.queues.get("pings").send(vec![message(player)]).await[0].as_ref().unwrap();
    }

    async fn at(&self, second: u64) {
        let left = Timestamp::from_millis(second * 1_000).since(self.memory.clock.now());
        self.memory.clock.sleep(left).await;
    }

    /// Runs a worker until this second, and returns the second in which it has ended.
    fn run_until(&self, worker: Worker, second: u64) -> Result<u64, Error> {
        self.memory.run(worker.run(self.at(second)))?;
        Ok(self.memory.clock.now().as_secs())
    }
}

#[test]
fn worker_whose_receive_is_never_answered_receives_again() {
    let bench = Bench::new();
    bench.memory.run(bench.send("ann"));
    let queues = Moody::over(&bench.memory).silence(|call, number| call == "receive" && number == 0);
    bench.run_until(bench.worker(Arc::new(queues)), 24 * 60 * 60).unwrap();
    let processed = bench.seen.processed();
    assert!(matches!(processed[..], [30 | 31]), "a long poll of 20 s, and its bound of 10 s: {processed:?}");
}

#[test]
fn worker_whose_delete_is_never_answered_takes_further_messages() {
    let bench = Bench::new();
    bench.memory.run(join(bench.send("ann"), bench.send("bob")));
    let queues = Moody::over(&bench.memory).silence(|call, number| call == "delete" && number == 0);
    let settings = WorkerSettings { in_flight_max: 1, ..WorkerSettings::default() };
    bench.run_until(bench.worker(Arc::new(queues)).settings(settings), 60).unwrap();
    assert_eq!(bench.seen.processed(), [0, 10], "the second one when the delete of the first is given up");
    assert!(bench.memory.queues.get("pings").is_empty(), "what was not deleted came again");
}

#[test]
fn worker_that_starts_while_its_queue_cannot_be_reached_waits_for_it() {
    let bench = Bench::new();
    bench.memory.run(bench.send("ann"));
    let clock = bench.memory.clock.clone();
    let queues = Moody::over(&bench.memory).fail(move |call, _| call == "open" && clock.now().as_secs() < 3_600);
    bench.run_until(bench.worker(Arc::new(queues)), 7_200).unwrap();
    let processed = bench.seen.processed();
    assert!(matches!(processed[..], [3_600..=3_610]), "at work within ten seconds: {processed:?}");
}

#[test]
fn shutdown_ends_a_worker_that_waits_for_its_queue() {
    let bench = Bench::new();
    let queues = Moody::over(&bench.memory).silence(|call, _| call == "open");
    assert_eq!(bench.run_until(bench.worker(Arc::new(queues)), 3_600).unwrap(), 3_600);
}

#[test]
fn worker_makes_progress_with_each_answer_and_each_message_only() {
    let bench = Bench::new();
    let progress = LastProgress::new(bench.memory.clock.clone());
    // Of the second receive nothing is heard, nor of those from the fourth on.
    let queues = Moody::over(&bench.memory).silence(|call, number| call == "receive" && (number == 1 || number > 2));
    let settings = WorkerSettings { drain_ms: 0, ..WorkerSettings::default() };
    let worker = bench.worker(Arc::new(queues)).settings(settings);
    let send = async {
        bench.at(55).await;
        bench.send("ann").await;
        assert_eq!(progress.idle(), Duration::from_secs(55));
    };
    bench.memory.run(join(worker.run(bench.at(3_600)), send)).0.unwrap();
    let progressed = bench.seen.progress();
    assert_eq!(progressed, [20, 55, 55], "an empty receive, a receive with a message, and the message's end");
}

/// Queues as SQS has them: a poll whose receiver is gone goes on to its end, and takes what is sent meanwhile.
struct Lingering<Q: ?Sized> {
    behind: Arc<Q>,
    clock: Arc<MemoryClock>,
    /// Until when polls without a receiver go on, and for how long they lease what they take.
    left: Arc<Mutex<Vec<(Timestamp, Duration)>>>,
}

impl<Q: ?Sized> fmt::Debug for Lingering<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lingering").finish_non_exhaustive()
    }
}

/// A poll; if it is dropped without an answer, it is left behind.
struct Poll<'a>(Option<(Timestamp, Duration)>, &'a Mutex<Vec<(Timestamp, Duration)>>);

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        self.1.lock().unwrap().extend(self.0);
    }
}

#[async_trait]
impl Queues for Lingering<dyn Queues> {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let (behind, clock) = (self.behind.open(name).await?, self.clock.clone());
        Ok(Arc::new(Lingering::<dyn Queue> { behind, clock, left: self.left.clone() }))
    }
}

#[async_trait]
impl Queue for Lingering<dyn Queue> {
    fn name(&self) -> &str {
        self.behind.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        let answers = self.behind.send(messages).await;
        let now = self.clock.now();
        let left = std::mem::take(&mut *self.left.lock().unwrap());
        for (_, visibility) in left.into_iter().filter(|(until, _)| *until > now) {
            self.behind.receive(10, Duration::ZERO, visibility).await.unwrap();
        }
        answers
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let mut poll = Poll(Some((self.clock.now().after(wait), visibility)), &self.left);
        let received = self.behind.receive(max, wait, visibility).await;
        poll.0 = None;
        received
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.behind.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.behind.extend(receipts, visibility).await
    }
}

#[test]
fn message_sent_after_the_shutdown_is_received_by_the_next_worker_at_once() {
    let bench = Bench::new();
    let (behind, clock) = (bench.memory.ports().queues, bench.memory.clock.clone());
    let queues = Arc::new(Lingering::<dyn Queues> { behind, clock, left: Arc::default() });
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
    assert_eq!(bench.seen.processed(), [7]);
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
    let queues = Moody::over(&bench.memory).fail(|call, _| call == "receive");
    assert_eq!(bench.run_until(bench.worker(Arc::new(queues)), 1_000).unwrap(), 1_000);
}
