//! The payload store. It does not keep outgoing payloads, because no simulated worker receives
//! them. The load adds the incoming payloads, which are all the same.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{MessageId, PortError, format::Claim, ports::PayloadStore};

use crate::fleet::{payload_place::PayloadPlace, services::Services, shards::Access};

/// The name of the payload store, which is part of every claim.
pub(crate) const NAME: &str = "fleet";

#[derive(Debug)]
pub(crate) struct Payloads {
    pub(crate) services: Arc<Services>,
    pub(crate) payload: Bytes,
    /// The claims whose messages were not processed yet.
    waiting: Mutex<HashSet<Claim>>,
}

impl Payloads {
    pub(crate) fn new(services: Arc<Services>, payload: Bytes) -> Self {
        Self { services, payload, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<Claim>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a payload without a request, because its producer is not part of the fleet.
    pub(crate) fn bring(&self, claim: Claim) {
        self.waiting().insert(claim);
    }

    async fn request(&self, kind: Kind, claim: &Claim, bytes: usize) -> Result<(), PortError> {
        let latencies = &self.services.latencies;
        let (operation, latency) = match (self.services.payload_place, kind) {
            (PayloadPlace::Objects, Kind::Put) => ("PutObject", latencies.object_put),
            (PayloadPlace::Objects, Kind::Get) => ("GetObject", latencies.object_get),
            (PayloadPlace::Objects, Kind::Delete) => ("DeleteObject", latencies.object_delete),
            (PayloadPlace::Items, Kind::Put) => ("PutItem", latencies.item_put),
            (PayloadPlace::Items, Kind::Get) => ("GetItem", latencies.item_get),
            (PayloadPlace::Items, Kind::Delete) => ("DeleteItem", latencies.item_put),
        };
        self.services.answer(latency).await;
        let what = if kind == Kind::Get { Access::Read } else { Access::Write };
        self.services.payload(operation, claim.as_str(), what, bytes)
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

    /// A worker calls this once when it starts, to check that the store is available. All messages
    /// of a fleet have claims.
    async fn has_entry(&self, _: &str, _: &MessageId) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn put_entry(&self, _: &str, _: &MessageId) -> Result<(), PortError> {
        let cause = "every message of a fleet has a claim";
        Err(PortError::new("a dedupe entry", cause).without_effect().permanent().public())
    }
}
