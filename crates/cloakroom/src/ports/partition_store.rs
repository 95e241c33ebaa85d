//! The port of partitions: state, outbox records and the items of handlers.

use std::fmt;

use async_trait::async_trait;

use crate::{
    error::PortError,
    format::{name::Partition, record::Record, timestamp::Timestamp},
    ports::commit::{ClaimsStored, Commit, Committed, Failures, RecordKey, StateRead},
    protocol::step::Consistency,
};

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
