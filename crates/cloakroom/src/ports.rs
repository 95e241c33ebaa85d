//! What Cloakroom needs from the outside. The documentation of each trait is its contract, and
//! [`conformance`](crate::conformance) is the contract as a test that every backend passes.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde_dynamo::Item;

use crate::{
    Claim, Clock, LimitError, Limits, MessageId, Partition, PortError, Random, Record, Timestamp, Version,
    placement::Recent, protocol::Consistency,
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
    Beside,
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

/// Partitions: the unit of atomicity. Where in a partition the record lives is the store's own affair.
///
/// - `read_record`, and `read_state` if that is asked for, MUST be strongly consistent: a read that begins after
///   a commit was answered sees it. What `read_state` answers MUST be of one moment.
/// - `commit` MUST write all or nothing, and only if the state's version is `expected` **and** no message of it
///   has a record. It MUST add the number of its records to the version, whatever the state becomes, and keep the embedded records
///   that it is given. Records that it puts beside the state MUST make the embedded ones incomplete.
/// - `commit` MUST refuse to write or delete an item that belongs to another endpoint, and a check of it: see [`Sharing`]. The
///   text names the item and its owner. It MUST refuse values that DynamoDB does not store, and name the attribute.
/// - A commit that is repeated with the same token, while its first answer was lost, MAY be answered
///   with `Conflict`.
/// - `store_claims` MUST write only if the record exists, beside the state, and has no claims.
/// - `clear` of a record that is not there is a success.
/// - `read_failures` MUST be strongly consistent. What `write_failures` writes MUST NOT change anything that the other methods
///   read.
/// - Every error that is not known to mean "nothing happened" MUST say that it may have happened.
#[async_trait]
pub trait PartitionStore: Send + Sync + fmt::Debug {
    /// The store's name in error texts, such as ``table `orders` ``.
    fn target(&self) -> String {
        "the partition store".to_owned()
    }

    /// Step 1: version and state, and the records that are embedded in it.
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError>;

    /// Whether any message of the endpoint has a record beside the state in this partition: asked when the state is
    /// absent, before a record is embedded. MUST be strongly consistent. Of a record that is written or deleted
    /// meanwhile it may say either.
    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError>;

    /// Step 2: the record beside the state.
    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError>;

    /// Step 5.
    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError>;

    /// Step 5b: puts claims in the place of the record's bodies.
    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError>;

    /// Step 7 for a message whose record is its dedupe entry: replaces the record beside the state by this one, which may be removed
    /// after `expires`. If there is none any more, nothing is to be done.
    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError>;

    /// Step 8: deletes the record beside the state.
    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError>;

    /// The count of a message's failures; `None` if there is none. It is not part of the protocol: it decides when a message is
    /// parked.
    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError>;

    /// Replaces the count of a message's failures, or with `None` deletes it.
    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError>;
}

/// Payloads under their claims, and dedupe entries of messages without a claim.
///
/// One store, or [several](crate::PlacedPayloads) as one: then a claim's store says which of them has its payload.
///
/// - `read` and `has_entry` MUST be linearizable: what was written or deleted before they began is seen.
/// - `check_in` MUST send its write **at most once**. A write that is repeated by a client library
///   may arrive after the payload was deleted, and bring a processed message back to life. An error
///   that leaves the outcome open is answered by a fresh claim.
/// - `delete` of a payload that is not there, and `put_entry` of an entry that is, are successes.
/// - Only "there is no such key" is an absent payload; every other failure is an error. So is a claim of a store that
///   is not [held](PayloadStore::holds).
/// - A payload that is too large for the store MUST be refused as permanent and without effect.
#[async_trait]
pub trait PayloadStore: Send + Sync + fmt::Debug {
    /// The store's name, which becomes part of claims: up to 64 letters, digits, `-`, `_` and `.`. A store of another
    /// name holds other payloads; were it asked, every message would look processed. Dedupe entries are put in this one.
    fn name(&self) -> &str;

    /// The name of the store in which a payload of so many bytes is to be checked in: what its claim names. One of
    /// [`stores`](Self::stores).
    fn place(&self, _bytes: usize) -> &str {
        self.name()
    }

    /// The names of all stores whose payloads can be read and deleted here, [`name`](Self::name) among them.
    fn stores(&self) -> Vec<&str> {
        vec![self.name()]
    }

    /// Whether the payloads of the store of this name can be read and deleted here.
    fn holds(&self, store: &str) -> bool {
        store == self.name() || self.stores().contains(&store)
    }

    /// Steps 4b and 5b: writes a payload under a claim that nobody ever used.
    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError>;

    /// Step 3: the payload, or `None` if there is none.
    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError>;

    /// Step 7: deletes the payload.
    async fn delete(&self, claim: &Claim) -> Result<(), PortError>;

    /// Step 3 for a message without a claim: whether it was fully processed.
    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError>;

    /// Step 7 for a message without a claim: marks it as fully processed.
    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError>;
}

/// A message as it is given to a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueMessage {
    /// The encoded envelope.
    pub body: String,
    /// At most ten, counting those that the adapter adds.
    pub attributes: BTreeMap<String, String>,
    /// Seconds for which it is held back; 0 to 900. FIFO queues cannot do that for a single message.
    pub delay_s: u32,
    /// Message group: order on FIFO queues, fairness on standard ones.
    pub group: Option<String>,
    /// Deduplication id; FIFO queues only. Of messages with the same one, those that are sent within five minutes of the
    /// first are not delivered.
    pub deduplication: Option<String>,
}

/// A message as it comes from a queue, leased to one receiver until its visibility timeout ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The queue's own id of the message: the same in every delivery of it, another one when it is sent anew. A foreign
    /// message that brings no identity has this one; see [`intake`](crate::intake).
    pub id: String,
    /// The encoded envelope; or whatever a foreign producer has sent.
    pub body: String,
    /// The message's attributes.
    pub attributes: BTreeMap<String, String>,
    /// What acknowledges this delivery.
    pub receipt: String,
    /// How often the message was received, with this time; from 1.
    pub receive_count: u32,
    /// Message group, if it has one.
    pub group: Option<String>,
}

/// One queue.
///
/// - Delivery is at least once, in any order, and may come late.
/// - Every method that takes several entries answers with one result for each, in order; the failure of
///   one does not touch the others. Any number may be given: the adapter splits them.
/// - A FIFO queue, whose name ends in `.fifo`, takes the messages of one group in the order in which they are given: behind
///   one that failed, no other of its group is sent, and the error of each says so. See [`fifo`](crate::fifo).
/// - A message keeps its id in every delivery, and when the queue itself moves it to its dead-letter queue.
/// - `receive` waits up to `wait` for the first message and returns at most `max` (up to 10), each leased for
///   `visibility`; no message is not an error. It MUST NOT lose messages when it is dropped: their lease ends.
/// - `delete` of what is gone already is a success. A receipt that the queue never gave is an error of its
///   entry. `extend` MAY refuse a receipt whose lease has ended.
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// The name by which routes call it.
    fn name(&self) -> &str;

    /// Sends.
    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>>;

    /// Receives.
    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError>;

    /// Acknowledges the deliveries of these receipts.
    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>>;

    /// Sets the time, from now, after which each delivery's message may be received again.
    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>>;
}

/// Queues by name.
#[async_trait]
pub trait Queues: Send + Sync + fmt::Debug {
    /// The queue of this name.
    ///
    /// # Errors
    /// One that names the queue and says how to make it, if there is none.
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError>;
}

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
