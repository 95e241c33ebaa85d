//! The worker: takes messages from one queue to one endpoint, many at a time.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Either, Fuse, FusedFuture as _, select},
    stream::FuturesUnordered,
};

use tracing::{Instrument as _, Span, debug_span, field::Empty};

use crate::{
    Delivery, Endpoint, Error, ErrorKind, Outcome, Partition, PortError, Queue, Timed, WorkerSettings, lanes::Lanes,
    trace,
};

/// What SQS returns at most from one receive.
const RECEIVE_MAX: usize = 10;

/// Receives messages and has them processed: up to `in_flight_max` at a time, one per partition,
/// keeping their leases while they are worked on.
///
/// It needs no runtime but whatever drives the ports; a binary runs as many as it likes.
///
/// ```
/// # use cloakroom::{Endpoint, Handled, Message, Partition, Tx, Worker, memory::Memory};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Ping;
/// # impl Message for Ping {
/// #     const TYPE: &'static str = "ping";
/// #     fn partition(&self) -> Partition { "p".into() }
/// # }
/// # async fn ping(_: &mut std::collections::BTreeMap<String, u64>, _: Ping, _: &mut Tx) -> Handled { Ok(()) }
/// # let memory = Memory::new();
/// # let endpoint = Endpoint::builder("pings").on(ping).build(memory.ports())?;
/// use cloakroom::Clock as _;
/// use std::time::Duration;
///
/// let shutdown = memory.clock.sleep(Duration::from_secs(60)); // or a signal
/// memory.run(Worker::new(endpoint, "pings").run(shutdown))?;
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a worker works when it is run"]
pub struct Worker {
    endpoint: Endpoint,
    queue: String,
    settings: WorkerSettings,
}

impl Worker {
    /// A worker with the default settings.
    pub fn new(endpoint: Endpoint, queue: impl Into<String>) -> Self {
        Self { endpoint, queue: queue.into(), settings: WorkerSettings::default() }
    }

    /// Settings other than the defaults.
    pub fn settings(self, settings: WorkerSettings) -> Self {
        Self { settings, ..self }
    }

    /// Works until `shutdown` is ready, then finishes what it holds, for up to `drain_ms`, and gives back the rest.
    ///
    /// Safe to drop at any point: messages in hand are received again when their lease ends.
    ///
    /// # Errors
    /// Settings out of range, a queue that does not exist or may not be read. Failures that pass are waited out.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        self.settings.validate()?;
        let endpoint = &*self.endpoint.inner;
        let queue = endpoint.queue(&self.queue).await?;
        endpoint.parking.open(endpoint).await?;
        let (lanes, held, outage) = (Lanes::default(), Mutex::default(), AtomicU32::new(0));
        let shift = Shift { worker: &self, queue, lanes, held, outage };
        let mut at_work = FuturesUnordered::new();
        let result = shift.work(&mut at_work, shutdown).await;
        shift.drain(at_work).await;
        result
    }
}

/// A worker while it runs.
struct Shift<'a> {
    worker: &'a Worker,
    queue: Arc<dyn Queue>,
    lanes: Lanes,
    /// Receipts of the messages in hand.
    held: Mutex<BTreeSet<String>>,
    /// Messages that failed in a row for no fault of theirs: a service is out.
    outage: AtomicU32,
}

/// The messages in hand.
type AtWork<'s> = FuturesUnordered<BoxFuture<'s, ()>>;

impl Shift<'_> {
    async fn work<'s>(
        &'s self,
        at_work: &mut AtWork<'s>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let mut shutdown = pin!(shutdown.fuse());
        // A receive asks for as many as a request can bring, so that requests are full when there is work.
        let in_flight_max = self.worker.settings.in_flight_max;
        let wanted = RECEIVE_MAX.min(in_flight_max);
        let mut receiving = pin!(Fuse::terminated());
        loop {
            if receiving.is_terminated() && at_work.len() + wanted <= in_flight_max {
                receiving.set(self.receive(wanted).fuse());
            }
            futures::select_biased! {
                // A receive under way is dropped: what it has leased already is received again later.
                () = shutdown => return Ok(()),
                deliveries = receiving => {
                    at_work.extend(deliveries?.into_iter().map(|(delivery, span)| self.attend(delivery, span).boxed()));
                }
                () = at_work.select_next_some() => {}
            }
        }
    }

    /// Receives, each message with its span; waits out what passes.
    async fn receive(&self, max: usize) -> Result<Vec<(Delivery, Span)>, PortError> {
        let WorkerSettings { receive_wait_ms, retry, .. } = self.worker.settings;
        // While a service is out, every receive would only use up one of a message's chances.
        let outage = self.outage.load(Ordering::Relaxed);
        if outage > 0 {
            self.sleep(retry.pause(outage, self.random())).await;
        }
        let (endpoint, mut failures) = (self.worker.endpoint.name(), 0);
        loop {
            let wait = Duration::from_millis(receive_wait_ms);
            let polling = debug_span!("receive", endpoint, queue = self.queue.name(), messages = Empty);
            let received = self.queue.receive(max, wait, self.worker.settings.visibility());
            match received.instrument(polling.clone()).await {
                Err(error) if error.may_be_repeated() => {
                    failures += 1;
                    tracing::warn!(endpoint, error = error.loggable(), failures, "receive failed");
                    self.worker.endpoint.inner.observer.retried(error.reason());
                    self.sleep(retry.pause(failures, self.random())).await;
                }
                result => {
                    polling.record("messages", result.as_ref().map_or(0, Vec::len));
                    let with_span = |delivery| {
                        let span = trace::process(endpoint, &delivery);
                        span.follows_from(&polling);
                        (delivery, span)
                    };
                    return result.map(|deliveries| deliveries.into_iter().map(with_span).collect());
                }
            }
        }
    }

    /// Sees one message through: waits for its partition, has it processed, keeps its lease meanwhile, and
    /// acknowledges it or gives it back.
    async fn attend(&self, delivery: Delivery, span: Span) {
        self.held().insert(delivery.receipt.clone());
        let result = match select(pin!(self.process(&span, &delivery)), pin!(self.keep_lease(&delivery))).await {
            Either::Left((result, _)) => result,
            Either::Right((never, _)) => match never {},
        };
        self.note_outage(&result);
        let receipts = vec![delivery.receipt.clone()];
        let answers = match result {
            Ok(_) => self.acknowledge(receipts).instrument(debug_span!(parent: &span, "acknowledge")).await,
            Err(error) => {
                let pause = self.worker.settings.retry.pause(delivery.receive_count, self.random());
                let (error, receive_count) = (error.loggable(), delivery.receive_count);
                tracing::warn!(parent: &span, error, ?pause, receive_count, "message given back");
                self.queue.extend(receipts, pause).await
            }
        };
        // Not acknowledged is not lost: the message comes again, and is found to be processed.
        for error in answers.into_iter().filter_map(Result::err) {
            let error = error.loggable();
            tracing::debug!(parent: &span, error, "message neither acknowledged nor given back; its lease will end");
        }
        self.held().remove(&delivery.receipt);
    }

    async fn acknowledge(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let delete = async { self.queue.delete(receipts).await.into_iter().collect::<Result<(), _>>() };
        vec![self.worker.endpoint.inner.timed(Timed::Acknowledge, PortError::kind, delete).await]
    }

    async fn process(&self, span: &Span, delivery: &Delivery) -> Result<Outcome, Error> {
        let mut place = partition(delivery).map(|partition| self.lanes.enter(partition));
        if let Some(place) = &mut place {
            place.turn().await;
        }
        let attempt_ms_max = self.worker.settings.attempt_ms_max;
        let processing = pin!(self.worker.endpoint.process_in(span, delivery));
        match select(processing, pin!(self.sleep(Duration::from_millis(attempt_ms_max)))).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => {
                let text = format!("the attempt took longer than {attempt_ms_max} ms (`attempt_ms_max`)");
                Err(Error::new(ErrorKind::RetryMessage, text))
            }
        }
    }

    fn note_outage(&self, result: &Result<Outcome, Error>) {
        match result.as_ref().map_err(Error::kind) {
            Err(ErrorKind::AwaitService | ErrorKind::MendConfiguration) => {
                self.outage.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) | Err(ErrorKind::RetryMessage) => self.outage.store(0, Ordering::Relaxed),
        }
    }

    /// Extends the lease long before it ends, again and again.
    async fn keep_lease(&self, delivery: &Delivery) -> Infallible {
        let visibility = self.worker.settings.visibility();
        loop {
            self.sleep(visibility / 3).await;
            for error in
                self.queue.extend(vec![delivery.receipt.clone()], visibility).await.into_iter().filter_map(Result::err)
            {
                // Somebody else may receive the message now. That is safe; only work is done twice.
                tracing::debug!(error = error.loggable(), "lease not extended");
            }
        }
    }

    /// Finishes what is in hand while there is time, then gives back the rest at once.
    async fn drain(&self, at_work: AtWork<'_>) {
        {
            let time_is_up = self.sleep(Duration::from_millis(self.worker.settings.drain_ms));
            select(pin!(at_work.collect::<()>()), pin!(time_is_up)).await;
        }
        let left: Vec<String> = std::mem::take(&mut *self.held()).into_iter().collect();
        if !left.is_empty() {
            tracing::warn!(messages = left.len(), "shutdown: messages given back unfinished");
            self.queue.extend(left, Duration::ZERO).await;
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random(&self) -> u128 {
        self.worker.endpoint.inner.ports.random.bits()
    }

    async fn sleep(&self, duration: Duration) {
        self.worker.endpoint.inner.ports.clock.sleep(duration).await;
    }
}

/// The partition of a message, as far as it can be told.
fn partition(delivery: &Delivery) -> Option<Partition> {
    #[derive(serde::Deserialize)]
    struct Address {
        partitionkey: Partition,
    }
    serde_json::from_str(&delivery.body).ok().map(|Address { partitionkey }| partitionkey)
}
