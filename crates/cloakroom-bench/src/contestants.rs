//! Who is compared: Cloakroom in each of its forms, and what others do instead.
//!
//! All do the same business with the same services: an order is counted in the state of its entity, and one reservation is
//! sent. All take messages with the same number of workers and as many in hand, write to an entity one at a time, and share
//! requests to SQS by tens in the same way. Each is as good as its idea allows; what it does not promise is said.

mod at_least_once;
mod cloakroom;
mod consumer;
mod entities;
mod idempotency_table;
mod retained_record;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use ::cloakroom::{Delivery, PortError, ports::QueueMessage};
use async_trait::async_trait;
use cloakroom_aws::AwsSettings;

pub(crate) use self::entities::ledger;
pub use self::{
    at_least_once::AtLeastOnce, cloakroom::Cloakroom, idempotency_table::IdempotencyTable,
    retained_record::RetainedRecord,
};
use crate::{LoadSettings, Order, RunError, Site, Stop};

/// What SQS takes, less what is around a payload.
const INLINE_BYTES_MAX: usize = 1_000_000;
/// What an item takes, less what is around a payload.
const ITEM_BYTES_MAX: usize = 390_000;

/// A way to process messages.
#[async_trait]
pub trait Contestant: Send + Sync + fmt::Debug {
    /// Its name, as `--compare` takes it; lower-case letters and `-`.
    fn name(&self) -> &'static str;

    /// What it promises, in a few words.
    fn promise(&self) -> &'static str;

    /// The largest payload that it can take.
    fn payload_bytes_max(&self) -> usize;

    /// Settings for the services other than the defaults.
    fn services(&self, settings: AwsSettings) -> AwsSettings {
        settings
    }

    /// Gets ready: what is not to be measured, such as the start of processes.
    ///
    /// # Errors
    /// It cannot take part.
    async fn prepare(&self, site: &Site) -> Result<(), RunError> {
        let _ = site;
        Ok(())
    }

    /// What is put into the incoming queue for an order. Whatever has to be there before is written by this.
    ///
    /// # Errors
    /// A call failed that could help if it were repeated, or could not.
    async fn message(&self, site: &Site, order: Order) -> Result<QueueMessage, PortError>;

    /// Is one worker: takes orders from the incoming queue until `stop`, then finishes what it has in hand.
    ///
    /// # Errors
    /// What no other try can mend.
    async fn work(&self, site: &Site, load: &LoadSettings, stop: Stop) -> Result<(), RunError>;

    /// Which order a message in the outgoing queue is for, and by what its receiver tells it from others: of two with the
    /// same identity it processes one. None for what is no reservation.
    fn sent(&self, delivery: &Delivery) -> Option<Sent>;
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The number of the order that it is for.
    pub order: u64,
    /// What its receiver recognises it by.
    pub identity: String,
}

/// Everybody, baselines first.
pub fn all() -> Vec<Arc<dyn Contestant>> {
    vec![
        Arc::new(AtLeastOnce),
        Arc::new(IdempotencyTable),
        Arc::new(RetainedRecord),
        Arc::new(Cloakroom::CHECK_IN_AFTER_COMMIT),
        Arc::new(Cloakroom::BESIDE),
        Arc::new(Cloakroom::BESIDE_WITH_TABLE),
        Arc::new(Cloakroom::EMBEDDED_UNFOLDED),
        Arc::new(Cloakroom::EMBEDDED),
    ]
}

/// Those that are there to be compared with.
pub fn baselines() -> Vec<Arc<dyn Contestant>> {
    vec![Arc::new(AtLeastOnce), Arc::new(IdempotencyTable), Arc::new(RetainedRecord)]
}

/// The one of this name.
///
/// # Errors
/// There is none; the error lists those that there are.
pub fn named(name: &str) -> Result<Arc<dyn Contestant>, RunError> {
    let all = all();
    let names: Vec<&str> = all.iter().map(|contestant| contestant.name()).collect();
    let unknown = || RunError::BadInput(format!("there is no contestant `{name}`; there are {}", names.join(", ")));
    all.iter().find(|contestant| contestant.name() == name).cloned().ok_or_else(unknown)
}
