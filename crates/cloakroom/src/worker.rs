//! The worker: takes messages from one queue to one endpoint, many at a time.

mod answers;
mod polling;
mod start;

use std::{
    borrow::Cow,
    collections::BTreeSet,
    convert::Infallible,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    channel::oneshot,
    future::{BoxFuture, Either, FusedFuture, Shared, join, poll_fn, select},
    stream::FuturesUnordered,
};

use tracing::{Instrument as _, Span, debug_span};

use crate::{
    Delivery, Endpoint, Error, Outcome, PortError, Queue, Timed, WorkerSettings,
    concurrency::{InHand, Outage, Receives},
    endpoint::Taken,
    engine::HandlerLimit,
    intake::Arrival,
    lanes::{Lanes, NotDone, Order, Place, Turn, Waiting},
    parking, trace,
    worker::{answers::Answers, polling::Receiving},
};

/// What SQS returns at most from one receive.
const RECEIVE_MAX: usize = 10;

/// How long a message waits in a crowded lane: long enough for a partition whose handlers are fast.
const CROWD_PATIENCE: Duration = Duration::from_secs(1);

/// Receives messages and has them processed: up to `in_flight_max` at a time, one per partition,
/// keeping their leases while they are worked on. While calls are throttled there are fewer, down to one, and then more again.
///
/// One long poll waits for messages. While receives come back full, there are several at a time, as many as fit.
///
/// From a FIFO queue (its name ends with `.fifo`) it takes messages one per group, in order. When one of a group is given
/// back, those of the group that are in hand are given back with it, untried: they come again behind it. A message
/// that is *parked* is finished, and its group goes on.
///
/// A message that goes back again and again is sent again after every `attempts_max` receives (four at least), with a delay, and
/// deleted. So it is not moved to the dead-letter queue by its own queue. That takes `sqs:SendMessage` on the queue, and is
/// not possible on FIFO queues.
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
/// # let memory = Memory::with_queues(["pings"]);
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

    /// Checks what it needs first ([`Endpoint::check`]), and logs at info what it serves.
    ///
    /// Works until `shutdown` is ready, then finishes what it holds, for up to `drain_ms`, and gives back the rest.
    ///
    /// A long poll that is under way at the shutdown ends first, within `drain_ms`, and the messages that it brings are
    /// given back at once: SQS may lease messages to a poll whose receiver is gone, and then nobody gets them before
    /// their leases end. So an idle worker ends after up to `receive_wait_ms`, or `drain_ms` if that is shorter.
    ///
    /// A queue that cannot be reached when the worker starts is tried again until it can, or until the shutdown.
    ///
    /// Safe to drop at any point: messages in hand are received again when their lease ends.
    ///
    /// # Errors
    /// Settings out of range; a queue, a table or a payload store that does not exist or may not be read, the dead-letter queue and the
    /// queues of routes among them. Failures that pass are waited out.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        self.settings.validate()?;
        let mut shutdown = pin!(shutdown.fuse());
        let queue = match select(&mut shutdown, pin!(self.start())).await {
            Either::Left(((), _)) => return Ok(()),
            Either::Right((queue, _)) => queue?,
        };
        let (order, lanes) = (Order::of(&self.queue), Lanes::default());
        let (held, outage) = (Mutex::default(), Outage::default());
        let (stop, stopping) = oneshot::channel();
        let shift = Shift { worker: &self, queue, order, lanes, held, outage, stopping: stopping.shared() };
        let (mut at_work, mut receiving) = (FuturesUnordered::new(), FuturesUnordered::new());
        let result = shift.work(&mut at_work, &mut receiving, shutdown).await;
        drop(stop);
        shift.drain(at_work, receiving).await;
        result
    }
}

/// A worker while it runs.
struct Shift<'a> {
    worker: &'a Worker,
    queue: Arc<dyn Queue>,
    order: Order,
    lanes: Lanes,
    /// Receipts of the messages in hand.
    held: Mutex<BTreeSet<String>>,
    outage: Outage,
    /// Ready from the shutdown on.
    stopping: Shared<oneshot::Receiver<()>>,
}

/// The messages in hand.
type AtWork<'s> = FuturesUnordered<BoxFuture<'s, ()>>;

impl Shift<'_> {
    async fn work<'s>(
        &'s self,
        at_work: &mut AtWork<'s>,
        receiving: &mut Receiving<'s>,
        mut shutdown: impl FusedFuture<Output = ()> + Send + Unpin,
    ) -> Result<(), Error> {
        let (queue, observer) = (self.queue.name(), &self.worker.endpoint.inner.observer);
        let in_flight_max = self.worker.settings.in_flight_max;
        let mut in_hand = InHand::new(in_flight_max, self.throttled());
        let mut receives = Receives::new(in_flight_max, RECEIVE_MAX);
        let mut expected = 0;
        loop {
            // A receive asks for as many as a request can bring, so that requests are full when there is work.
            let asked = RECEIVE_MAX.min(in_hand.limit());
            // While a service is out, more than one would only use up more chances of messages.
            let under_way_max = if self.outage.failures() > 0 { 1 } else { receives.limit() };
            while receiving.len() < under_way_max && at_work.len() + expected + asked <= in_hand.limit() {
                expected += asked;
                receiving.push(async move { (asked, self.receive(asked).await) }.boxed());
            }
            futures::select_biased! {
                () = shutdown => return Ok(()),
                (asked, deliveries) = receiving.select_next_some() => {
                    let deliveries = deliveries?;
                    observer.progressed(queue);
                    expected -= asked;
                    receives.brought(deliveries.len(), asked);
                    at_work.extend(deliveries.into_iter().map(|(delivery, span)| self.attend(delivery, span)));
                }
                () = at_work.select_next_some() => {
                    observer.progressed(queue);
                    in_hand.finished(at_work.len(), self.throttled());
                }
            }
        }
    }

    /// Takes one message in hand, and in its lane the place behind those that came before.
    fn attend(&self, delivery: Delivery, span: Span) -> BoxFuture<'_, ()> {
        self.held().insert(delivery.receipt.clone());
        let arrival = Arc::new(self.worker.endpoint.inner.accept(Cow::Owned(delivery)));
        trace::identify(&span, &arrival);
        let place = self.order.lane(&arrival).map(|lane| self.lanes.enter(lane, &arrival, &span));
        self.see_through(arrival, span, place).boxed()
    }

    /// Sees one message through: has it processed when its turn comes, keeps its lease meanwhile, and acknowledges it or
    /// gives it back.
    async fn see_through(&self, arrival: Arc<Arrival<'static>>, span: Span, place: Option<Place<'_>>) {
        let delivery = &*arrival.delivery;
        let result = match select(pin!(self.process(&span, &arrival, place)), pin!(self.keep_lease(delivery))).await {
            Either::Left((result, _)) => result,
            Either::Right((never, _)) => match never {},
        };
        let receipts = vec![delivery.receipt.clone()];
        let answers = match result {
            Ok(_) => self.acknowledge(receipts).instrument(debug_span!(parent: &span, "acknowledge")).await,
            Err(NotDone::Failed(error)) => {
                let pause = self.worker.settings.retry.pause(delivery.receive_count, self.random());
                let (error, receive_count) = (error.loggable(), delivery.receive_count);
                tracing::warn!(parent: &span, error, ?pause, receive_count, "message given back");
                self.give_back(&arrival, pause).await
            }
            Err(NotDone::Crowded) => {
                let pause = self.worker.settings.retry.pause(delivery.receive_count, self.random());
                self.give_back(&arrival, pause).await
            }
            Err(NotDone::Deferred(delay)) => self.queue.extend(receipts, delay).await,
            // No pause: while the one before it is invisible, the queue keeps its group back.
            Err(NotDone::Behind | NotDone::Stopped) => self.queue.extend(receipts, Duration::ZERO).await,
        };
        // Not acknowledged is not lost: the message comes again, and is found to be processed.
        for error in answers.into_iter().filter_map(Result::err) {
            let error = error.loggable();
            tracing::debug!(parent: &span, error, "message neither acknowledged nor given back; its lease will end");
        }
        self.held().remove(&delivery.receipt);
    }

    /// Gives a message back for a while. A message that was received often is sent again instead, and acknowledged: its
    /// receives start anew, and the queue does not move it to its dead-letter queue for receives that were no failures.
    ///
    /// On FIFO queues it would lose its place, and stays. So does a message that is too old to begin anew.
    async fn give_back(&self, arrival: &Arrival<'_>, pause: Duration) -> Vec<Result<(), PortError>> {
        let (endpoint, delivery) = (&*self.worker.endpoint.inner, &*arrival.delivery);
        let receipts = vec![delivery.receipt.clone()];
        let is_often = parking::is_time_for_a_copy(delivery.receive_count, endpoint.settings.attempts_max);
        let is_old = arrival.envelope.as_ref().is_ok_and(|envelope| endpoint.is_too_old_in(envelope, pause));
        if is_often && !is_old && !self.order.stops_at_failure() {
            match parking::send_later(endpoint, delivery, &self.worker.queue, pause).await {
                Ok(()) => return self.acknowledge(receipts).await,
                Err(error) => tracing::debug!(error = error.loggable(), "message not sent again, but given back"),
            }
        }
        self.queue.extend(receipts, pause).await
    }

    async fn acknowledge(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let delete = async { self.queue.delete(receipts).await.into_iter().collect::<Result<(), _>>() };
        vec![self.worker.endpoint.inner.timed(Timed::Acknowledge, PortError::kind, delete).await]
    }

    /// Processes a message when its turn comes, and with it those that wait behind it for the same partition; or learns what became of it
    /// from the one that took it along.
    async fn process(
        &self,
        span: &Span,
        arrival: &Arrival<'_>,
        mut place: Option<Place<'_>>,
    ) -> Result<Outcome, NotDone> {
        let along = match &mut place {
            None => Vec::new(),
            Some(place) => match self.turn(place).await {
                Turn::Over(done) => return done,
                Turn::Yours => {
                    let others_max = self.worker.endpoint.inner.settings.fold_max - 1;
                    place.take_along(others_max, |next| self.order.may_fold(arrival, next))
                }
            },
        };
        let (own, is_finished) = self.attempt(arrival, span, along).await;
        if let Some(place) = place.filter(|_| self.order.stops_at_failure() && !is_finished) {
            place.stop();
        }
        own
    }

    /// Waits until a message is next in its lane, or has waited too long in a crowded one.
    async fn turn(&self, place: &mut Place<'_>) -> Turn {
        if !self.order.bounds_lanes() {
            return place.turn().await;
        }
        let max = self.worker.settings.partition_in_flight_max();
        place.turn_unless_crowded(max, self.sleep(CROWD_PATIENCE)).await
    }

    /// One attempt at a message and those that came along. Those are told at once what became of them. The answer for the message itself,
    /// and whether all were finished.
    async fn attempt(
        &self,
        arrival: &Arrival<'_>,
        span: &Span,
        along: Vec<Waiting>,
    ) -> (Result<Outcome, NotDone>, bool) {
        let others: Vec<_> = along.iter().map(|one| (Arc::clone(&one.arrival), one.span.clone())).collect();
        let others = others.iter().map(|(arrival, span)| (&**arrival, span));
        let fold: Vec<_> = std::iter::once((arrival, span)).chain(others).collect();
        let (clock, attempt_max) = (&self.worker.endpoint.inner.ports.clock, self.worker.settings.attempt_max());
        let answers = Mutex::new(Answers::new(along));
        let lock = || answers.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let tell = |number, done| lock().tell(number, done);
            let taken = Taken {
                queue: Some(&self.worker.queue),
                is_ordered: self.order.stops_at_failure(),
                handler_limit: HandlerLimit::Each(attempt_max),
            };
            let mut work = pin!(self.worker.endpoint.process_fold(&fold, taken, tell));
            // A handler that hangs is stopped by the engine. Everything around it has as much time again.
            let whole_max = attempt_max * 2;
            let mut time = clock.sleep(whole_max);
            poll_fn(|context| {
                if work.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                // Whose turn comes after others has the time of an attempt, too.
                if lock().take_news() {
                    time = clock.sleep(whole_max);
                }
                time.as_mut().poll(context)
            })
            .await;
        }
        let mut answers = std::mem::take(&mut *lock());
        answers.time_is_up(attempt_max);
        self.note_outage(answers.is_up());
        answers.into_own()
    }

    /// Messages that were tried together are one sign of a service that is out, or is not.
    fn note_outage(&self, is_up: Option<bool>) {
        match is_up {
            Some(false) => self.outage.failed(),
            Some(true) => self.outage.end(),
            None => {}
        }
    }

    /// Extends the lease long before it ends, again and again.
    ///
    /// SUBTLE: a request that is not answered is given up when the next one is due. Waited for, it would let the lease end
    /// (`a_lease_outlasts_extensions_that_are_not_answered`).
    async fn keep_lease(&self, delivery: &Delivery) -> Infallible {
        let visibility = self.worker.settings.visibility();
        let interval = visibility / 3;
        self.sleep(interval).await;
        loop {
            let extend = async {
                let extend = self.queue.extend(vec![delivery.receipt.clone()], visibility);
                match select(extend, pin!(self.sleep(interval))).await {
                    Either::Left((answers, _)) => answers,
                    Either::Right(_) => vec![Err(PortError::new("extending a lease", "no answer so far").public())],
                }
            };
            let (answers, ()) = join(extend, self.sleep(interval)).await;
            for error in answers.into_iter().filter_map(Result::err) {
                // Somebody else may receive the message now. That is safe; only work is done twice.
                tracing::debug!(error = error.loggable(), "lease not extended");
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttled(&self) -> u64 {
        self.worker.endpoint.inner.throttled.load(Ordering::Relaxed)
    }

    fn random(&self) -> u128 {
        self.worker.endpoint.inner.ports.random.bits()
    }

    async fn sleep(&self, duration: Duration) {
        self.worker.endpoint.inner.ports.clock.sleep(duration).await;
    }
}
