//! All ports of an endpoint as one value.

use std::sync::Arc;

use crate::ports::{
    clock::{Clock, Random},
    limits::Limits,
    partition_store::PartitionStore,
    payload_store::PayloadStore,
    queue::Queues,
};

/// Everything that an endpoint needs from the outside.
#[derive(Clone, Debug)]
pub struct Ports {
    /// State and outbox records.
    pub store: Arc<dyn PartitionStore>,
    /// Payloads and dedupe entries.
    pub payloads: Arc<dyn PayloadStore>,
    /// Queues.
    pub queues: Arc<dyn Queues>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// What the store and the queues take.
    pub limits: Limits,
}
