//! The actors of a simulation: workers that stop and return, a producer, an operator, and the wait
//! for rest.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use cloakroom::{
    Delivery, Endpoint, EndpointSettings, Ports, Timestamp, Worker,
    engine::Recovered,
    format::Claim,
    memory::{MemoryQueue, SeededRandom},
    ports::{Clock as _, PayloadStore as _, Queue as _, QueueMessage},
};
use futures::{
    StreamExt as _,
    future::{Either, select},
    stream::FuturesUnordered,
};

use crate::{
    simulation::{
        faults::Fault,
        faulty_queue::message,
        history::{Sent, StoreEvent, dead_letters, reason},
        network::Network,
        run_settings::RunSettings,
        scenario::{Scenario, Submission},
        world::SimulationWorld,
    },
    wire::through_wire,
};

/// How long everything may take to come to rest after the faults have ended.
const REST_WITHIN: Duration = Duration::from_secs(4 * 60 * 60);
/// If nothing was started for this time, everything is at rest. It is longer than any pause between
/// two calls.
const QUIET: Duration = Duration::from_secs(15);
/// If nothing was committed for this time, messages in queues may wait for parked messages.
const STALLED: Duration = Duration::from_secs(10 * 60);
/// The visibility timeout of a message that the operator receives from a dead-letter queue.
const OPERATOR_VISIBILITY: Duration = Duration::from_secs(5);

/// The data that all actors share.
pub(crate) struct Actors<'a> {
    pub(crate) world: Arc<SimulationWorld>,
    pub(crate) scenario: &'a dyn Scenario,
    /// The ports behind the network.
    pub(crate) ports: Ports,
    pub(crate) settings: RunSettings,
}

impl Actors<'_> {
    /// Returns the ports for one actor, with its own random numbers.
    fn ports_of(&self, actor: &str, incarnation: u64) -> Ports {
        let wire = Arc::new(Network { world: Arc::clone(&self.world), caller: actor.to_owned() });
        let mut random = self.world.injector.stream(&format!("{actor} random {incarnation}"));
        let random = Arc::new(SeededRandom::new(random.u64(..)));
        Ports { random, ..through_wire(&wire, &self.ports) }
    }

    fn build(&self, endpoint: &str, actor: &str, incarnation: u64, ports: Ports) -> Endpoint {
        let mut random = self.world.injector.stream(&format!("{actor} {endpoint} settings {incarnation}"));
        let settings = self.settings.of(endpoint, &mut random);
        self.world.log(|| {
            let EndpointSettings { placement, embedded_bytes_max, fold_max, state_reads, dedupe, .. } = &settings;
            format!(
                "{actor} has {endpoint}: {placement:?}, {embedded_bytes_max} bytes, {fold_max} together, {state_reads:?} reads, {dedupe:?}"
            )
        });
        let built = self.scenario.endpoint(endpoint, ports, settings);
        built.unwrap_or_else(|error| panic!("scenario `{}` cannot be simulated: {error}", self.scenario.name()))
    }

    /// Runs a worker process. It stops, and starts again without any memory.
    pub(crate) async fn run_worker(&self, endpoint: &str, worker: &str) {
        let mut incarnation = 0;
        loop {
            incarnation += 1;
            self.world.log(|| format!("{worker} starts"));
            let ports = self.ports_of(worker, incarnation);
            let built = self.build(endpoint, worker, incarnation, ports);
            let work = Worker::new(built, endpoint).settings(self.settings.worker.clone());
            match self.run_until_stopped(worker, Box::pin(work.run(std::future::pending()))).await {
                Some(error) => self.world.log(|| format!("{worker} ends: {error}")),
                None => self.world.log(|| format!("{worker} stops")),
            }
            let mut pause = self.world.injector.stream(&format!("{worker} pause {incarnation}"));
            self.world.sleep(Duration::from_millis(pause.u64(10..5_000))).await;
        }
    }

    /// Runs a worker until it ends or a fault stops it. Returns its error, or `None` if it was
    /// dropped.
    async fn run_until_stopped<E>(
        &self,
        worker: &str,
        mut work: Pin<Box<impl Future<Output = Result<(), E>>>>,
    ) -> Option<E> {
        let injector = &self.world.injector;
        while let Some((mut decision, polls)) = injector.next_process_fault(worker) {
            if let Some(result) = poll_at_most(work.as_mut(), polls).await {
                return result.err();
            }
            match injector.process_fault(&mut decision) {
                Some(Fault::Crashed) => return None,
                Some(_) => {
                    self.world.log(|| format!("{worker} pauses"));
                    self.world.begin();
                    self.world.sleep(decision.duration(500..=60_000)).await;
                    self.world.end();
                    self.world.log(|| format!("{worker} continues"));
                }
                None => {}
            }
        }
        work.await.err()
    }

    /// Sends a submission, and repeats the send until it succeeds.
    pub(crate) async fn produce(&self, number: usize, submission: &Submission) {
        let Submission { queue, envelope, after, has_claim } = submission;
        self.world.sleep(*after).await;
        let mut envelope = envelope.clone();
        if *has_claim {
            let mut random = self.world.injector.stream(&format!("producer claim {number}"));
            let claim = Claim::from_random(random.u128(..), self.world.memory.payloads.name());
            let payload = envelope.data.take().unwrap_or_default().to_string();
            // Faults of the producer are not simulated, and memory does not fail.
            let _ = self.ports.payloads.check_in(&claim, Bytes::from(payload)).await;
            envelope.dataref = Some(claim);
        }
        let message = QueueMessage { body: envelope.encode(), ..QueueMessage::default() };
        self.world.record(StoreEvent::Submitted(Sent::new(queue, envelope)));
        while !put(&self.ports, queue, message.clone()).await {
            self.world.sleep(Duration::from_millis(500)).await;
        }
    }

    /// Handles dead-letter messages while the workers run, until the faults end. Finishes some,
    /// moves some back.
    pub(crate) async fn operate(&self) {
        let ports = self.ports_of("operator", 1);
        let endpoints = self.scenario.endpoints();
        let built: Vec<_> = endpoints.iter().map(|name| self.build(name, "operator", 1, ports.clone())).collect();
        let mut random = self.world.injector.stream("operator");
        while self.world.injector.is_active() {
            self.world.sleep(Duration::from_millis(random.u64(1_000..8_000))).await;
            for (name, endpoint) in endpoints.iter().zip(&built) {
                let Ok(dead) = ports.queues.open(&dead_letters(name)).await else { continue };
                let deliveries = dead.receive(10, Duration::ZERO, OPERATOR_VISIBILITY).await.unwrap_or_default();
                for delivery in deliveries {
                    let is_done = match random.u32(0..3) {
                        0 => false,
                        1 => self.finish(endpoint, &delivery).await,
                        _ => put(&ports, name, message(&delivery)).await,
                    };
                    if is_done {
                        dead.delete(vec![delivery.receipt]).await;
                    }
                }
            }
        }
    }

    /// Finishes a message. Returns whether it had a record to finish.
    async fn finish(&self, endpoint: &Endpoint, delivery: &Delivery) -> bool {
        let is_finished = matches!(endpoint.finish(delivery).await, Ok(Recovered::Finished(_)));
        self.world.history().tally.finished += u64::from(is_finished);
        is_finished
    }

    /// Waits until everything has come to rest. Moves parked messages back, and repeats that as
    /// long as it leads to commits. Returns whether rest came in time.
    pub(crate) async fn wait_for_rest(&self) -> bool {
        let until = self.now().max(self.world.injector.until).after(REST_WITHIN);
        let mut commits_at_redrive = None;
        let mut last = (self.commits(), self.now());
        while self.now() < until {
            let before = self.world.pending();
            self.world.sleep(QUIET).await;
            if self.commits() != last.0 {
                last = (self.commits(), self.now());
            }
            if before.0 > 0 || self.world.pending() != before || !self.queues_are_empty() {
                // A deferred message may wait for a parked one.
                if self.now().since(last.1) > STALLED {
                    self.redrive_all().await;
                    last.1 = self.now();
                }
                continue;
            }
            // A message may have been moved by an earlier receive whose response was lost. Such a
            // message was not rejected.
            let commits = self.commits();
            let is_final = commits_at_redrive.replace(commits) == Some(commits) && self.only_rejections();
            if is_final || !self.redrive_all().await {
                return true;
            }
        }
        false
    }

    fn now(&self) -> Timestamp {
        self.world.memory.clock.now()
    }

    fn queues_are_empty(&self) -> bool {
        self.scenario.endpoints().iter().all(|name| self.world.memory.queues.get(name).is_empty())
    }

    /// Whether all messages in dead-letter queues were rejected.
    fn only_rejections(&self) -> bool {
        let queues = self.scenario.endpoints().iter().map(|name| self.world.memory.queues.get(&dead_letters(name)));
        let mut deliveries = queues.flat_map(|queue| queue.messages());
        deliveries.all(|delivery| self.scenario.is_rejection(reason(&delivery)))
    }

    fn commits(&self) -> usize {
        self.world.history().events.iter().filter(|event| matches!(event, StoreEvent::Committed { .. })).count()
    }

    /// Moves all messages in dead-letter queues back. Returns false if there are none.
    async fn redrive_all(&self) -> bool {
        let mut found_any = false;
        for name in self.scenario.endpoints() {
            let dead = self.world.memory.queues.get(&dead_letters(name));
            for delivery in received(&dead).await {
                found_any = true;
                put(&self.ports, name, message(&delivery)).await;
                dead.delete(vec![delivery.receipt]).await;
            }
        }
        found_any
    }
}

/// Receives all messages that are available now.
async fn received(queue: &MemoryQueue) -> Vec<Delivery> {
    let mut all = Vec::new();
    while let Ok(some) = queue.receive(10, Duration::ZERO, OPERATOR_VISIBILITY).await
        && !some.is_empty()
    {
        all.extend(some);
    }
    all
}

/// Sends one message. Returns whether it was certainly sent.
async fn put(ports: &Ports, queue: &str, message: QueueMessage) -> bool {
    match ports.queues.open(queue).await {
        Ok(queue) => queue.send(vec![message]).await.iter().all(Result::is_ok),
        Err(_) => false,
    }
}

/// Polls a future at most this many times, each time when it asks for it. Returns its value if it
/// ended.
async fn poll_at_most<T>(mut future: Pin<&mut impl Future<Output = T>>, polls: u64) -> Option<T> {
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Runs all actors until everything has come to rest. Returns whether it did. Submissions have
/// their numbers.
pub(crate) async fn run_actors(
    site: &Actors<'_>,
    workers: &[(&str, String)],
    submissions: impl Iterator<Item = (usize, &Submission)>,
) -> bool {
    // Each future is polled only when it asks for it, because process faults are counted in polls.
    let workers: FuturesUnordered<_> =
        workers.iter().map(|(endpoint, worker)| site.run_worker(endpoint, worker)).collect();
    let producers: FuturesUnordered<_> = submissions.map(|(number, one)| site.produce(number, one)).collect();
    let run = async {
        futures::join!(producers.collect::<()>(), site.operate());
        site.wait_for_rest().await
    };
    match select(pin!(run), pin!(workers.collect::<()>())).await {
        Either::Left((is_reached, _)) => is_reached,
        Either::Right(_) => unreachable!("workers start again forever"),
    }
}
