//! Everything that the engine needs to work for an endpoint, except for the handlers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use crate::{
    engine::{settings::EndpointSettings, settled::Settled},
    error::PortError,
    format::{envelope::Envelope, lifetime},
    observe::observer::Observer,
    ports::{batching::BatchingQueue, bounded::BoundedPorts, bundle::Ports, queue::Queue},
};

/// The name, ports and settings of an endpoint. A producer and recovery also have a context, but no
/// handlers.
pub(crate) struct Context {
    pub(crate) name: Arc<str>,
    pub(crate) ports: BoundedPorts,
    pub(crate) settings: EndpointSettings,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) parking: Parking,
    pub(crate) settled: Settled,
    /// The number of calls that were throttled so far.
    pub(crate) throttled: AtomicU64,
    /// The open queues by name.
    queues: Mutex<BTreeMap<String, Arc<dyn Queue>>>,
}

impl Context {
    pub(crate) fn new(
        name: String,
        ports: Ports,
        settings: EndpointSettings,
        observer: Arc<dyn Observer>,
        parking: Parking,
    ) -> Self {
        Self {
            name: name.into(),
            ports: BoundedPorts::new(ports, settings.call_max()),
            settings,
            observer,
            parking,
            settled: Settled::default(),
            throttled: AtomicU64::default(),
            queues: Mutex::default(),
        }
    }

    /// Returns the queue of this name. Opens it if it is not open yet.
    pub(crate) async fn queue(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        if let Some(queue) = self.queues.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(queue));
        }
        let linger = Duration::from_millis(self.settings.linger_ms);
        let queue = self.call(|| self.ports.queues.open(name)).await?;
        let batching = BatchingQueue::new(queue, Arc::clone(&self.ports.clock), linger);
        let queue: Arc<dyn Queue> = Arc::new(batching.answers_within(self.settings.call_max()));
        // If several callers open the queue at the same time, all of them use the first one, so
        // that their messages share batches.
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(queues.entry(name.to_owned()).or_insert(queue)))
    }

    /// Returns whether a message will be too old to be sent again after `delay`.
    pub(crate) fn is_too_old_in(&self, envelope: &Envelope, delay: Duration) -> bool {
        let then = self.ports.clock.now().after(delay);
        lifetime::message_is_too_old_to_send_again(envelope, then, self.settings.payload_ttl())
    }
}

/// The dead-letter queue of parked messages.
#[derive(Debug)]
pub(crate) struct Parking {
    /// `None` if it depends on the queue that a message came from.
    pub(super) queue: Option<String>,
    /// Whether a parked message names the endpoint that parked it.
    pub(super) names_endpoint: bool,
}

impl Parking {
    pub(crate) const fn new(queue: Option<String>) -> Self {
        Self { queue, names_endpoint: true }
    }

    /// Returns the parking of an operator, who may not know the endpoint.
    pub(crate) const fn of_operator(queue: String, names_endpoint: bool) -> Self {
        Self { queue: Some(queue), names_endpoint }
    }
}
