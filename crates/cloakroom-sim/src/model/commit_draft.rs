//! The content of one commit.

use crate::model::{entity::Entity, record::Record};

/// A commit. It may be late: on its way to the store, although its worker no longer waits for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CommitDraft {
    pub(super) entity: u8,
    pub(super) expected: u8,
    /// The state's item as the commit writes it, with the embedded records of other messages that
    /// it carries over.
    pub(super) state: Entity,
    pub(super) parts: Vec<CommitPart>,
}

/// The part of a commit that belongs to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CommitPart {
    pub(super) message: u8,
    pub(super) record: Record,
    pub(super) is_embedded: bool,
}
