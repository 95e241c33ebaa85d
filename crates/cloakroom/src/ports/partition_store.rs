//! The port of partitions: state, outbox records and the items of handlers.

use std::fmt;

use async_trait::async_trait;

use crate::{
    error::PortError,
    format::{name::Partition, record::Record, timestamp::Timestamp},
    ports::commit::{ClaimsStored, Commit, Committed, Failures, RecordKey, StateRead},
    protocol::step::Consistency,
};

/// The store of partitions. A partition is the unit of atomicity. The store decides where in a
/// partition it keeps a record.
///
/// - `read_record` MUST be strongly consistent, and so MUST `read_state` if the caller requests it:
///   a read that begins after a commit has returned sees the commit. The result of `read_state`
///   MUST be from one point in time.
/// - `commit` MUST write all or nothing. It MUST write only if the state's version is `expected`
///   **and** no message of the commit has a record. It MUST increase the version by the number of
///   its records, also if it deletes the state. It MUST keep the embedded records in `kept`. If it
///   writes separate records, it MUST mark the embedded records as incomplete.
/// - `commit` MUST refuse to write, delete or check an item that belongs to another endpoint. See
///   [`Sharing`](crate::ports::Sharing). The text names the item and its owner. It MUST refuse values that DynamoDB does
///   not store, and name the attribute.
/// - If the response of a commit was lost, a retry with the same token MAY return `Conflict`.
/// - `store_claims` MUST write only if the record exists as a separate item and has no claims.
/// - `clear` returns success if the record does not exist.
/// - `read_failures` MUST be strongly consistent. `write_failures` MUST NOT change anything that
///   the other methods read.
/// - An error MUST report that the call may have taken effect, unless it is certain that the call
///   had no effect.
#[async_trait]
pub trait PartitionStore: Send + Sync + fmt::Debug {
    /// Returns the name of the store in error texts, such as ``table `orders` ``.
    fn target(&self) -> String {
        "the partition store".to_owned()
    }

    /// Step 1: reads the version, the state, and the records that are embedded in the state's item.
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError>;

    /// Returns whether any message of the endpoint has a separate record in this partition. The
    /// engine calls it if the state is absent, before it embeds a record. MUST be strongly
    /// consistent. If a record is written or deleted during the call, either result is correct.
    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError>;

    /// Step 2: reads the separate record.
    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError>;

    /// Step 5: commits.
    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError>;

    /// Step 5b: replaces the bodies of the record with claims.
    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError>;

    /// Step 7 for a message whose record is its dedupe entry: replaces the separate record with
    /// this one, which the store may remove after `expires`. It does nothing if the record does not
    /// exist any more.
    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError>;

    /// Step 8: deletes the separate record.
    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError>;

    /// Returns the failure count of a message. `None` if there is no count. The count is not part
    /// of the protocol. It decides when a message is parked.
    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError>;

    /// Replaces the failure count of a message, or deletes it if `failures` is `None`.
    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError>;
}
