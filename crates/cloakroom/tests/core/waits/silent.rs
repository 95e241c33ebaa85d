//! Ports that never answer a call.

use std::{collections::BTreeMap, future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    Delivery, MessageId, Partition, PortError, Timestamp,
    format::{Claim, Item, Record},
    ports::{
        ClaimsStored, Commit, Committed, Failures, PartitionStore, PayloadStore, Queue, QueueMessage, Queues,
        RecordKey, RecordPage, Records, Segment, StateRead,
    },
    protocol::Consistency,
};

/// An implementation of every port that never answers.
#[derive(Debug)]
pub(crate) struct Silent;

#[async_trait]
impl PartitionStore for Silent {
    fn target(&self) -> String {
        "table `silent`".to_owned()
    }

    async fn read_state(&self, _: &Partition, _: &str, _: Consistency) -> Result<StateRead, PortError> {
        pending().await
    }

    async fn has_records(&self, _: &Partition, _: &str) -> Result<bool, PortError> {
        pending().await
    }

    async fn read_record(&self, _: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        pending().await
    }

    async fn commit(&self, _: Commit<'_>) -> Result<Committed, PortError> {
        pending().await
    }

    async fn store_claims(&self, _: RecordKey<'_>, _: &Record) -> Result<ClaimsStored, PortError> {
        pending().await
    }

    async fn retain(&self, _: RecordKey<'_>, _: &Record, _: Timestamp) -> Result<(), PortError> {
        pending().await
    }

    async fn read_failures(&self, _: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        pending().await
    }

    async fn write_failures(&self, _: RecordKey<'_>, _: Option<Failures>) -> Result<(), PortError> {
        pending().await
    }

    async fn clear(&self, _: RecordKey<'_>) -> Result<(), PortError> {
        pending().await
    }
}

#[async_trait]
impl PayloadStore for Silent {
    fn name(&self) -> &str {
        "silent"
    }

    async fn check_in(&self, _: &Claim, _: Bytes) -> Result<(), PortError> {
        pending().await
    }

    async fn read(&self, _: &Claim) -> Result<Option<Bytes>, PortError> {
        pending().await
    }

    async fn delete(&self, _: &Claim) -> Result<(), PortError> {
        pending().await
    }

    async fn has_entry(&self, _: &str, _: &MessageId) -> Result<bool, PortError> {
        pending().await
    }

    async fn put_entry(&self, _: &str, _: &MessageId) -> Result<(), PortError> {
        pending().await
    }
}

#[async_trait]
impl Queues for Silent {
    async fn open(&self, _: &str) -> Result<Arc<dyn Queue>, PortError> {
        pending().await
    }
}

#[async_trait]
impl Queue for Silent {
    fn name(&self) -> &str {
        "silent"
    }

    async fn send(&self, _: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        pending().await
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Delivery>, PortError> {
        pending().await
    }

    async fn delete(&self, _: Vec<String>) -> Vec<Result<(), PortError>> {
        pending().await
    }

    async fn extend(&self, _: Vec<String>, _: Duration) -> Vec<Result<(), PortError>> {
        pending().await
    }
}

#[async_trait]
impl Records for Silent {
    fn target(&self) -> String {
        "table `silent`".to_owned()
    }

    async fn page(&self, _: Segment, _: Option<&str>) -> Result<RecordPage, PortError> {
        pending().await
    }

    async fn items_of(&self, _: &Partition) -> Result<BTreeMap<String, Item>, PortError> {
        pending().await
    }
}
