//! Who acts in the world: workers that die and come back, a producer, an operator, and whoever waits for the end.

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

use super::{
    history::{Deed, Sent, dead_letters, reason},
    network::Network,
    queue::message,
    scenario::{Scenario, Submission},
    settings::Settings,
    weather::Fault,
    world::World,
};
use crate::wire::by_way_of;

/// How long everything may take to come to rest once nothing goes wrong any more.
const REST_WITHIN: Duration = Duration::from_secs(4 * 60 * 60);
/// Nothing was begun for so long: longer than any pause between two calls.
const QUIET: Duration = Duration::from_secs(15);
/// Nothing was committed for so long, though there are messages in queues.
const STALLED: Duration = Duration::from_secs(10 * 60);
/// How long the operator has a dead letter for itself.
const OPERATOR_LEASE: Duration = Duration::from_secs(5);

/// What all who act share.
pub(crate) struct Site<'a> {
    pub(crate) world: Arc<World>,
    pub(crate) scenario: &'a dyn Scenario,
    /// The ports at the far end of the network.
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
}

impl Site<'_> {
    /// The ports as somebody sees them, with random numbers of one's own.
    fn ports_of(&self, who: &str, incarnation: u64) -> Ports {
        let wire = Arc::new(Network { world: Arc::clone(&self.world), caller: who.to_owned() });
        let mut random = self.world.weather.stream(&format!("{who} random {incarnation}"));
        let random = Arc::new(SeededRandom::new(random.u64(..)));
        Ports { random, ..by_way_of(&wire, &self.ports) }
    }

    fn build(&self, endpoint: &str, who: &str, incarnation: u64, ports: Ports) -> Endpoint {
        let mut random = self.world.weather.stream(&format!("{who} {endpoint} settings {incarnation}"));
        let settings = self.settings.of(endpoint, &mut random);
        self.world.tell(|| {
            let EndpointSettings { placement, embedded_bytes_max, fold_max, state_reads, dedupe, .. } = &settings;
            format!(
                "{who} has {endpoint}: {placement:?}, {embedded_bytes_max} bytes, {fold_max} together, {state_reads:?} reads, {dedupe:?}"
            )
        });
        let built = self.scenario.endpoint(endpoint, ports, settings);
        built.unwrap_or_else(|error| panic!("scenario `{}` cannot be simulated: {error}", self.scenario.name()))
    }

    /// A worker process: it dies, and comes back, and has forgotten everything.
    pub(crate) async fn live(&self, endpoint: &str, worker: &str) {
        let mut incarnation = 0;
        loop {
            incarnation += 1;
            self.world.tell(|| format!("{worker} starts"));
            let ports = self.ports_of(worker, incarnation);
            let built = self.build(endpoint, worker, incarnation, ports);
            let work = Worker::new(built, endpoint).settings(self.settings.worker.clone());
            match self.until_death(worker, Box::pin(work.run(std::future::pending()))).await {
                Some(error) => self.world.tell(|| format!("{worker} ends: {error}")),
                None => self.world.tell(|| format!("{worker} dies")),
            }
            let mut pause = self.world.weather.stream(&format!("{worker} pause {incarnation}"));
            self.world.sleep(Duration::from_millis(pause.u64(10..5_000))).await;
        }
    }

    /// Why it ended; none if it was dropped in the middle.
    async fn until_death<E>(&self, worker: &str, mut work: Pin<Box<impl Future<Output = Result<(), E>>>>) -> Option<E> {
        let weather = &self.world.weather;
        while let Some((mut decision, polls)) = weather.next_trouble(worker) {
            if let Some(result) = polled(work.as_mut(), polls).await {
                return result.err();
            }
            match weather.trouble(&mut decision) {
                Some(Fault::Crashed) => return None,
                Some(_) => {
                    self.world.tell(|| format!("{worker} stands still"));
                    self.world.begin();
                    self.world.sleep(decision.duration(500..=60_000)).await;
                    self.world.end();
                    self.world.tell(|| format!("{worker} goes on"));
                }
                None => {}
            }
        }
        work.await.err()
    }

    /// Sends what is asked for, again until it is sent.
    pub(crate) async fn produce(&self, number: usize, submission: &Submission) {
        let Submission { queue, envelope, after, has_claim } = submission;
        self.world.sleep(*after).await;
        let mut envelope = envelope.clone();
        if *has_claim {
            let mut random = self.world.weather.stream(&format!("producer claim {number}"));
            let claim = Claim::from_random(random.u128(..), self.world.memory.payloads.name());
            let payload = envelope.data.take().unwrap_or_default().to_string();
            // The producer's own trouble is not ours, and memory does not fail.
            let _ = self.ports.payloads.check_in(&claim, Bytes::from(payload)).await;
            envelope.dataref = Some(claim);
        }
        let message = QueueMessage { body: envelope.encode(), ..QueueMessage::default() };
        self.world.record(Deed::Submitted(Sent::new(queue, envelope)));
        while !put(&self.ports, queue, message.clone()).await {
            self.world.sleep(Duration::from_millis(500)).await;
        }
    }

    /// Until the trouble ends: looks after dead letters while everybody works. Finishes some, puts some back.
    pub(crate) async fn operate(&self) {
        let ports = self.ports_of("operator", 1);
        let endpoints = self.scenario.endpoints();
        let built: Vec<_> = endpoints.iter().map(|name| self.build(name, "operator", 1, ports.clone())).collect();
        let mut random = self.world.weather.stream("operator");
        while self.world.weather.is_stormy() {
            self.world.sleep(Duration::from_millis(random.u64(1_000..8_000))).await;
            for (name, endpoint) in endpoints.iter().zip(&built) {
                let Ok(dead) = ports.queues.open(&dead_letters(name)).await else { continue };
                let letters = dead.receive(10, Duration::ZERO, OPERATOR_LEASE).await.unwrap_or_default();
                for letter in letters {
                    let is_done = match random.u32(0..3) {
                        0 => false,
                        1 => self.finish(endpoint, &letter).await,
                        _ => put(&ports, name, message(&letter)).await,
                    };
                    if is_done {
                        dead.delete(vec![letter.receipt]).await;
                    }
                }
            }
        }
    }

    /// Whether there was something to finish.
    async fn finish(&self, endpoint: &Endpoint, letter: &Delivery) -> bool {
        let is_finished = matches!(endpoint.finish(letter).await, Ok(Recovered::Finished(_)));
        self.world.history().tally.finished += u64::from(is_finished);
        is_finished
    }

    /// Waits until everything has come to rest. Whatever is parked is put back, again while that helps anybody.
    /// Whether rest came in time.
    pub(crate) async fn settle(&self) -> bool {
        let until = self.now().max(self.world.weather.until).after(REST_WITHIN);
        let mut put_back_after = None;
        let mut last = (self.commits(), self.now());
        while self.now() < until {
            let before = self.world.pending();
            self.world.sleep(QUIET).await;
            if self.commits() != last.0 {
                last = (self.commits(), self.now());
            }
            if before.0 > 0 || self.world.pending() != before || !self.queues_are_empty() {
                // What is deferred may wait for what lies parked.
                if self.now().since(last.1) > STALLED {
                    self.put_back().await;
                    last.1 = self.now();
                }
                continue;
            }
            // A letter may have been moved by a receive from before that nobody heard of: then it is no rejection.
            let commits = self.commits();
            let is_final = put_back_after.replace(commits) == Some(commits) && self.only_rejections();
            if is_final || !self.put_back().await {
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

    /// Whether nothing but rejected messages lies parked.
    fn only_rejections(&self) -> bool {
        let queues = self.scenario.endpoints().iter().map(|name| self.world.memory.queues.get(&dead_letters(name)));
        let mut letters = queues.flat_map(|queue| queue.messages());
        letters.all(|letter| self.scenario.is_rejection(reason(&letter)))
    }

    fn commits(&self) -> usize {
        self.world.history().deeds.iter().filter(|deed| matches!(deed, Deed::Committed { .. })).count()
    }

    /// Puts all dead letters back; false if there are none.
    async fn put_back(&self) -> bool {
        let mut is_any = false;
        for name in self.scenario.endpoints() {
            let dead = self.world.memory.queues.get(&dead_letters(name));
            for letter in received(&dead).await {
                is_any = true;
                put(&self.ports, name, message(&letter)).await;
                dead.delete(vec![letter.receipt]).await;
            }
        }
        is_any
    }
}

/// All that can be received at this moment.
async fn received(queue: &MemoryQueue) -> Vec<Delivery> {
    let mut all = Vec::new();
    while let Ok(some) = queue.receive(10, Duration::ZERO, OPERATOR_LEASE).await
        && !some.is_empty()
    {
        all.extend(some);
    }
    all
}

/// Sends one message; whether it is certain that it was sent.
async fn put(ports: &Ports, queue: &str, message: QueueMessage) -> bool {
    match ports.queues.open(queue).await {
        Ok(queue) => queue.send(vec![message]).await.iter().all(Result::is_ok),
        Err(_) => false,
    }
}

/// Lets a future be polled so often, when it asks for it; its value if it came to an end.
async fn polled<T>(mut future: Pin<&mut impl Future<Output = T>>, polls: u64) -> Option<T> {
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

/// Everything at once, for as long as it takes to come to rest; whether it did. Submissions come with their numbers.
pub(crate) async fn act(
    site: &Site<'_>,
    workers: &[(&str, String)],
    submissions: impl Iterator<Item = (usize, &Submission)>,
) -> bool {
    // Each is polled only when it asked for it: polls are what troubles are counted by.
    let lives: FuturesUnordered<_> = workers.iter().map(|(endpoint, worker)| site.live(endpoint, worker)).collect();
    let producers: FuturesUnordered<_> = submissions.map(|(number, one)| site.produce(number, one)).collect();
    let direction = async {
        futures::join!(producers.collect::<()>(), site.operate());
        site.settle().await
    };
    match select(pin!(direction), pin!(lives.collect::<()>())).await {
        Either::Left((is_reached, _)) => is_reached,
        Either::Right(_) => unreachable!("lives do not end"),
    }
}
