//! All ports of an endpoint as one value.

use std::sync::Arc;

use crate::ports::{
    clock::{Clock, Random},
    limits::Limits,
    partition_store::PartitionStore,
    payload_store::PayloadStore,
    queue::Queues,
};

/// All ports that an endpoint needs.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The store of states and outbox records.
    pub store: Arc<dyn PartitionStore>,
    /// The store of payloads and dedupe entries.
    pub payloads: Arc<dyn PayloadStore>,
    /// The queues, by name.
    pub queues: Arc<dyn Queues>,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// The source of random numbers.
    pub random: Arc<dyn Random>,
    /// The limits of the store and the queues.
    pub limits: Limits,
}
