//! Stores that break the protocol, based on memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cloakroom::{
    MessageId, Partition, PortError, Ports, Timestamp,
    format::{
        Record,
        schema::{Key, attribute},
    },
    memory::Memory,
    ports::{ClaimsStored, Commit, Committed, Failures, PartitionStore, Placement, RecordKey, StateRead},
    protocol::Consistency,
};

/// The flaw of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A commit applies at any version.
    NoVersion,
    /// Reads of records return that there is none.
    StaleRecord,
    /// Records are not cleared.
    NoClear,
    /// New claims replace claims that are already stored.
    ClaimsReplaced,
    /// Embedded records are not written.
    NothingEmbedded,
    /// A commit of a fold writes the state, and only the record of its first message.
    TornFold,
    /// A commit checks its version only if the same message committed last.
    OthersOverwritten,
}

pub(crate) fn flawed(flaw: Flaw, memory: &Memory) -> Ports {
    let ports = memory.ports();
    Ports { store: Arc::new(Flawed { flaw, memory: memory.clone(), last: Mutex::default() }), ..ports }
}

#[derive(Debug)]
struct Flawed {
    flaw: Flaw,
    memory: Memory,
    /// The message that committed last.
    last: Mutex<Option<MessageId>>,
}

#[async_trait]
impl PartitionStore for Flawed {
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        self.memory.store.read_state(partition, endpoint, consistency).await
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        self.memory.store.has_records(partition, endpoint).await
    }

    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        if self.flaw == Flaw::StaleRecord {
            return Ok(None);
        }
        self.memory.store.read_record(key).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let Commit { partition, endpoint, .. } = commit;
        let last = commit.records.last().map(|(message, _)| (*message).clone());
        let is_other = *self.last.lock().expect("no thread panics with the lock") != last;
        let mut expected = commit.expected;
        if self.flaw == Flaw::NoVersion || self.flaw == Flaw::OthersOverwritten && is_other {
            expected = self.memory.store.read_state(partition, endpoint, Consistency::Strong).await?.version;
        }
        let records = if self.flaw == Flaw::TornFold { &commit.records[..1] } else { commit.records };
        let committed = self.memory.store.commit(Commit { expected, records, ..commit }).await?;
        if self.flaw == Flaw::NothingEmbedded && committed == Committed::Applied(Placement::Embedded) {
            let sort_key = Key::State { endpoint }.text();
            if let Some(mut item) = self.memory.store.partition(partition).remove(&sort_key) {
                item.remove(attribute::RECORDS);
                self.memory.store.put_item(partition, &sort_key, item);
            }
        }
        if matches!(committed, Committed::Applied(_)) {
            *self.last.lock().expect("no thread panics with the lock") = last;
        }
        Ok(committed)
    }

    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError> {
        let stored = self.memory.store.store_claims(key, record).await?;
        match (self.flaw, stored) {
            (Flaw::ClaimsReplaced, ClaimsStored::AlreadyThere(_)) => Ok(ClaimsStored::Stored),
            (_, stored) => Ok(stored),
        }
    }

    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError> {
        self.memory.store.retain(key, record, expires).await
    }

    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        if self.flaw == Flaw::NoClear {
            return Ok(());
        }
        self.memory.store.clear(key).await
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        self.memory.store.read_failures(key).await
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        self.memory.store.write_failures(key, failures).await
    }
}
