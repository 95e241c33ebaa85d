//! A naive consumer, for comparison: it receives, updates, sends and deletes. It runs the same
//! handlers under the same faults, and the same audit must find its errors.
//!
//! The naive consumer uses optimistic concurrency: it updates a state only if its version is
//! unchanged. But it has no means to detect that it has processed a message before.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    MessageId, Partition, PortError, Ports, Timestamp,
    format::{Claim, Record},
    ports::{ClaimsStored, Commit, Committed, Failures, PartitionStore, PayloadStore, RecordKey, StateRead},
    protocol::Consistency,
};

/// Returns ports without exactly-once protection: they never report that a message was processed.
pub(crate) fn naive(ports: Ports) -> Ports {
    Ports {
        store: Arc::new(NaiveStore(Arc::clone(&ports.store))),
        payloads: Arc::new(NaivePayloads(Arc::clone(&ports.payloads))),
        ..ports
    }
}

/// A store that updates the state if its version is unchanged, and keeps no outbox record.
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
        // Also after a conflict: the commit may have conflicted with a record left by a crash.
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

/// A payload store that never deletes payloads and has no dedupe entries.
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
