use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde_dynamo::Item;

use crate::{
    error::PortError,
    format::{
        name::Partition,
        record::Record,
        schema::{self, Key},
        timestamp::Timestamp,
    },
    ports::{
        commit::{ClaimsStored, Commit, Committed, Failures, ItemAction, RecordKey, StateRead},
        limits::Limits,
        partition_store::PartitionStore,
        placement::{self, Write, record_sort_key},
    },
    protocol::step::{Claims, Consistency},
};

/// Partitions in memory, stored as items with the same placement and limits as in a table.
#[derive(Debug)]
pub struct MemoryStore {
    items: Mutex<Items>,
    limits: Limits,
}

/// Items by partition key and sort key.
pub(super) type Items = BTreeMap<String, BTreeMap<String, Item>>;

impl MemoryStore {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { items: Mutex::new(Items::new()), limits }
    }

    pub(super) fn items(&self) -> MutexGuard<'_, Items> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the items of a partition, by sort key.
    pub fn partition(&self, partition: &Partition) -> BTreeMap<String, Item> {
        self.items().get(partition.as_str()).cloned().unwrap_or_default()
    }

    /// Removes an item directly, like a writer other than Cloakroom.
    pub fn remove_item(&self, partition: &Partition, sort_key: &str) {
        if let Some(own) = of(&mut self.items(), partition) {
            own.remove(sort_key);
        }
    }

    /// Writes an item directly, like a writer other than Cloakroom.
    pub fn put_item(&self, partition: &Partition, sort_key: &str, item: Item) {
        self.items().entry(partition.to_string()).or_default().insert(sort_key.to_owned(), item);
    }

    fn item(&self, partition: &Partition, sort_key: &str) -> Option<Item> {
        self.items().get(partition.as_str())?.get(sort_key).cloned()
    }
}

fn of<'i>(items: &'i mut Items, partition: &Partition) -> Option<&'i mut BTreeMap<String, Item>> {
    items.get_mut(partition.as_str())
}

#[async_trait]
impl PartitionStore for MemoryStore {
    async fn read_state(&self, partition: &Partition, endpoint: &str, _: Consistency) -> Result<StateRead, PortError> {
        let item = self.item(partition, &Key::State { endpoint }.text());
        placement::read_state_item("reading a state", item)
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        let prefix = schema::records_of(endpoint);
        Ok(self.items().get(partition.as_str()).is_some_and(|items| items.keys().any(|key| key.starts_with(&prefix))))
    }

    async fn read_record(&self, record: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        let item = self.item(record.partition, &record_sort_key(record));
        item.map(|item| placement::read_record_item("reading a record", &item)).transpose()
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let partition = commit.partition;
        let (placement, writes) = placement::writes(&commit);
        if let Some(refused) = placement::refusal(&self.limits, partition, &writes) {
            return Ok(refused);
        }
        let mut all = self.items();
        let nothing = BTreeMap::new();
        let items = all.get(partition.as_str()).unwrap_or(&nothing);
        for (number, write) in writes.iter().enumerate() {
            let found = items.get(&write.sort_key);
            if !write.condition.holds(found)? {
                return Ok(placement::lost(partition, number, &writes, found));
            }
        }
        if !all.contains_key(partition.as_str()) {
            all.insert(partition.to_string(), BTreeMap::new());
        }
        let Some(items) = all.get_mut(partition.as_str()) else { return Ok(Committed::Applied(placement)) };
        for Write { sort_key, action, .. } in writes {
            match action {
                ItemAction::Put(item) => drop(items.insert(sort_key, item)),
                ItemAction::Delete => drop(items.remove(&sort_key)),
                ItemAction::Check => {}
            }
        }
        Ok(Committed::Applied(placement))
    }

    async fn store_claims(&self, record: RecordKey<'_>, claimed: &Record) -> Result<ClaimsStored, PortError> {
        let mut items = self.items();
        let Some(item) = of(&mut items, record.partition).and_then(|own| own.get_mut(&record_sort_key(record))) else {
            return Ok(ClaimsStored::Gone);
        };
        let found = placement::read_record_item("storing claims", item)?;
        if found.claims() == Claims::Stored {
            return Ok(ClaimsStored::AlreadyThere(found));
        }
        *item = placement::record_item(claimed);
        Ok(ClaimsStored::Stored)
    }

    async fn retain(&self, record: RecordKey<'_>, retained: &Record, expires: Timestamp) -> Result<(), PortError> {
        let mut items = self.items();
        if let Some(item) = of(&mut items, record.partition).and_then(|own| own.get_mut(&record_sort_key(record))) {
            *item = placement::retained_item(retained, expires);
        }
        Ok(())
    }

    async fn clear(&self, record: RecordKey<'_>) -> Result<(), PortError> {
        self.remove_item(record.partition, &record_sort_key(record));
        Ok(())
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        let item = self.item(key.partition, &placement::failures_sort_key(key));
        Ok(item.as_ref().and_then(placement::read_failures_item))
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        let sort_key = placement::failures_sort_key(key);
        match failures {
            Some(failures) => self.put_item(key.partition, &sort_key, placement::failures_item(failures)),
            None => self.remove_item(key.partition, &sort_key),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_item_under_the_state_key_is_an_error() {
        let store = MemoryStore::new(Limits::default());
        store.put_item(&"p".into(), "state#e", Item::default());
        let read = futures::executor::block_on(store.read_state(&"p".into(), "e", Consistency::Strong));
        assert!(read.unwrap_err().to_string().contains("not written by Cloakroom"));
    }
}
