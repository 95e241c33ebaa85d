//! A running worker.

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
    endpoint::{Endpoint, ProcessOptions},
    engine::{handler_limit::HandlerLimit, identify::identify, intake::Incoming, not_finished::NotFinished, parking},
    error::{Error, PortError, Services},
    observe::observer::Timed,
    ports::queue::{Delivery, Queue},
    protocol::step::Outcome,
    worker::{
        concurrency::{InFlightLimit, Outage, Receives},
        lanes::{Lanes, Order, Signal, Ticket, Waiter},
        results::Results,
        settings::WorkerSettings,
    },
};

/// The maximum number of messages that SQS returns from one receive.
const RECEIVE_MAX: usize = 10;

/// The time that a message waits in a crowded lane. It is long enough for a partition whose
/// handlers are fast.
const CROWDED_WAIT_MAX: Duration = Duration::from_secs(1);

/// A running worker.
pub(super) struct RunningWorker<'a> {
    pub(super) endpoint: &'a Endpoint,
    /// The name of the queue, as routes use it.
    pub(super) queue_name: &'a str,
    pub(super) settings: &'a WorkerSettings,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) order: Order,
    pub(super) lanes: Lanes,
    /// The receipts of the messages in flight.
    pub(super) in_flight_receipts: Mutex<BTreeSet<String>>,
    pub(super) outage: Outage,
    /// Ready after the shutdown.
    pub(super) stopping: Shared<oneshot::Receiver<()>>,
}

/// The result of a receive: messages with their spans.
pub(super) type Received = Result<Vec<(Delivery, Span)>, PortError>;

/// The pending receives, each with the number of messages that it requests.
pub(super) type Receiving<'s> = FuturesUnordered<BoxFuture<'s, (usize, Received)>>;

/// The processing of the messages in flight.
pub(super) type InFlight<'s> = FuturesUnordered<BoxFuture<'s, ()>>;

impl RunningWorker<'_> {
    /// Receives and processes messages until the shutdown.
    pub(super) async fn work<'s>(
        &'s self,
        in_flight: &mut InFlight<'s>,
        receiving: &mut Receiving<'s>,
        mut shutdown: impl FusedFuture<Output = ()> + Send + Unpin,
    ) -> Result<(), Error> {
        let (queue, observer) = (self.queue.name(), &self.endpoint.context().observer);
        let in_flight_max = self.settings.in_flight_max;
        let mut in_flight_limit = InFlightLimit::new(in_flight_max, self.throttled());
        let mut receives = Receives::new(in_flight_max, RECEIVE_MAX);
        let mut expected = 0;
        loop {
            // A receive requests the maximum, so that responses are full when there are messages.
            let requested = RECEIVE_MAX.min(in_flight_limit.limit());
            // During an outage a second receive would only increase the receive counts of more
            // messages.
            let receives_max = if self.outage.failures() > 0 { 1 } else { receives.limit() };
            while receiving.len() < receives_max && in_flight.len() + expected + requested <= in_flight_limit.limit() {
                expected += requested;
                receiving.push(async move { (requested, self.receive(requested).await) }.boxed());
            }
            futures::select_biased! {
                () = shutdown => return Ok(()),
                (requested, deliveries) = receiving.select_next_some() => {
                    let deliveries = deliveries?;
                    observer.progressed(queue);
                    expected -= requested;
                    receives.record(deliveries.len(), requested);
                    in_flight.extend(deliveries.into_iter().map(|(delivery, span)| self.start_processing(delivery, span)));
                }
                () = in_flight.select_next_some() => {
                    observer.progressed(queue);
                    in_flight_limit.finished(in_flight.len(), self.throttled());
                }
            }
        }
    }

    /// Puts a message in flight, at the end of its lane.
    fn start_processing(&self, delivery: Delivery, span: Span) -> BoxFuture<'_, ()> {
        self.in_flight_receipts().insert(delivery.receipt.clone());
        let incoming = Arc::new(self.endpoint.accept(Cow::Owned(delivery)));
        identify(&span, &incoming);
        let ticket = self.order.lane(&incoming).map(|lane| self.lanes.enter(lane, &incoming, &span));
        self.process_and_acknowledge(incoming, span, ticket).boxed()
    }

    /// Processes one message when it is its turn, and extends its visibility timeout meanwhile.
    /// Then acknowledges the message or gives it back.
    async fn process_and_acknowledge(&self, incoming: Arc<Incoming<'static>>, span: Span, ticket: Option<Ticket<'_>>) {
        let delivery = &*incoming.delivery;
        let result =
            match select(pin!(self.process(&span, &incoming, ticket)), pin!(self.extend_visibility(delivery))).await {
                Either::Left((result, _)) => result,
                Either::Right((never, _)) => match never {},
            };
        let receipts = vec![delivery.receipt.clone()];
        let results = match result {
            Ok(_) => self.acknowledge(receipts).instrument(debug_span!(parent: &span, "acknowledge")).await,
            Err(NotFinished::Failed(error)) => {
                let pause = self.settings.retry.pause(delivery.receive_count, self.random());
                let (error, receive_count) = (error.loggable(), delivery.receive_count);
                tracing::warn!(parent: &span, error, ?pause, receive_count, "message given back");
                self.give_back(&incoming, pause).await
            }
            Err(NotFinished::Crowded) => {
                let pause = self.settings.retry.pause(delivery.receive_count, self.random());
                self.give_back(&incoming, pause).await
            }
            Err(NotFinished::Deferred(delay)) => self.queue.extend(receipts, delay).await,
            // No pause: while the earlier message of the group is invisible, the queue does not
            // deliver the group.
            Err(NotFinished::Behind | NotFinished::Stopped) => self.queue.extend(receipts, Duration::ZERO).await,
        };
        // A message that could not be acknowledged is not lost. It is received again and found to
        // be a duplicate.
        for error in results.into_iter().filter_map(Result::err) {
            let error = error.loggable();
            tracing::debug!(
                parent: &span,
                error,
                "message neither acknowledged nor given back; it becomes visible when its visibility timeout ends"
            );
        }
        self.in_flight_receipts().remove(&delivery.receipt);
    }

    /// Makes a message visible again after a pause. If it was received often, a copy is sent
    /// instead, and the delivery is acknowledged. The receive count of the copy starts again, so
    /// SQS does not move the message to the dead-letter queue for receives that were not failures.
    ///
    /// On a FIFO queue a copy would lose its place in the order, so the message is given back. A
    /// message that is too old to be sent again is given back, too.
    async fn give_back(&self, incoming: &Incoming<'_>, pause: Duration) -> Vec<Result<(), PortError>> {
        let (endpoint, delivery) = (self.endpoint.context(), &*incoming.delivery);
        let receipts = vec![delivery.receipt.clone()];
        let is_due = parking::is_due_for_copy(delivery.receive_count, endpoint.settings.attempts_max);
        let is_old = incoming.envelope.as_ref().is_ok_and(|envelope| endpoint.is_too_old_in(envelope, pause));
        if is_due && !is_old && !self.order.stops_at_failure() {
            match parking::send_later(endpoint, delivery, self.queue_name, pause).await {
                Ok(()) => return self.acknowledge(receipts).await,
                Err(error) => {
                    tracing::debug!(error = error.loggable(), "copy of message not sent; message given back instead");
                }
            }
        }
        self.queue.extend(receipts, pause).await
    }

    async fn acknowledge(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let delete = async { self.queue.delete(receipts).await.into_iter().collect::<Result<(), _>>() };
        vec![self.endpoint.context().timed(Timed::Acknowledge, PortError::kind, delete).await]
    }

    /// Processes a message when it is its turn, together with the messages of its partition that
    /// wait behind it. If an earlier message has processed it as a follower, returns that result.
    async fn process(
        &self,
        span: &Span,
        incoming: &Incoming<'_>,
        mut ticket: Option<Ticket<'_>>,
    ) -> Result<Outcome, NotFinished> {
        let followers = match &mut ticket {
            None => Vec::new(),
            Some(ticket) => match self.turn(ticket).await {
                Signal::Finished(done) => return done,
                Signal::Start => {
                    let others_max = self.endpoint.context().settings.fold_max - 1;
                    ticket.take_followers(others_max, |next| self.order.may_fold(incoming, next))
                }
            },
        };
        let (own, is_finished) = self.attempt(incoming, span, followers).await;
        if let Some(ticket) = ticket.filter(|_| self.order.stops_at_failure() && !is_finished) {
            ticket.stop();
        }
        own
    }

    /// Waits until a message is at the head of its lane, or has waited too long in a crowded lane.
    async fn turn(&self, ticket: &mut Ticket<'_>) -> Signal {
        if !self.order.bounds_lanes() {
            return ticket.turn().await;
        }
        let max = self.settings.partition_in_flight_max();
        ticket.turn_unless_crowded(max, self.sleep(CROWDED_WAIT_MAX)).await
    }

    /// Makes one attempt at a message and its followers. Each follower gets its result at once.
    /// Returns the result of the message itself, and whether all were finished.
    async fn attempt(
        &self,
        incoming: &Incoming<'_>,
        span: &Span,
        followers: Vec<Waiter>,
    ) -> (Result<Outcome, NotFinished>, bool) {
        let others: Vec<_> = followers.iter().map(|one| (Arc::clone(&one.incoming), one.span.clone())).collect();
        let others = others.iter().map(|(incoming, span)| (&**incoming, span));
        let fold: Vec<_> = std::iter::once((incoming, span)).chain(others).collect();
        let (clock, attempt_max) = (&self.endpoint.context().ports.clock, self.settings.attempt_max());
        let results = Mutex::new(Results::new(followers));
        let lock = || results.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let report = |number, done| lock().report(number, done);
            let options = ProcessOptions {
                queue: Some(self.queue_name),
                is_ordered: self.order.stops_at_failure(),
                handler_limit: HandlerLimit::Each(attempt_max),
            };
            let mut work = pin!(self.endpoint.process_fold(&fold, options, report));
            // The engine stops a handler that hangs. The other steps may take as much time again.
            let whole_max = attempt_max * 2;
            let mut timeout = clock.sleep(whole_max);
            poll_fn(|context| {
                if work.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                // The messages after a finished one have the full time, too.
                if lock().take_new_result() {
                    timeout = clock.sleep(whole_max);
                }
                timeout.as_mut().poll(context)
            })
            .await;
        }
        let mut results = std::mem::take(&mut *lock());
        results.time_out(attempt_max);
        self.record_outage(results.services());
        results.into_own()
    }

    /// Records what an attempt shows about the services. All messages of an attempt count as one.
    fn record_outage(&self, services: Services) {
        match services {
            Services::Failing => self.outage.failed(),
            Services::Answering => self.outage.end(),
            Services::Unknown => {}
        }
    }

    /// Extends the visibility timeout of a message again and again, long before it ends.
    ///
    /// SUBTLE: a request without a response is abandoned when the next one is due. If the worker
    /// waited for the response, the visibility timeout would end in the meantime
    /// (`visibility_timeout_outlasts_extensions_that_are_not_answered`).
    async fn extend_visibility(&self, delivery: &Delivery) -> Infallible {
        let visibility = self.settings.visibility();
        let interval = visibility / 3;
        self.sleep(interval).await;
        loop {
            let extend = async {
                let extend = self.queue.extend(vec![delivery.receipt.clone()], visibility);
                match select(extend, pin!(self.sleep(interval))).await {
                    Either::Left((results, _)) => results,
                    Either::Right(_) => {
                        vec![Err(PortError::new("extending a visibility timeout", "no response yet").public())]
                    }
                }
            };
            let (results, ()) = join(extend, self.sleep(interval)).await;
            for error in results.into_iter().filter_map(Result::err) {
                // Another worker may receive the message now. That is safe, but the work may be
                // done twice.
                tracing::debug!(error = error.loggable(), "visibility timeout not extended");
            }
        }
    }

    pub(super) fn in_flight_receipts(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.in_flight_receipts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttled(&self) -> u64 {
        self.endpoint.context().throttled.load(Ordering::Relaxed)
    }

    pub(super) fn random(&self) -> u128 {
        self.endpoint.context().ports.random.bits()
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        self.endpoint.context().ports.clock.sleep(duration).await;
    }
}
