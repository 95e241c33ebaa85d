//! Ports with one flaw each, to test that the laws detect it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    MessageId, Partition, PortError, Ports, Timestamp,
    format::{
        AttributeValue, Claim, Item, Record,
        schema::{Key, attribute},
    },
    memory::Memory,
    ports::{
        ClaimsStored, Clock, Commit, Committed, Embedded, Failures, PartitionStore, PayloadStore, Placement, RecordKey,
        StateRead, StateWrite,
        placement::{record_item, record_sort_key},
    },
    protocol::Consistency,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Records are read from a replica that lags behind.
    StaleRecords,
    /// Payloads are read from a replica that lags behind.
    StalePayloads,
    /// A commit applies at any version.
    NoVersionCondition,
    /// The bucket's lifecycle removes payloads that are needed.
    EarlyExpiry,
    /// The client library repeats the write of a payload.
    RepeatedCheckIn,
    /// Claims are stored even if the record already has claims.
    UnconditionalClaims,
    /// A deleted state leaves no tombstone.
    NoTombstone,
    /// Every commit drops the embedded records of other messages, whether they are settled or not.
    EmbeddedDropped,
    /// A commit with separate records drops the embedded ones.
    DroppedBySeparate,
    /// A tombstone keeps the version, but no embedded records.
    TombstoneWithoutRecords,
    /// A commit that embeds its records does not increase the version.
    VersionUnchanged,
    /// Every other read of a state reports that all records are embedded, even if some are
    /// separate. If every read reported that, processing would rarely end, and each simulation
    /// would take its maximum time.
    ReportedComplete,
    /// A commit of a fold writes the state, and only the record of its first message.
    TornFold,
}

/// How far a replica lags behind, and after what time a write is repeated.
const LAG: Duration = Duration::from_millis(1_500);
/// The age at which the lifecycle rule deletes a payload.
const LIFETIME: Duration = Duration::from_secs(5);

pub(crate) fn sabotage(flaw: Flaw, memory: &Memory, ports: Ports) -> Ports {
    let broken = Arc::new(Broken {
        flaw,
        memory: memory.clone(),
        ports: ports.clone(),
        records: Mutex::default(),
        payloads: Mutex::default(),
        repeated: Mutex::default(),
    });
    Ports { store: broken.clone(), payloads: broken, ..ports }
}

#[derive(Debug)]
struct Broken {
    flaw: Flaw,
    memory: Memory,
    ports: Ports,
    /// The values of each record, with the time of each change.
    records: Mutex<BTreeMap<String, Past<Record>>>,
    /// The values of each payload, with the time of each change.
    payloads: Mutex<BTreeMap<Claim, Past<Bytes>>>,
    /// Payloads that were written twice.
    repeated: Mutex<BTreeSet<Claim>>,
}

type Past<T> = Vec<(Timestamp, Option<T>)>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(key: RecordKey<'_>) -> String {
    format!("{} {} {}", key.partition, key.endpoint, key.message)
}

/// The value that a lagging replica returns.
fn stale<T: Clone>(past: Option<&Past<T>>, now: Timestamp) -> Option<T> {
    let known = past?.iter().rev().find(|(since, _)| now.since(*since) >= LAG);
    known.and_then(|(_, value)| value.clone())
}

impl Broken {
    fn now(&self) -> Timestamp {
        self.memory.clock.now()
    }

    async fn note_record(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        let record = self.memory.store.read_record(key).await?;
        lock(&self.records).entry(name(key)).or_default().push((self.now(), record));
        Ok(())
    }

    fn note_payload(&self, claim: &Claim, payload: Option<Bytes>) {
        lock(&self.payloads).entry(claim.clone()).or_default().push((self.now(), payload));
    }

    /// Applies the flaw to a state that was just committed with embedded records.
    fn spoil(&self, commit: Commit<'_>) {
        let sort_key = Key::State { endpoint: commit.endpoint }.text();
        let Some(mut item) = self.memory.store.partition(commit.partition).remove(&sort_key) else { return };
        if self.flaw == Flaw::TombstoneWithoutRecords && matches!(commit.state, StateWrite::Tombstone { .. }) {
            item.remove(attribute::RECORDS);
        }
        if self.flaw == Flaw::VersionUnchanged {
            let before = AttributeValue::N(commit.expected.number().to_string());
            item.insert(attribute::VERSION.to_owned(), before);
        }
        self.memory.store.put_item(commit.partition, &sort_key, item);
    }

    /// The first write of a payload, if it is at least this old.
    fn written(&self, claim: &Claim, ago: Duration) -> Option<Bytes> {
        let payloads = lock(&self.payloads);
        let (written, payload) = payloads.get(claim)?.first()?;
        payload.clone().filter(|_| self.now().since(*written) >= ago)
    }
}

#[async_trait]
impl PartitionStore for Broken {
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        let mut read = self.ports.store.read_state(partition, endpoint, consistency).await?;
        read.embedded.is_complete |= self.flaw == Flaw::ReportedComplete && self.ports.random.bits().is_multiple_of(2);
        Ok(read)
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        self.ports.store.has_records(partition, endpoint).await
    }

    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        if self.flaw == Flaw::StaleRecords {
            return Ok(stale(lock(&self.records).get(&name(key)), self.now()));
        }
        self.ports.store.read_record(key).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let Commit { partition, endpoint, .. } = commit;
        let mut expected = commit.expected;
        if self.flaw == Flaw::NoVersionCondition {
            expected = self.memory.store.read_state(partition, endpoint, Consistency::Strong).await?.version;
        }
        let drops = self.flaw == Flaw::EmbeddedDropped
            || self.flaw == Flaw::DroppedBySeparate && commit.embedded_bytes_max == 0;
        let nothing = Embedded { records: BTreeMap::new(), ..commit.kept.clone() };
        let kept = if drops { &nothing } else { commit.kept };
        let records = if self.flaw == Flaw::TornFold { &commit.records[..1] } else { commit.records };
        let result = self.ports.store.commit(Commit { expected, kept, records, ..commit }).await?;
        if result == Committed::Applied(Placement::Embedded) {
            self.spoil(commit);
        }
        if self.flaw == Flaw::NoTombstone && matches!(commit.state, StateWrite::Tombstone { .. }) {
            // An existing item that looks as absent as possible.
            let nothing = [
                (attribute::VERSION.to_owned(), AttributeValue::N("0".to_owned())),
                (attribute::DELETED.to_owned(), AttributeValue::Bool(true)),
            ];
            let item = Item::from(std::collections::HashMap::from(nothing));
            self.memory.store.put_item(partition, &Key::State { endpoint }.text(), item);
        }
        for key in commit.keys() {
            self.note_record(key).await?;
        }
        Ok(result)
    }

    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError> {
        let stored = self.ports.store.store_claims(key, record).await?;
        self.note_record(key).await?;
        if self.flaw == Flaw::UnconditionalClaims && matches!(stored, ClaimsStored::AlreadyThere(_)) {
            self.memory.store.put_item(key.partition, &record_sort_key(key), record_item(record));
            return Ok(ClaimsStored::Stored);
        }
        Ok(stored)
    }

    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError> {
        self.ports.store.retain(key, record, expires).await?;
        self.note_record(key).await
    }

    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        self.ports.store.clear(key).await?;
        self.note_record(key).await
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        self.ports.store.read_failures(key).await
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        self.ports.store.write_failures(key, failures).await
    }
}

#[async_trait]
impl PayloadStore for Broken {
    fn name(&self) -> &str {
        self.ports.payloads.name()
    }

    fn place(&self, bytes: usize) -> &str {
        self.ports.payloads.place(bytes)
    }

    fn stores(&self) -> Vec<&str> {
        self.ports.payloads.stores()
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        self.note_payload(claim, Some(payload.clone()));
        self.ports.payloads.check_in(claim, payload).await
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        if self.flaw == Flaw::StalePayloads {
            return Ok(stale(lock(&self.payloads).get(claim), self.now()));
        }
        if self.flaw == Flaw::EarlyExpiry && self.written(claim, LIFETIME).is_some() {
            self.ports.payloads.delete(claim).await?;
        }
        if self.flaw == Flaw::RepeatedCheckIn
            && let Some(payload) = self.written(claim, LAG)
            && lock(&self.repeated).insert(claim.clone())
        {
            self.ports.payloads.check_in(claim, payload).await?;
        }
        self.ports.payloads.read(claim).await
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        self.note_payload(claim, None);
        self.ports.payloads.delete(claim).await
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        self.ports.payloads.has_entry(endpoint, message).await
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        self.ports.payloads.put_entry(endpoint, message).await
    }
}
