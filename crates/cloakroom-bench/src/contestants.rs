//! The contestants: Cloakroom in several configurations, and other methods.
//!
//! All contestants run the same business logic on the same services: an order is counted in the
//! state of its entity, and one reservation is sent. All have the same number of workers and of
//! messages in flight, write to an entity one message at a time, and send batches of ten to SQS.
//! Each contestant is as good as its method allows. Its promise states what it does not guarantee.

mod at_least_once;
mod cloakroom;
mod consumer;
pub(crate) mod entities;
mod idempotency_table;
mod retained_record;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use ::cloakroom::{Delivery, PortError, ports::QueueMessage};
use async_trait::async_trait;
use cloakroom_aws::AwsSettings;

pub use self::{
    at_least_once::AtLeastOnce, cloakroom::Cloakroom, idempotency_table::IdempotencyTable,
    retained_record::RetainedRecord,
};
use crate::{error::RunError, order::Order, site::Site, stop::Stop, workload::LoadSettings};

/// The largest payload in an SQS message, in bytes: the limit of SQS less the rest of the message.
const INLINE_BYTES_MAX: usize = 1_000_000;
/// The largest payload in an item, in bytes: the limit of DynamoDB less the rest of the item.
const ITEM_BYTES_MAX: usize = 390_000;

/// A method of processing messages.
#[async_trait]
pub trait Contestant: Send + Sync + fmt::Debug {
    /// Returns its name, as on the command line: lower-case letters and `-`.
    fn name(&self) -> &'static str;

    /// Returns its guarantee, in a few words.
    fn promise(&self) -> &'static str;

    /// Returns the largest payload that it can process, in bytes.
    fn payload_bytes_max(&self) -> usize;

    /// Returns the settings for the services, changed from the given defaults.
    fn services(&self, settings: AwsSettings) -> AwsSettings {
        settings
    }

    /// Does preparations that are not measured, such as starting processes.
    ///
    /// # Errors
    /// The preparations failed.
    async fn prepare(&self, site: &Site) -> Result<(), RunError> {
        let _ = site;
        Ok(())
    }

    /// Returns the message for the incoming queue for an order. First writes everything that the
    /// message refers to.
    ///
    /// # Errors
    /// A call failed. The error says whether it may be retried.
    async fn message(&self, site: &Site, order: Order) -> Result<QueueMessage, PortError>;

    /// Runs one worker: processes orders from the incoming queue until `stop`, and then finishes
    /// those in flight.
    ///
    /// # Errors
    /// An error that a retry cannot fix.
    async fn work(&self, site: &Site, load: &LoadSettings, stop: Stop) -> Result<(), RunError>;

    /// Returns the order of a message in the outgoing queue, and the identity that its receiver
    /// uses for deduplication: of two messages with the same identity the receiver processes one.
    /// `None` if the message is not a reservation.
    fn sent(&self, delivery: &Delivery) -> Option<Sent>;
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The number of the order that it is for.
    pub order: u64,
    /// The identity that its receiver uses for deduplication.
    pub identity: String,
}

/// Returns all contestants, the baselines first.
pub fn all() -> Vec<Arc<dyn Contestant>> {
    vec![
        Arc::new(AtLeastOnce),
        Arc::new(IdempotencyTable),
        Arc::new(RetainedRecord),
        Arc::new(Cloakroom::CHECK_IN_AFTER_COMMIT),
        Arc::new(Cloakroom::SEPARATE),
        Arc::new(Cloakroom::SEPARATE_WITH_TABLE),
        Arc::new(Cloakroom::EMBEDDED_UNFOLDED),
        Arc::new(Cloakroom::EMBEDDED),
    ]
}

/// Returns the contestants that do not use Cloakroom.
pub fn baselines() -> Vec<Arc<dyn Contestant>> {
    vec![Arc::new(AtLeastOnce), Arc::new(IdempotencyTable), Arc::new(RetainedRecord)]
}

/// Returns the contestant with this name.
///
/// # Errors
/// There is no contestant with this name. The error lists the names.
pub fn named(name: &str) -> Result<Arc<dyn Contestant>, RunError> {
    let all = all();
    let names: Vec<&str> = all.iter().map(|contestant| contestant.name()).collect();
    let unknown = || RunError::BadInput(format!("there is no contestant `{name}`; there are {}", names.join(", ")));
    all.iter().find(|contestant| contestant.name() == name).cloned().ok_or_else(unknown)
}
