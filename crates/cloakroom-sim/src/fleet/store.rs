//! The table: partitions in memory, with latencies and units.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use cloakroom::{
    Partition, PortError, Timestamp,
    format::{
        Record, item_bytes,
        schema::{self, Key, attribute},
    },
    memory::{Memory, MemoryStore},
    ports::{
        ClaimsStored, Commit, Committed, Failures, ItemAction, PartitionStore, RecordKey, StateRead,
        placement::{self, Write},
    },
    protocol::Consistency,
};

use crate::fleet::{
    services::{Services, units},
    shards::{Access, hash},
};

/// The number of parts of the table in memory. It does not depend on the physical partitions.
const PARTS: usize = 1024;
/// Items up to this size take one unit.
const SMALL: usize = 1024;

/// A table with latencies and limits.
#[derive(Debug)]
pub(crate) struct Table {
    /// The parts of the table. Lookups in small parts are faster.
    items: Vec<Arc<MemoryStore>>,
    services: Arc<Services>,
    /// Sizes of the items that are not [`SMALL`], by partition and sort key. A request that reads,
    /// replaces or deletes such an item is billed for its size.
    large: Mutex<HashMap<String, usize>>,
}

impl Table {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        let items = (0..PARTS).map(|_| Memory::new().store).collect();
        Self { items, services, large: Mutex::default() }
    }

    fn items(&self, partition: &Partition) -> &MemoryStore {
        &self.items[hash(partition.as_str()) as usize % PARTS]
    }

    fn large(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current size of an item, or 0 if it is small.
    fn bytes(&self, partition: &Partition, sort_key: &str) -> usize {
        self.large().get(&name(partition, sort_key)).copied().unwrap_or(0)
    }

    fn written(&self, partition: &Partition, sort_key: &str, bytes: usize) {
        match bytes > SMALL {
            true => self.large().insert(name(partition, sort_key), bytes),
            false => self.large().remove(&name(partition, sort_key)),
        };
    }

    async fn read(
        &self,
        partition: &Partition,
        sort_key: impl Fn() -> String,
        consistency: Consistency,
    ) -> Result<(), PortError> {
        self.services.answer(self.services.latencies.item_get).await;
        let whole = units(Access::Read, self.bytes(partition, &sort_key()));
        let units = match consistency {
            Consistency::Any => whole / 2.0,
            Consistency::Strong => whole,
        };
        self.services.table("GetItem", partition.as_str(), Access::Read, units)
    }

    /// Replaces or deletes a record. The larger of both sizes is billed.
    async fn change(&self, operation: &'static str, key: RecordKey<'_>, after: usize) -> Result<(), PortError> {
        self.services.answer(self.services.latencies.item_put).await;
        let sort_key = placement::record_sort_key(key);
        let bytes = self.bytes(key.partition, &sort_key).max(after);
        self.services.table(operation, key.partition.as_str(), Access::Write, units(Access::Write, bytes))?;
        self.written(key.partition, &sort_key, after);
        Ok(())
    }
}

fn name(partition: &Partition, sort_key: &str) -> String {
    format!("{partition} {sort_key}")
}

/// The size of an item that is written, with its keys.
fn written_bytes(partition: &Partition, Write { sort_key, action, .. }: &Write) -> usize {
    let keys = attribute::PARTITION.len() + attribute::SORT.len() + partition.as_str().len() + sort_key.len();
    match action {
        ItemAction::Put(item) => keys + item_bytes(item),
        ItemAction::Delete | ItemAction::Check => keys,
    }
}

#[async_trait]
impl PartitionStore for Table {
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        self.read(partition, || Key::State { endpoint }.text(), consistency).await?;
        self.items(partition).read_state(partition, endpoint, consistency).await
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        self.read(partition, || schema::records_of(endpoint), Consistency::Strong).await?;
        self.items(partition).has_records(partition, endpoint).await
    }

    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        self.read(key.partition, || placement::record_sort_key(key), Consistency::Strong).await?;
        self.items(key.partition).read_record(key).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let partition = commit.partition;
        let writes: Vec<(String, usize)> = placement::writes(&commit)
            .1
            .into_iter()
            .map(|write| (written_bytes(partition, &write), write.sort_key))
            .map(|(bytes, sort_key)| (sort_key, bytes))
            .collect();
        // A commit of one item is a put. A commit of several items is a transaction, which prepares
        // and commits each.
        let (operation, latency, times) = match writes.len() {
            1 => ("PutItem", self.services.latencies.item_put, 1.0),
            _ => ("TransactWriteItems", self.services.latencies.transaction, 2.0),
        };
        self.services.answer(latency).await;
        let billed = writes.iter().map(|(sort_key, bytes)| self.bytes(partition, sort_key).max(*bytes));
        let all = times * billed.map(|bytes| units(Access::Write, bytes)).sum::<f64>();
        // A commit whose condition fails is billed, too.
        self.services.table(operation, partition.as_str(), Access::Write, all)?;
        let committed = self.items(partition).commit(commit).await?;
        if matches!(committed, Committed::Applied(_)) {
            writes.iter().for_each(|(sort_key, bytes)| self.written(partition, sort_key, *bytes));
        }
        Ok(committed)
    }

    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError> {
        self.change("UpdateItem", key, item_bytes(&placement::record_item(record))).await?;
        self.items(key.partition).store_claims(key, record).await
    }

    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError> {
        self.change("PutItem", key, item_bytes(&placement::retained_item(record, expires))).await?;
        self.items(key.partition).retain(key, record, expires).await
    }

    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        self.change("DeleteItem", key, 0).await?;
        self.items(key.partition).clear(key).await
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        self.items(key.partition).read_failures(key).await
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        self.items(key.partition).write_failures(key, failures).await
    }
}
