//! What Cloakroom replaces: a consumer that receives, updates, sends and deletes. It runs the same handlers
//! through the same trouble to the same audit, which has to find it out.
//!
//! It is a careful one: it updates only what nobody else has changed meanwhile. It just has no way to know what
//! it has done already.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    MessageId, Partition, PortError, Ports, Timestamp,
    format::{Claim, Record},
    ports::{ClaimsStored, Commit, Committed, Failures, PartitionStore, PayloadStore, RecordKey, StateRead},
    protocol::Consistency,
};

/// Ports without any of the protections: whatever is asked for a proof of processing knows nothing.
pub(crate) fn naive(ports: Ports) -> Ports {
    Ports {
        store: Arc::new(NaiveStore(Arc::clone(&ports.store))),
        payloads: Arc::new(NaivePayloads(Arc::clone(&ports.payloads))),
        ..ports
    }
}

/// Updates the state if its version is unchanged, and keeps no record.
#[derive(Debug)]
struct NaiveStore(Arc<dyn PartitionStore>);

#[async_trait]
impl PartitionStore for NaiveStore {
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        self.0.read_state(partition, endpoint, consistency).await
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        self.0.has_records(partition, endpoint).await
    }

    async fn read_record(&self, _: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        Ok(None)
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let committed = self.0.commit(commit).await?;
        // Also after a conflict: it may be with a record that a crash has left.
        for key in commit.keys() {
            self.0.clear(key).await?;
        }
        Ok(committed)
    }

    async fn store_claims(&self, _: RecordKey<'_>, _: &Record) -> Result<ClaimsStored, PortError> {
        Ok(ClaimsStored::Stored)
    }

    async fn retain(&self, _: RecordKey<'_>, _: &Record, _: Timestamp) -> Result<(), PortError> {
        Ok(())
    }

    async fn clear(&self, _: RecordKey<'_>) -> Result<(), PortError> {
        Ok(())
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        self.0.read_failures(key).await
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        self.0.write_failures(key, failures).await
    }
}

/// Keeps what is sent, and proves nothing by it.
#[derive(Debug)]
struct NaivePayloads(Arc<dyn PayloadStore>);

#[async_trait]
impl PayloadStore for NaivePayloads {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn place(&self, bytes: usize) -> &str {
        self.0.place(bytes)
    }

    fn stores(&self) -> Vec<&str> {
        self.0.stores()
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        self.0.check_in(claim, payload).await
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        self.0.read(claim).await
    }

    async fn delete(&self, _: &Claim) -> Result<(), PortError> {
        Ok(())
    }

    async fn has_entry(&self, _: &str, _: &MessageId) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn put_entry(&self, _: &str, _: &MessageId) -> Result<(), PortError> {
        Ok(())
    }
}
