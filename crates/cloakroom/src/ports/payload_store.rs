//! The port of payloads and dedupe entries.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    error::PortError,
    format::name::{Claim, MessageId},
};

/// The store of payloads, by claim, and of the dedupe entries of messages without a claim.
///
/// It is one store, or [several](crate::ports::RoutedPayloads) as one. With several stores, the
/// claim names the store that has its payload.
///
/// - `read` and `has_entry` MUST be linearizable: they see every write and every deletion that
///   returned before they began.
/// - `check_in` MUST send its write **at most once**. If a client library retried the write, the
///   retry could arrive after the payload was deleted. Then a processed message would look
///   unprocessed. If the outcome of a check-in is unknown, the caller tries again with a fresh
///   claim.
/// - `delete` returns success if the payload does not exist. `put_entry` returns success if the
///   entry exists.
/// - A payload is missing only if the store answers that the key does not exist. Every other
///   failure is an error. A claim on a store that is not [held](PayloadStore::holds) is an error,
///   too.
/// - If a payload is too large for the store, the error MUST be permanent and without effect.
#[async_trait]
pub trait PayloadStore: Send + Sync + fmt::Debug {
    /// Returns the name of the store, which is part of its claims: up to 64 letters, digits, `-`,
    /// `_` and `.`. It identifies the payloads: in a store with other payloads, every payload would
    /// be missing and every message would look processed. Dedupe entries are written to the store
    /// with this name.
    fn name(&self) -> &str;

    /// Returns the name of the store for a new payload of `bytes` bytes. The claim of the payload
    /// contains it. It is one of [`stores`](Self::stores).
    fn place(&self, _bytes: usize) -> &str {
        self.name()
    }

    /// Returns the names of all stores whose payloads can be read and deleted here, including
    /// [`name`](Self::name).
    fn stores(&self) -> Vec<&str> {
        vec![self.name()]
    }

    /// Returns whether the payloads of the store with this name can be read and deleted here.
    fn holds(&self, store: &str) -> bool {
        store == self.name() || self.stores().contains(&store)
    }

    /// Steps 4b and 5b: writes a payload under a claim that was never used before.
    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError>;

    /// Step 3: reads the payload. `None` if the payload does not exist.
    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError>;

    /// Step 7: deletes the payload.
    async fn delete(&self, claim: &Claim) -> Result<(), PortError>;

    /// Step 3 for a message without a claim: returns whether the message was fully processed.
    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError>;

    /// Step 7 for a message without a claim: marks the message as fully processed.
    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError>;
}
