//! What an endpoint is made of, and what it does for its engine.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use tracing::{Instrument as _, Span};

use super::DeadLetter;
use crate::{
    Coalesced, Delivery, EndpointSettings, Envelope, Error, Event, NotDone, Observer, Outcome, PortError, Ports, Queue,
    Timed,
    bounded::BoundedPorts,
    engine::{Desk, Settled},
    handler::AnyHandler,
    intake::{Arrival, Intake},
    lifetime,
    observer::Unobserved,
    parking::Parking,
    trace,
    tx::{Replies, Routes},
};

/// An endpoint whose state type has been forgotten.
pub(crate) struct Inner {
    pub(crate) name: Arc<str>,
    pub(crate) handlers: BTreeMap<&'static str, Box<dyn AnyHandler>>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) replies: Arc<Replies>,
    pub(crate) ports: BoundedPorts,
    pub(crate) settings: EndpointSettings,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) parking: Parking,
    pub(crate) intake: Intake,
    pub(crate) settled: Settled,
    /// Calls that were throttled so far.
    pub(crate) throttled: AtomicU64,
    pub(super) queues: Mutex<BTreeMap<String, Arc<dyn Queue>>>,
}

impl Inner {
    /// One that has a name, and can process nothing: to send what a producer submits, or to finish what an endpoint has
    /// committed.
    pub(crate) fn without_handlers(name: String, ports: Ports, settings: EndpointSettings) -> Self {
        Self {
            handlers: BTreeMap::new(),
            routes: Arc::default(),
            replies: Arc::default(),
            ports: BoundedPorts::new(ports, settings.call_max()),
            settings,
            observer: Arc::new(Unobserved),
            parking: Parking::new(None),
            intake: Intake::default(),
            settled: Settled::default(),
            throttled: AtomicU64::default(),
            queues: Mutex::default(),
            name: name.into(),
        }
    }

    /// Reads what came.
    pub(crate) fn accept<'d>(&self, delivery: Cow<'d, Delivery>) -> Arrival<'d> {
        self.intake.accept(&self.ports.limits, delivery)
    }

    pub(crate) async fn finish(&self, delivery: &Delivery) -> Result<DeadLetter, Error> {
        let arrival = self.accept(Cow::Borrowed(delivery));
        // What cannot be read was never committed.
        let Ok(desk) = Desk::open(self, &arrival, None) else { return Ok(DeadLetter::Left) };
        let span = trace::process(&self.name, delivery);
        trace::identify(&span, &arrival);
        Ok(desk
            .numbered(0, span.clone())
            .finish()
            .instrument(span)
            .await?
            .map_or(DeadLetter::Left, DeadLetter::Finished))
    }

    /// A queue that was opened before, or is now.
    pub(crate) async fn queue(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        if let Some(queue) = self.queues.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(queue));
        }
        let linger = Duration::from_millis(self.settings.linger_ms);
        let queue = self.call(|| self.ports.queues.open(name)).await?;
        let coalesced = Coalesced::new(queue, Arc::clone(&self.ports.clock), linger);
        let queue: Arc<dyn Queue> = Arc::new(coalesced.answers_within(self.settings.call_max()));
        // Of those who open it at the same time all take the first one's, so that they fill batches together.
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(queues.entry(name.to_owned()).or_insert(queue)))
    }

    /// Whether a message is too old to be sent again after this time.
    pub(crate) fn is_too_old_in(&self, envelope: &Envelope, delay: Duration) -> bool {
        let then = self.ports.clock.now().after(delay);
        lifetime::message_is_old(envelope, then, self.settings.payload_ttl())
    }

    /// Whether a route of this endpoint ends at this queue.
    pub(crate) fn has_route_to(&self, queue: &str) -> bool {
        self.routes.values().flatten().any(|routed| routed == queue)
    }

    /// Tells what became of a message that was begun.
    pub(super) fn note(&self, span: &Span, began: Duration, done: &Result<Outcome, NotDone>) {
        let (event, error) = match done {
            Ok(Outcome::Processed) => (Event::Processed, None),
            Ok(Outcome::Resumed) => (Event::Resumed, None),
            Ok(Outcome::Duplicate) => (Event::Duplicate, None),
            Ok(Outcome::Parked) => (Event::Parked, None),
            Ok(Outcome::Deferred) | Err(NotDone::Deferred(_)) => (Event::Deferred, None),
            Err(NotDone::Failed(error)) => (Event::GivenBack, Some(error)),
            Err(NotDone::Behind | NotDone::Stopped | NotDone::Crowded) => return,
        };
        let duration = self.ports.clock.monotonic().saturating_sub(began);
        self.observer.took(Timed::Process, duration, error.map(Error::kind));
        trace::ended(span, event, error);
        self.observer.observe(event);
    }

    pub(crate) async fn park(&self, delivery: &Delivery, source: Option<&str>, reason: &str) -> Result<Outcome, Error> {
        self.parking.park(self, delivery, source, reason).await?;
        Ok(Outcome::Parked)
    }
}
