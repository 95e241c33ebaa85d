//! A worker while it runs.

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
    endpoint::{Endpoint, Taken},
    engine::{handler_limit::HandlerLimit, identify::identify, intake::Incoming, not_finished::NotFinished, parking},
    error::{Error, PortError},
    observe::observer::Timed,
    ports::queue::{Delivery, Queue},
    protocol::step::Outcome,
    worker::{
        concurrency::{InHand, Outage, Receives},
        lanes::{Lanes, Order, Signal, Ticket, Waiter},
        results::Results,
        settings::WorkerSettings,
    },
};

/// What SQS returns at most from one receive.
const RECEIVE_MAX: usize = 10;

/// How long a message waits in a crowded lane: long enough for a partition whose handlers are fast.
const CROWD_PATIENCE: Duration = Duration::from_secs(1);

/// A worker while it runs.
pub(super) struct RunningWorker<'a> {
    pub(super) endpoint: &'a Endpoint,
    /// The name of the queue, as routes use it.
    pub(super) queue_name: &'a str,
    pub(super) settings: &'a WorkerSettings,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) order: Order,
    pub(super) lanes: Lanes,
    /// Receipts of the messages in hand.
    pub(super) held: Mutex<BTreeSet<String>>,
    pub(super) outage: Outage,
    /// Ready from the shutdown on.
    pub(super) stopping: Shared<oneshot::Receiver<()>>,
}

/// What a receive brings: each message with its span.
pub(super) type Received = Result<Vec<(Delivery, Span)>, PortError>;

/// The receives under way, each with the number of messages that it asks for.
pub(super) type Receiving<'s> = FuturesUnordered<BoxFuture<'s, (usize, Received)>>;

/// The messages in hand.
pub(super) type AtWork<'s> = FuturesUnordered<BoxFuture<'s, ()>>;

impl RunningWorker<'_> {
    pub(super) async fn work<'s>(
        &'s self,
        at_work: &mut AtWork<'s>,
        receiving: &mut Receiving<'s>,
        mut shutdown: impl FusedFuture<Output = ()> + Send + Unpin,
    ) -> Result<(), Error> {
        let (queue, observer) = (self.queue.name(), &self.endpoint.context().observer);
        let in_flight_max = self.settings.in_flight_max;
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
        let incoming = Arc::new(self.endpoint.accept(Cow::Owned(delivery)));
        identify(&span, &incoming);
        let ticket = self.order.lane(&incoming).map(|lane| self.lanes.enter(lane, &incoming, &span));
        self.see_through(incoming, span, ticket).boxed()
    }

    /// Sees one message through: has it processed when its turn comes, keeps its lease meanwhile, and acknowledges it or
    /// gives it back.
    async fn see_through(&self, incoming: Arc<Incoming<'static>>, span: Span, ticket: Option<Ticket<'_>>) {
        let delivery = &*incoming.delivery;
        let result = match select(pin!(self.process(&span, &incoming, ticket)), pin!(self.keep_lease(delivery))).await {
            Either::Left((result, _)) => result,
            Either::Right((never, _)) => match never {},
        };
        let receipts = vec![delivery.receipt.clone()];
        let answers = match result {
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
            // No pause: while the one before it is invisible, the queue keeps its group back.
            Err(NotFinished::Behind | NotFinished::Stopped) => self.queue.extend(receipts, Duration::ZERO).await,
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
    /// On FIFO queues it would lose its ticket, and stays. So does a message that is too old to begin anew.
    async fn give_back(&self, incoming: &Incoming<'_>, pause: Duration) -> Vec<Result<(), PortError>> {
        let (endpoint, delivery) = (self.endpoint.context(), &*incoming.delivery);
        let receipts = vec![delivery.receipt.clone()];
        let is_often = parking::is_time_for_a_copy(delivery.receive_count, endpoint.settings.attempts_max);
        let is_old = incoming.envelope.as_ref().is_ok_and(|envelope| endpoint.is_too_old_in(envelope, pause));
        if is_often && !is_old && !self.order.stops_at_failure() {
            match parking::send_later(endpoint, delivery, self.queue_name, pause).await {
                Ok(()) => return self.acknowledge(receipts).await,
                Err(error) => tracing::debug!(error = error.loggable(), "message not sent again, but given back"),
            }
        }
        self.queue.extend(receipts, pause).await
    }

    async fn acknowledge(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let delete = async { self.queue.delete(receipts).await.into_iter().collect::<Result<(), _>>() };
        vec![self.endpoint.context().timed(Timed::Acknowledge, PortError::kind, delete).await]
    }

    /// Processes a message when its turn comes, and with it those that wait behind it for the same partition; or learns what became of it
    /// from the one that took it along.
    async fn process(
        &self,
        span: &Span,
        incoming: &Incoming<'_>,
        mut ticket: Option<Ticket<'_>>,
    ) -> Result<Outcome, NotFinished> {
        let along = match &mut ticket {
            None => Vec::new(),
            Some(ticket) => match self.turn(ticket).await {
                Signal::Finished(done) => return done,
                Signal::Start => {
                    let others_max = self.endpoint.context().settings.fold_max - 1;
                    ticket.take_along(others_max, |next| self.order.may_fold(incoming, next))
                }
            },
        };
        let (own, is_finished) = self.attempt(incoming, span, along).await;
        if let Some(ticket) = ticket.filter(|_| self.order.stops_at_failure() && !is_finished) {
            ticket.stop();
        }
        own
    }

    /// Waits until a message is next in its lane, or has waited too long in a crowded one.
    async fn turn(&self, ticket: &mut Ticket<'_>) -> Signal {
        if !self.order.bounds_lanes() {
            return ticket.turn().await;
        }
        let max = self.settings.partition_in_flight_max();
        ticket.turn_unless_crowded(max, self.sleep(CROWD_PATIENCE)).await
    }

    /// One attempt at a message and those that came along. Those are told at once what became of them. The answer for the message itself,
    /// and whether all were finished.
    async fn attempt(
        &self,
        incoming: &Incoming<'_>,
        span: &Span,
        along: Vec<Waiter>,
    ) -> (Result<Outcome, NotFinished>, bool) {
        let others: Vec<_> = along.iter().map(|one| (Arc::clone(&one.incoming), one.span.clone())).collect();
        let others = others.iter().map(|(incoming, span)| (&**incoming, span));
        let fold: Vec<_> = std::iter::once((incoming, span)).chain(others).collect();
        let (clock, attempt_max) = (&self.endpoint.context().ports.clock, self.settings.attempt_max());
        let answers = Mutex::new(Results::new(along));
        let lock = || answers.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let tell = |number, done| lock().tell(number, done);
            let taken = Taken {
                queue: Some(self.queue_name),
                is_ordered: self.order.stops_at_failure(),
                handler_limit: HandlerLimit::Each(attempt_max),
            };
            let mut work = pin!(self.endpoint.process_fold(&fold, taken, tell));
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
        let visibility = self.settings.visibility();
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

    pub(super) fn held(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
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
