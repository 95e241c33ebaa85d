//! An endpoint whose handler records its runs.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cloakroom::{
    Endpoint, Error, Handled, HandlerError, Message, Partition, Timestamp, Tx, Worker, WorkerSettings,
    format::Envelope,
    memory::Memory,
    observe::Counters,
    ports::{Backoff, Clock as _, Queue as _, QueueMessage, Queues},
};

/// A message that decides how its handler ends, and after how long.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) partition: String,
    pub(crate) takes_s: u64,
    /// How often the handler fails before it succeeds.
    pub(crate) fails: usize,
    pub(crate) is_poison: bool,
}

impl Message for Job {
    const TYPE: &'static str = "job";
    fn partition(&self) -> Partition {
        Partition::new(self.partition.as_str())
    }
}

/// A job named `name` that succeeds at once.
pub(crate) fn job(name: &str, partition: &str) -> Job {
    Job { name: name.to_owned(), partition: partition.to_owned(), ..Job::default() }
}

/// The message of a job, in this message group.
pub(crate) fn message(job: &Job, group: &str) -> QueueMessage {
    let mut envelope = Envelope::new(job.name.as_str().into(), "test", Job::TYPE, job.partition.as_str().into());
    envelope.data = Some(serde_json::to_value(job).unwrap());
    QueueMessage { body: envelope.encode(), group: Some(group.to_owned()), ..QueueMessage::default() }
}

/// The names of finished jobs, in order.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Done {
    jobs: Vec<String>,
}

tokio::task_local! {
    static BENCH: Bench;
}

async fn handle(done: &mut Done, job: Job, _: &mut Tx) -> Handled {
    let bench = BENCH.with(Bench::clone);
    let tries = bench.begin(&job.name);
    bench.memory.clock.sleep(Duration::from_secs(job.takes_s)).await;
    bench.running.lock().unwrap().retain(|running| *running != job.name);
    if job.is_poison {
        return Err(HandlerError::reject("poison"));
    }
    if tries <= job.fails {
        return Err(HandlerError::retry("not yet"));
    }
    done.jobs.push(job.name);
    Ok(())
}

#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) memory: Memory,
    pub(crate) counters: Arc<Counters>,
    /// Every run of the handler, in order.
    pub(crate) runs: Arc<Mutex<Vec<String>>>,
    running: Arc<Mutex<Vec<String>>>,
    /// Jobs whose handler ran twice at the same time.
    pub(crate) doubled: Arc<Mutex<Vec<String>>>,
    pub(crate) running_max: Arc<Mutex<usize>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            memory: Memory::with_queues(["jobs", "jobs.fifo"]),
            counters: Arc::default(),
            runs: Arc::default(),
            running: Arc::default(),
            doubled: Arc::default(),
            running_max: Arc::default(),
        }
    }

    /// Records that a handler starts. Returns how often it has started for this job.
    fn begin(&self, name: &str) -> usize {
        let mut running = self.running.lock().unwrap();
        if running.iter().any(|other| other == name) {
            self.doubled.lock().unwrap().push(name.to_owned());
        }
        running.push(name.to_owned());
        let mut most = self.running_max.lock().unwrap();
        *most = running.len().max(*most);
        let mut runs = self.runs.lock().unwrap();
        runs.push(name.to_owned());
        runs.iter().filter(|run| *run == name).count()
    }

    pub(crate) fn endpoint(&self, queues: Option<Arc<dyn Queues>>) -> Endpoint {
        let mut ports = self.memory.ports();
        ports.queues = queues.unwrap_or(ports.queues);
        let endpoint = Endpoint::builder::<Done>("jobs");
        endpoint.on(handle).observer(self.counters.clone()).build(ports).unwrap()
    }

    pub(crate) fn worker(&self, queue: &str, settings: WorkerSettings) -> Worker {
        // With pauses between 0 s and 1 s, it would be random whether another message overtakes a
        // failed one.
        let retry = Backoff { first_ms: 10_000, max_ms: 300_000 };
        Worker::new(self.endpoint(None), queue).settings(WorkerSettings { retry, ..settings })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.memory.clock.now()
    }

    pub(crate) fn send(&self, queue: &str, messages: Vec<QueueMessage>) {
        self.run(self.memory.queues.get(queue).send(messages)).into_iter().for_each(|sent| sent.unwrap());
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.memory.run(BENCH.scope(self.clone(), future))
    }

    /// Runs workers until the queue is empty, or for at most an hour.
    pub(crate) fn work(&self, queue: &str, workers: Vec<Worker>) {
        let shutdown = || async {
            for _ in 0..36_000 {
                if self.memory.queues.get(queue).is_empty() {
                    return;
                }
                self.memory.clock.sleep(Duration::from_millis(100)).await;
            }
        };
        let all = futures::future::join_all(workers.into_iter().map(|worker| worker.run(shutdown())));
        self.run(all).into_iter().collect::<Result<(), Error>>().unwrap();
        assert!(self.memory.queues.get(queue).is_empty(), "the queue is not empty after an hour");
    }

    pub(crate) fn runs(&self) -> Vec<String> {
        self.runs.lock().unwrap().clone()
    }

    /// The finished jobs of a partition.
    pub(crate) fn done(&self, partition: &str) -> Vec<String> {
        let mut items = self.memory.store.partition(&partition.into());
        let Some(item) = items.remove("state#jobs") else { return Vec::new() };
        serde_dynamo::from_item::<_, Done>(item).unwrap().jobs
    }
}
