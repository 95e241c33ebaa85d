//! The port of payloads and dedupe entries.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    error::PortError,
    format::name::{Claim, MessageId},
};

/// Payloads under their claims, and dedupe entries of messages without a claim.
///
/// One store, or [several](crate::ports::RoutedPayloads) as one: then a claim's store says which of them has its payload.
///
/// - `read` and `has_entry` MUST be linearizable: what was written or deleted before they began is seen.
/// - `check_in` MUST send its write **at most once**. A write that is repeated by a client library
///   may arrive after the payload was deleted, and bring a processed message back to life. An error
///   that leaves the outcome open is answered by a fresh claim.
/// - `delete` of a payload that is not there, and `put_entry` of an entry that is, are successes.
/// - Only "there is no such key" is an absent payload; every other failure is an error. So is a claim of a store that
///   is not [held](PayloadStore::holds).
/// - A payload that is too large for the store MUST be refused as permanent and without effect.
#[async_trait]
pub trait PayloadStore: Send + Sync + fmt::Debug {
    /// The store's name, which becomes part of claims: up to 64 letters, digits, `-`, `_` and `.`. A store of another
    /// name holds other payloads; were it asked, every message would look processed. Dedupe entries are put in this one.
    fn name(&self) -> &str;

    /// The name of the store in which a payload of so many bytes is to be checked in: what its claim names. One of
    /// [`stores`](Self::stores).
    fn place(&self, _bytes: usize) -> &str {
        self.name()
    }

    /// The names of all stores whose payloads can be read and deleted here, [`name`](Self::name) among them.
    fn stores(&self) -> Vec<&str> {
        vec![self.name()]
    }

    /// Whether the payloads of the store of this name can be read and deleted here.
    fn holds(&self, store: &str) -> bool {
        store == self.name() || self.stores().contains(&store)
    }

    /// Steps 4b and 5b: writes a payload under a claim that nobody ever used.
    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError>;

    /// Step 3: the payload, or `None` if there is none.
    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError>;

    /// Step 7: deletes the payload.
    async fn delete(&self, claim: &Claim) -> Result<(), PortError>;

    /// Step 3 for a message without a claim: whether it was fully processed.
    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError>;

    /// Step 7 for a message without a claim: marks it as fully processed.
    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError>;
}
