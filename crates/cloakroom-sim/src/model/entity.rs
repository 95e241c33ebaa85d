//! Entities: their state, and the records that are embedded in its item.

use cloakroom::protocol::Version;

use crate::model::{record::EmbeddedRecords, set::NumberSet};

/// The item of an entity's state: the messages that were applied to it, its version and its
/// embedded records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Entity {
    pub(super) version: u8,
    pub(super) applied: NumberSet,
    /// The embedded records.
    pub(super) records: EmbeddedRecords,
    /// No record of this entity was ever written as a separate item.
    pub(super) is_complete: bool,
    /// The item is a tombstone.
    pub(super) is_deleted: bool,
}

impl Default for Entity {
    fn default() -> Self {
        let (version, applied, records, is_deleted) = Default::default();
        Self { version, applied, records, is_complete: true, is_deleted }
    }
}

pub(super) fn version(number: u8) -> Version {
    Version::new(number.into())
}
