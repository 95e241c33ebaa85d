//! The arguments and results of [`PartitionStore`](crate::ports::PartitionStore): reads and commits
//! of a partition.

use std::collections::BTreeMap;

use serde_dynamo::Item;

use crate::{
    error::LimitError,
    format::{
        name::{MessageId, Partition},
        recent::Recent,
        record::Record,
        timestamp::Timestamp,
    },
    protocol::version::Version,
};

/// The key of a record: its partition, the endpoint, and the message that the endpoint processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKey<'a> {
    /// The partition.
    pub partition: &'a Partition,
    /// The endpoint that processes the message.
    pub endpoint: &'a str,
    /// The incoming message.
    pub message: &'a MessageId,
}

/// The result of [`PartitionStore::read_state`](crate::ports::PartitionStore::read_state).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateRead {
    /// The version. [`Version::ABSENT`] if nothing was ever committed.
    pub version: Version,
    /// The state. `None` if it never existed, or if it was deleted.
    pub state: Option<Item>,
    /// The records in the state's item.
    pub embedded: Embedded,
}

/// The records that are embedded in the item of a state. A later commit keeps a record unchanged,
/// or drops it if its message is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The [encoded](Record::encode) records, by incoming message.
    pub records: BTreeMap<MessageId, String>,
    /// Whether these are all records of the endpoint in the partition, because every commit so far
    /// has embedded its record. An absent state does not show it. See
    /// [`embedding::is_complete`](crate::protocol::embedding::is_complete).
    pub is_complete: bool,
    /// Digests of the messages that were committed last, as far as there was room. Only for the
    /// loss alarm.
    pub recent: Recent,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { records: BTreeMap::new(), is_complete: true, recent: Recent::default() }
    }
}

/// The place where an outbox record is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// A separate item. A commit is a transaction of two items, and the record must be deleted
    /// later. The record is gone when its message is finished.
    #[default]
    #[serde(alias = "beside")]
    Separate,
    /// In the state's item. A commit is one conditional write, and the record need not be deleted.
    /// A later commit drops the record, so an idle entity keeps the records of its last commit.
    Embedded,
}

/// The change of the state in a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum StateWrite {
    /// Replaces the state.
    Put(Item),
    /// Deletes the state. Its version stays in a tombstone.
    Tombstone {
        /// The time after which the store may remove the tombstone. By then no message that was
        /// sent before the deletion may exist any more.
        expires: Timestamp,
    },
}

/// The condition on a handler's own item. The commit applies only if the condition is met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Condition {
    /// No condition.
    #[default]
    Any,
    /// The item exists.
    Exists,
    /// The item does not exist.
    Absent,
}

/// The change of a handler's own item in the partition.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemAction {
    /// Writes the item, and replaces an existing one.
    Put(Item),
    /// Deletes the item.
    Delete,
    /// Leaves the item unchanged. Only its condition is checked.
    Check,
}

/// The endpoints that may write a handler's own item. Without this check, endpoints that share a
/// partition could overwrite each other's items unnoticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Only the endpoint that created the item.
    #[default]
    Owned,
    /// All endpoints that write the item as shared.
    Shared,
}

/// A handler's own item in the partition, written in the same commit as the state.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemWrite {
    /// The sort key of the item.
    pub sort_key: String,
    /// The change of the item.
    pub action: ItemAction,
    /// The condition on the item.
    pub condition: Condition,
    /// The endpoints that may write the item.
    pub sharing: Sharing,
}

/// An atomic write of everything that one attempt, or the attempts of a fold, must make durable.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The partition.
    pub partition: &'a Partition,
    /// The endpoint to which the state and the records belong.
    pub endpoint: &'a str,
    /// The version that the attempt has read.
    pub expected: Version,
    /// The change of the state.
    pub state: &'a StateWrite,
    /// The record of each incoming message, in the order in which the messages were handled. There
    /// is one, or one for each message of a fold.
    pub records: &'a [(&'a MessageId, &'a Record)],
    /// The embedded records of other messages that the state's item keeps, and what was read about
    /// them.
    pub kept: &'a Embedded,
    /// The maximum size of the state's item with embedded records, in bytes. If the item would be
    /// larger, or if this is 0, the records are written as separate items.
    pub embedded_bytes_max: usize,
    /// The handlers' own items.
    pub items: &'a [ItemWrite],
    /// The idempotency token: the same in every retry of this commit, and in no other commit. Up to
    /// 36 characters.
    pub token: &'a str,
}

impl<'a> Commit<'a> {
    /// Returns the keys that the commit's records have if they are separate items.
    pub fn keys(&self) -> impl Iterator<Item = RecordKey<'a>> {
        let Self { partition, endpoint, .. } = *self;
        self.records.iter().map(move |(message, _)| RecordKey { partition, endpoint, message })
    }
}

/// The result of a commit. A failed condition is a result, not an error.
#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    /// The commit is durable, and its records have this placement.
    Applied(Placement),
    /// A condition was not met, so this call wrote nothing. An earlier try of the same commit may
    /// have been applied.
    Conflict(Conflict),
    /// The commit exceeds a limit of the store, so it was not sent. The error names the item.
    TooLarge(LimitError),
    /// The store refuses the content of the commit, for example an item of another endpoint. It
    /// wrote nothing, and a retry does not help. The text names the item, the reason, and what to
    /// do.
    Refused(String),
}

/// The condition of a commit that was not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The state has another version, or the message has a record.
    Overtaken,
    /// The condition on the handler's own item with this sort key.
    Item(String),
}

/// The result of storing claims.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimsStored {
    /// The given record was stored.
    Stored,
    /// The record already had claims, and was not changed. This is the stored record.
    AlreadyThere(Record),
    /// There is no record.
    Gone,
}

/// The number of times that an endpoint failed to process a message because of that message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// The number of failures since the message was last parked for its failures.
    pub count: u32,
    /// The time when the count expires. The store may remove it after that.
    pub expires: Timestamp,
}
