//! Reads and commits of a partition: the values that [`PartitionStore`](crate::ports::PartitionStore) takes and returns.

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

/// The address of a record: the partition it lives in, and the message it belongs to, as seen by one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKey<'a> {
    /// The partition.
    pub partition: &'a Partition,
    /// The endpoint that processes the message.
    pub endpoint: &'a str,
    /// The incoming message.
    pub message: &'a MessageId,
}

/// What [`PartitionStore::read_state`] saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateRead {
    /// The version; [`Version::ABSENT`] if nothing was ever committed.
    pub version: Version,
    /// The state; `None` if there never was any, or if it was deleted.
    pub state: Option<Item>,
    /// The records in its item.
    pub embedded: Embedded,
}

/// The records that are embedded in the item of a state. A later commit carries them on, as they are, or drops them when they are
/// settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Each [as text](Record::encode), by its incoming message.
    pub records: BTreeMap<MessageId, String>,
    /// No other record of the endpoint is in the partition: every commit so far has embedded its record. An absent
    /// state cannot tell; see [`embedding::is_complete`](crate::protocol::embedding::is_complete).
    pub is_complete: bool,
    /// Which messages were committed last, as far as there was room to note it. Only for the loss alarm.
    pub recent: Recent,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { records: BTreeMap::new(), is_complete: true, recent: Recent::default() }
    }
}

/// Where an outbox record lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// In an item of its own, beside the state: a transaction of two items, and a deletion. It is gone when its message is finished.
    #[default]
    #[serde(alias = "beside")]
    Separate,
    /// In the state's item: a commit is one conditional put, and nothing is to be cleared. The record is dropped by a later commit,
    /// so at rest an entity keeps those of its last one.
    Embedded,
}

/// What a commit makes of the state.
#[derive(Clone, Debug, PartialEq)]
pub enum StateWrite {
    /// Replaces it.
    Put(Item),
    /// Deletes it, keeping the version in a tombstone that may be removed after the moment named.
    Tombstone {
        /// Must be later than any message sent before the deletion can live.
        expires: Timestamp,
    },
}

/// What a handler's own item must be like for the commit to apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Anything.
    #[default]
    Any,
    /// It exists.
    Exists,
    /// It does not exist.
    Absent,
}

/// What to do with a handler's own item in the partition.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemAction {
    /// Write it, replacing what is there.
    Put(Item),
    /// Remove it.
    Delete,
    /// Leave it; only its condition counts.
    Check,
}

/// Which endpoints may write a handler's own item. Endpoints that share a partition would otherwise overwrite each other's
/// items without notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Only the endpoint that made it.
    #[default]
    Owned,
    /// Every endpoint that shares it, too.
    Shared,
}

/// A handler's own item in the partition, written in the same commit as the state.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemWrite {
    /// Its sort key.
    pub sort_key: String,
    /// What to do.
    pub action: ItemAction,
    /// Under which condition.
    pub condition: Condition,
    /// Which endpoints may write it.
    pub sharing: Sharing,
}

/// Everything that one attempt wants to become durable, all or nothing.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The partition.
    pub partition: &'a Partition,
    /// The endpoint whose state, and whose records, these are.
    pub endpoint: &'a str,
    /// The version that the attempt has read.
    pub expected: Version,
    /// The state to be.
    pub state: &'a StateWrite,
    /// The outgoing messages of each incoming one, in the order in which they were handled; of one, or of a fold.
    pub records: &'a [(&'a MessageId, &'a Record)],
    /// The records of others that the state's item goes on to hold, and what was read about them.
    pub kept: &'a Embedded,
    /// Bytes of the state's item up to which the records are embedded in it. If it would be larger, and if this is 0, they are put
    /// beside it.
    pub embedded_bytes_max: usize,
    /// The handlers' further items.
    pub items: &'a [ItemWrite],
    /// The same in every repetition of this very commit, and in nothing else; up to 36 characters.
    pub token: &'a str,
}

impl<'a> Commit<'a> {
    /// The addresses that its records have if they lie beside the state.
    pub fn keys(&self) -> impl Iterator<Item = RecordKey<'a>> {
        let Self { partition, endpoint, .. } = *self;
        self.records.iter().map(move |(message, _)| RecordKey { partition, endpoint, message })
    }
}

/// How a commit ended. That a condition failed is an answer, not an error.
#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    /// It is durable, and this is where its records lie.
    Applied(Placement),
    /// A condition failed, and nothing was written now. An own earlier try may have been.
    Conflict(Conflict),
    /// It is over a limit of the store, which was not asked; the error names the item.
    TooLarge(LimitError),
    /// The store refuses what is in it, and repeating it does not help: nothing was written. The text says what, why, and what to
    /// do. So it is with an item of another endpoint.
    Refused(String),
}

/// Which condition of a commit failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The state has another version, or the message has a record.
    Overtaken,
    /// The handler's own item of this sort key is not as demanded.
    Item(String),
}

/// How storing claims ended.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimsStored {
    /// The record now is as it was given.
    Stored,
    /// It had claims already, which stay as they are: this record.
    AlreadyThere(Record),
    /// There is no record.
    Gone,
}

/// How often an endpoint has failed to process a message, for whatever lies with that message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How many times, since it was last parked for its failures.
    pub count: u32,
    /// When the count ends. The store may remove it from then on.
    pub expires: Timestamp,
}
