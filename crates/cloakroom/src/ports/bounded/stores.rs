//! The time limit for calls to stores.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde_dynamo::Item;

use crate::{
    error::PortError,
    format::{
        name::{Claim, MessageId, Partition},
        record::Record,
        timestamp::Timestamp,
    },
    ports::{
        bounded::{Bounded, answer_within, unanswered},
        commit::{ClaimsStored, Commit, Committed, Failures, RecordKey, StateRead},
        partition_store::PartitionStore,
        payload_store::PayloadStore,
        records::{RecordPage, Records, Segment},
    },
    protocol::step::Consistency,
};

impl Bounded<dyn PartitionStore> {
    fn on_store(&self, call: &str) -> String {
        format!("{call} in {}", self.port.target())
    }
}

#[async_trait]
impl PartitionStore for Bounded<dyn PartitionStore> {
    fn target(&self) -> String {
        self.port.target()
    }

    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        let call = self.port.read_state(partition, endpoint, consistency);
        self.read(|| self.on_store("reading a state"), call).await
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        self.read(|| self.on_store("looking for records"), self.port.has_records(partition, endpoint)).await
    }

    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        self.read(|| self.on_store("reading a record"), self.port.read_record(key)).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        self.call(|| self.on_store("committing"), self.port.commit(commit)).await
    }

    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError> {
        self.call(|| self.on_store("storing claims"), self.port.store_claims(key, record)).await
    }

    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError> {
        self.call(|| self.on_store("retaining a record"), self.port.retain(key, record, expires)).await
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        self.read(|| self.on_store("reading a count of failures"), self.port.read_failures(key)).await
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        self.call(|| self.on_store("writing a count of failures"), self.port.write_failures(key, failures)).await
    }

    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        self.call(|| self.on_store("clearing a record"), self.port.clear(key)).await
    }
}

impl Bounded<dyn PayloadStore> {
    /// Returns the time by which the check-in of a payload of `bytes` bytes may exceed the bound.
    /// It is one second for each MiB, as on a slow network.
    pub const fn upload_time(bytes: usize) -> Duration {
        Duration::from_millis(bytes as u64 / 1_048)
    }

    fn on_payloads(&self, call: &str) -> String {
        format!("{call} in payload store `{}`", self.port.name())
    }
}

#[async_trait]
impl PayloadStore for Bounded<dyn PayloadStore> {
    fn name(&self) -> &str {
        self.port.name()
    }

    fn place(&self, bytes: usize) -> &str {
        self.port.place(bytes)
    }

    fn stores(&self) -> Vec<&str> {
        self.port.stores()
    }

    fn holds(&self, store: &str) -> bool {
        self.port.holds(store)
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        let bound = self.bound + Self::upload_time(payload.len());
        let answer = answer_within(&*self.clock, bound, self.port.check_in(claim, payload)).await;
        answer.unwrap_or_else(|| Err(unanswered(self.on_payloads("checking in a payload"), bound)))
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        self.read(|| self.on_payloads("reading a payload"), self.port.read(claim)).await
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        self.call(|| self.on_payloads("deleting a payload"), self.port.delete(claim)).await
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        self.read(|| self.on_payloads("looking for a dedupe entry"), self.port.has_entry(endpoint, message)).await
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        self.call(|| self.on_payloads("putting a dedupe entry"), self.port.put_entry(endpoint, message)).await
    }
}

#[async_trait]
impl Records for Bounded<dyn Records> {
    fn target(&self) -> String {
        self.port.target()
    }

    async fn page(&self, segment: Segment, after: Option<&str>) -> Result<RecordPage, PortError> {
        self.read(|| format!("reading a page of {}", self.target()), self.port.page(segment, after)).await
    }

    async fn items_of(&self, partition: &Partition) -> Result<BTreeMap<String, Item>, PortError> {
        self.read(|| format!("reading a partition of {}", self.target()), self.port.items_of(partition)).await
    }
}
