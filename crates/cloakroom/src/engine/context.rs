//! What the engine needs to work for an endpoint, apart from its handlers.

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

/// The name, ports and settings of an endpoint. A producer and recovery have a context, too, and no handlers.
pub(crate) struct Context {
    pub(crate) name: Arc<str>,
    pub(crate) ports: BoundedPorts,
    pub(crate) settings: EndpointSettings,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) parking: Parking,
    pub(crate) settled: Settled,
    /// Calls that were throttled so far.
    pub(crate) throttled: AtomicU64,
    /// Queues that are open.
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

    /// Returns the queue of this name, and opens it if it is not open yet.
    pub(crate) async fn queue(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        if let Some(queue) = self.queues.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(queue));
        }
        let linger = Duration::from_millis(self.settings.linger_ms);
        let queue = self.call(|| self.ports.queues.open(name)).await?;
        let coalesced = BatchingQueue::new(queue, Arc::clone(&self.ports.clock), linger);
        let queue: Arc<dyn Queue> = Arc::new(coalesced.answers_within(self.settings.call_max()));
        // If several callers open it at the same time, all use the first one's, so that they fill batches together.
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(queues.entry(name.to_owned()).or_insert(queue)))
    }

    /// Whether a message is too old to be sent again after this time.
    pub(crate) fn is_too_old_in(&self, envelope: &Envelope, delay: Duration) -> bool {
        let then = self.ports.clock.now().after(delay);
        lifetime::message_is_old(envelope, then, self.settings.payload_ttl())
    }
}

/// Where messages are parked.
#[derive(Debug)]
pub(crate) struct Parking {
    /// `None` if it follows the queue that a message came from.
    pub(super) queue: Option<String>,
    /// Whether it says which endpoint has parked a message.
    pub(super) signs: bool,
}

impl Parking {
    pub(crate) const fn new(queue: Option<String>) -> Self {
        Self { queue, signs: true }
    }

    /// That of an operator, who may not know which endpoint it is.
    pub(crate) const fn of_operator(queue: String, signs: bool) -> Self {
        Self { queue: Some(queue), signs }
    }
}
