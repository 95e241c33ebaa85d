//! The payload store. Of what is checked in nothing is kept, since nobody here receives it; what is to be received was
//! brought by the load, and is the same for all.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{MessageId, PortError, format::Claim, ports::PayloadStore};
use serde::{Deserialize, Serialize};

use super::{cloud::Cloud, shards::Use};

/// Where payloads are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadPlace {
    /// As objects on S3.
    #[default]
    Objects,
    /// As items of a DynamoDB table of their own.
    Items,
}

/// The name of the payload store, which is part of every claim.
pub(crate) const NAME: &str = "fleet";

#[derive(Debug)]
pub(crate) struct Payloads {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) payload: Bytes,
    /// Those that wait for their message to be processed.
    waiting: Mutex<HashSet<Claim>>,
}

impl Payloads {
    pub(crate) fn new(cloud: Arc<Cloud>, payload: Bytes) -> Self {
        Self { cloud, payload, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<Claim>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A payload of which the cloud takes no notice: it is its sender's expense.
    pub(crate) fn bring(&self, claim: Claim) {
        self.waiting().insert(claim);
    }

    async fn request(&self, kind: Kind, claim: &Claim, bytes: usize) -> Result<(), PortError> {
        let latencies = &self.cloud.latencies;
        let (operation, latency) = match (self.cloud.payload_place, kind) {
            (PayloadPlace::Objects, Kind::Put) => ("PutObject", latencies.object_put),
            (PayloadPlace::Objects, Kind::Get) => ("GetObject", latencies.object_get),
            (PayloadPlace::Objects, Kind::Delete) => ("DeleteObject", latencies.object_delete),
            (PayloadPlace::Items, Kind::Put) => ("PutItem", latencies.item_put),
            (PayloadPlace::Items, Kind::Get) => ("GetItem", latencies.item_get),
            (PayloadPlace::Items, Kind::Delete) => ("DeleteItem", latencies.item_put),
        };
        self.cloud.answer(latency).await;
        let what = if kind == Kind::Get { Use::Read } else { Use::Write };
        self.cloud.payload(operation, claim.as_str(), what, bytes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Put,
    Get,
    Delete,
}

#[async_trait]
impl PayloadStore for Payloads {
    fn name(&self) -> &str {
        NAME
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        self.request(Kind::Put, claim, payload.len()).await
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        self.request(Kind::Get, claim, self.payload.len()).await?;
        Ok(self.waiting().contains(claim).then(|| self.payload.clone()))
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        self.request(Kind::Delete, claim, self.payload.len()).await?;
        self.waiting().remove(claim);
        Ok(())
    }

    /// A worker asks once, when it starts, whether it reaches the store. Messages of a fleet have claims.
    async fn has_entry(&self, _: &str, _: &MessageId) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn put_entry(&self, _: &str, _: &MessageId) -> Result<(), PortError> {
        let cause = "every message of a fleet has a claim";
        Err(PortError::new("a dedupe entry", cause).without_effect().permanent().public())
    }
}
