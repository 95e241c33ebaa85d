use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    error::PortError,
    format::{
        name::{Claim, MessageId},
        schema::Key,
    },
    ports::payload_store::PayloadStore,
};

/// Payloads and dedupe entries in memory.
#[derive(Debug)]
pub struct MemoryPayloads {
    name: String,
    objects: Mutex<Objects>,
}

impl Default for MemoryPayloads {
    fn default() -> Self {
        Self::named("memory")
    }
}

#[derive(Debug, Default)]
struct Objects {
    payloads: HashMap<Claim, Bytes>,
    entries: HashSet<String>,
}

impl MemoryPayloads {
    /// Creates a store with this name, to combine [several stores](crate::ports::RoutedPayloads).
    /// The default name is `memory`.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), objects: Mutex::default() }
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes all dedupe entries, as their expiry does.
    pub fn expire_entries(&self) {
        self.objects().entries.clear();
    }

    /// Returns the claims of all stored payloads, in order.
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims: Vec<_> = self.objects().payloads.keys().cloned().collect();
        claims.sort();
        claims
    }
}

#[async_trait]
impl PayloadStore for MemoryPayloads {
    fn name(&self) -> &str {
        &self.name
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        self.objects().payloads.insert(claim.clone(), payload);
        Ok(())
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        Ok(self.objects().payloads.get(claim).cloned())
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        self.objects().payloads.remove(claim);
        Ok(())
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        Ok(self.objects().entries.contains(&Key::Entry { endpoint, message }.text()))
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        self.objects().entries.insert(Key::Entry { endpoint, message }.text());
        Ok(())
    }
}
