use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Claim, MessageId, PayloadStore, PortError, schema::Key};

/// Payloads and dedupe entries in memory.
#[derive(Debug, Default)]
pub struct MemoryPayloads(Mutex<Objects>);

#[derive(Debug, Default)]
struct Objects {
    payloads: BTreeMap<Claim, Bytes>,
    entries: BTreeSet<String>,
}

impl MemoryPayloads {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The claims of all payloads there are.
    pub fn claims(&self) -> Vec<Claim> {
        self.objects().payloads.keys().cloned().collect()
    }
}

#[async_trait]
impl PayloadStore for MemoryPayloads {
    fn name(&self) -> &str {
        "memory"
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
        Ok(self.objects().entries.contains(&Key::Entry { endpoint, message }.to_string()))
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        self.objects().entries.insert(Key::Entry { endpoint, message }.to_string());
        Ok(())
    }
}
