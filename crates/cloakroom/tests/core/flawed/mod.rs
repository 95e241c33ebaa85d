//! The memory backend with one flaw at a time. A flaw shows that a law can be broken.
#![expect(clippy::wildcard_enum_match_arm, reason = "a flaw changes one behavior and leaves the others")]

mod queue;
mod records;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    MessageId, Partition, PortError, Timestamp,
    format::{AttributeValue, Claim, Item, Record},
    memory::{Memory, MemoryPayloads, MemoryStore},
    ports::{
        ClaimsStored, Commit, Committed, Conflict, Embedded, Failures, ItemAction, ItemWrite, PartitionStore,
        PayloadStore, Placement, RecordKey, Sharing, StateRead, placement,
    },
    protocol::{Consistency, Version},
};

pub(crate) use queue::{FlawedQueue, QueueFlaw};
pub(crate) use records::{FlawedRecords, RecordsFlaw};

fn error() -> PortError {
    PortError::new("a call", "a planned flaw").permanent()
}

/// The flaw of a partition store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreFlaw {
    ReadsLate,
    LosesTheVersionOfTombstones,
    IgnoresTheVersion,
    IgnoresNewerVersions,
    IgnoresTheRecord,
    ClearsNothing,
    AppliesRepeats,
    ChecksBeforeItWrites,
    FailsToClearNothing,
    MixesEndpoints,
    StoresClaimsAgain,
    StoresClaimsWithoutRecord,
    DropsEmbedded,
    ReportsNoSeparateRecords,
    ForgetsSeparateRecords,
    WritesTheFirstOfSeveral,
    RetainsNothing,
    NamesNoItem,
    WritesItemsOnConflict,
    RoundsNumbers,
    KeepsFailures,
    ClearsRecordsForFailures,
    IgnoresCase,
    CutsMessageIds,
    FailsOnTooLarge,
    IgnoresOwners,
    NamesNoOwner,
    AcceptsEveryValue,
    AcceptsEmptyKeys,
}

#[derive(Debug)]
pub(crate) struct FlawedStore {
    store: Arc<MemoryStore>,
    flaw: StoreFlaw,
    /// Tokens of commits and messages of read records, for the flaws that depend on earlier calls.
    seen: Mutex<BTreeSet<String>>,
}

impl FlawedStore {
    pub(crate) fn new(memory: &Memory, flaw: StoreFlaw) -> Self {
        Self { store: memory.store.clone(), flaw, seen: Mutex::default() }
    }

    fn is_new(&self, key: String) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(key)
    }

    fn endpoint<'a>(&self, endpoint: &'a str) -> &'a str {
        if self.flaw == StoreFlaw::MixesEndpoints { "all" } else { endpoint }
    }

    fn message(&self, message: &MessageId) -> MessageId {
        match self.flaw {
            StoreFlaw::IgnoresCase => message.as_str().to_lowercase().into(),
            StoreFlaw::CutsMessageIds => message.as_str().chars().take(255).collect::<String>().into(),
            _ => message.clone(),
        }
    }

    fn partition(&self, partition: &Partition) -> Partition {
        match self.flaw {
            StoreFlaw::IgnoresCase => partition.as_str().to_lowercase().into(),
            _ => partition.clone(),
        }
    }

    async fn version(&self, commit: &Commit<'_>) -> Result<Version, PortError> {
        Ok(self.store.read_state(commit.partition, commit.endpoint, Consistency::Strong).await?.version)
    }

    async fn clear_all(&self, commit: Commit<'_>) -> Result<(), PortError> {
        for key in commit.keys() {
            self.store.clear(key).await?;
        }
        Ok(())
    }

    async fn flawed_commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let version = self.version(&commit).await?;
        let is_repeated = !self.is_new(commit.token.to_owned());
        let now = Commit { expected: version, ..commit };
        match self.flaw {
            StoreFlaw::IgnoresTheVersion => self.store.commit(now).await,
            StoreFlaw::IgnoresNewerVersions if commit.expected > version => self.store.commit(now).await,
            StoreFlaw::IgnoresTheRecord if commit.expected == version => {
                self.clear_all(commit).await?;
                self.store.commit(commit).await
            }
            StoreFlaw::AppliesRepeats if is_repeated => {
                self.clear_all(commit).await?;
                self.store.commit(now).await
            }
            StoreFlaw::ChecksBeforeItWrites if commit.expected == version => {
                yield_once().await;
                self.store.commit(Commit { expected: self.version(&commit).await?, ..commit }).await
            }
            _ => self.store.commit(commit).await,
        }
    }
}

/// Yields once, so that other tasks run.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn rounded(item: Item) -> Item {
    let round = |value| match value {
        AttributeValue::N(digits) => AttributeValue::N(digits.parse::<f64>().unwrap_or_default().to_string()),
        other => other,
    };
    Item::from(
        item.into_inner()
            .into_iter()
            .map(|(name, value)| (name, round(value)))
            .collect::<std::collections::HashMap<_, _>>(),
    )
}

#[async_trait]
impl PartitionStore for FlawedStore {
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        let StateRead { mut version, state, embedded } =
            self.store.read_state(&self.partition(partition), self.endpoint(endpoint), consistency).await?;
        if self.flaw == StoreFlaw::LosesTheVersionOfTombstones && state.is_none() {
            version = Version::ABSENT;
        }
        let is_complete = embedded.is_complete || self.flaw == StoreFlaw::ForgetsSeparateRecords;
        let embedded = Embedded { is_complete, ..embedded };
        let state = if self.flaw == StoreFlaw::RoundsNumbers { state.map(rounded) } else { state };
        Ok(StateRead { version, state, embedded })
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        let any = self.store.has_records(&self.partition(partition), self.endpoint(endpoint)).await?;
        Ok(any && self.flaw != StoreFlaw::ReportsNoSeparateRecords)
    }

    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        let (partition, message) = (self.partition(key.partition), self.message(key.message));
        let key = RecordKey { partition: &partition, endpoint: self.endpoint(key.endpoint), message: &message };
        let record = self.store.read_record(key).await?;
        let is_stale = self.flaw == StoreFlaw::ReadsLate && record.is_some() && self.is_new(message.to_string());
        Ok(record.filter(|_| !is_stale))
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let (partition, endpoint) = (self.partition(commit.partition), self.endpoint(commit.endpoint));
        let messages: Vec<_> = commit.records.iter().map(|(message, _)| self.message(message)).collect();
        let records: Vec<_> =
            messages.iter().zip(commit.records).map(|(message, (_, record))| (message, *record)).collect();
        let records = if self.flaw == StoreFlaw::WritesTheFirstOfSeveral {
            &records[..records.len().min(1)]
        } else {
            &records[..]
        };
        let none = Embedded { records: BTreeMap::new(), ..commit.kept.clone() };
        let kept = if self.flaw == StoreFlaw::DropsEmbedded { &none } else { commit.kept };
        let share = |item: &ItemWrite| ItemWrite { sharing: Sharing::Shared, ..item.clone() };
        let shared: Vec<ItemWrite> = commit.items.iter().map(share).collect();
        let items = if self.flaw == StoreFlaw::IgnoresOwners { &shared[..] } else { commit.items };
        let commit = Commit { partition: &partition, endpoint, records, kept, items, ..commit };
        match (self.flaw, self.flawed_commit(commit).await?) {
            (StoreFlaw::NamesNoItem, Committed::Conflict(_)) => Ok(Committed::Conflict(Conflict::Overtaken)),
            (StoreFlaw::WritesItemsOnConflict, Committed::Conflict(conflict)) => {
                for write in commit.items {
                    if let ItemAction::Put(item) = &write.action {
                        self.store.put_item(&partition, &write.sort_key, item.clone());
                    }
                }
                Ok(Committed::Conflict(conflict))
            }
            (StoreFlaw::FailsOnTooLarge, Committed::TooLarge(_)) => Err(error()),
            (StoreFlaw::NamesNoOwner, Committed::Refused(_)) => Ok(Committed::Refused("refused".to_owned())),
            (StoreFlaw::AcceptsEveryValue, Committed::Refused(text)) if text.contains(" at `value") => {
                Ok(Committed::Applied(Placement::Separate))
            }
            (StoreFlaw::AcceptsEmptyKeys, Committed::Refused(text)) if text.contains("empty key") => {
                Ok(Committed::Applied(Placement::Separate))
            }
            (_, committed) => Ok(committed),
        }
    }

    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError> {
        let (partition, message) = (self.partition(key.partition), self.message(key.message));
        let key = RecordKey { partition: &partition, endpoint: self.endpoint(key.endpoint), message: &message };
        let put = || self.store.put_item(&partition, &placement::record_sort_key(key), placement::record_item(record));
        let stored = self.store.store_claims(key, record).await?;
        match (self.flaw, &stored) {
            (StoreFlaw::StoresClaimsAgain, ClaimsStored::AlreadyThere(_)) => {
                put();
                Ok(ClaimsStored::Stored)
            }
            (StoreFlaw::StoresClaimsWithoutRecord, ClaimsStored::Gone) => {
                put();
                Ok(ClaimsStored::Gone)
            }
            _ => Ok(stored),
        }
    }

    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError> {
        let (partition, message) = (self.partition(key.partition), self.message(key.message));
        let key = RecordKey { partition: &partition, endpoint: self.endpoint(key.endpoint), message: &message };
        match self.flaw {
            StoreFlaw::RetainsNothing => self.store.clear(key).await,
            _ => self.store.retain(key, record, expires).await,
        }
    }

    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        let (partition, message) = (self.partition(key.partition), self.message(key.message));
        let key = RecordKey { partition: &partition, endpoint: self.endpoint(key.endpoint), message: &message };
        let exists = self.store.read_record(key).await?.is_some();
        match self.flaw {
            StoreFlaw::ClearsNothing => Ok(()),
            StoreFlaw::FailsToClearNothing if !exists => Err(error()),
            _ => self.store.clear(key).await,
        }
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        let (partition, message) = (self.partition(key.partition), self.message(key.message));
        let key = RecordKey { partition: &partition, endpoint: self.endpoint(key.endpoint), message: &message };
        self.store.read_failures(key).await
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        let (partition, message) = (self.partition(key.partition), self.message(key.message));
        let key = RecordKey { partition: &partition, endpoint: self.endpoint(key.endpoint), message: &message };
        match (self.flaw, failures) {
            (StoreFlaw::KeepsFailures, None) => Ok(()),
            (StoreFlaw::ClearsRecordsForFailures, _) => self.store.clear(key).await,
            _ => self.store.write_failures(key, failures).await,
        }
    }
}

/// The flaw of a payload store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadFlaw {
    MissingIsAnError,
    EmptyIsMissing,
    CutsPayloads,
    ReadingDeletes,
    DeletesNothing,
    FailsToDeleteNothing,
    ForgetsEntries,
    FailsToPutAgain,
    MixesEndpoints,
    ReplacesPlus,
    CutsIds,
    RefusesTemporarily,
    PlacesInAnUnknownStore,
}

#[derive(Debug)]
pub(crate) struct FlawedPayloads {
    payloads: Arc<MemoryPayloads>,
    flaw: PayloadFlaw,
}

impl FlawedPayloads {
    pub(crate) fn new(memory: &Memory, flaw: PayloadFlaw) -> Self {
        Self { payloads: memory.payloads.clone(), flaw }
    }

    fn entry(&self, endpoint: &str, message: &MessageId) -> (String, MessageId) {
        let endpoint = if self.flaw == PayloadFlaw::MixesEndpoints { "all" } else { endpoint };
        let message = match self.flaw {
            PayloadFlaw::ReplacesPlus => message.as_str().replace('+', " ").into(),
            PayloadFlaw::CutsIds => message.as_str().chars().take(255).collect::<String>().into(),
            _ => message.clone(),
        };
        (endpoint.to_owned(), message)
    }
}

#[async_trait]
impl PayloadStore for FlawedPayloads {
    fn name(&self) -> &str {
        "flawed"
    }

    fn place(&self, bytes: usize) -> &str {
        if self.flaw == PayloadFlaw::PlacesInAnUnknownStore && bytes <= 4_072 { "elsewhere" } else { "flawed" }
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        if self.flaw == PayloadFlaw::RefusesTemporarily && payload.len() > 409_600 {
            return Err(error());
        }
        let length = if self.flaw == PayloadFlaw::CutsPayloads { payload.len().min(65_536) } else { payload.len() };
        self.payloads.check_in(claim, payload.slice(..length)).await
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        let payload = self.payloads.read(claim).await?;
        match self.flaw {
            PayloadFlaw::MissingIsAnError if payload.is_none() => Err(error()),
            PayloadFlaw::EmptyIsMissing => Ok(payload.filter(|payload| !payload.is_empty())),
            PayloadFlaw::ReadingDeletes => self.payloads.delete(claim).await.map(|()| payload),
            _ => Ok(payload),
        }
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        let exists = self.payloads.read(claim).await?.is_some();
        match self.flaw {
            PayloadFlaw::DeletesNothing => Ok(()),
            PayloadFlaw::FailsToDeleteNothing if !exists => Err(error()),
            _ => self.payloads.delete(claim).await,
        }
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        let (endpoint, message) = self.entry(endpoint, message);
        Ok(self.payloads.has_entry(&endpoint, &message).await? && self.flaw != PayloadFlaw::ForgetsEntries)
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        let (endpoint, message) = self.entry(endpoint, message);
        let exists = self.payloads.has_entry(&endpoint, &message).await?;
        if self.flaw == PayloadFlaw::FailsToPutAgain && exists {
            return Err(error());
        }
        self.payloads.put_entry(&endpoint, &message).await
    }
}
