//! Payloads in several stores: a claim names the store, and the size of a new payload selects it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;

use crate::{
    error::{Error, PortError},
    format::name::{Claim, MessageId},
    ports::payload_store::PayloadStore,
};

/// Several payload stores as one. One store is for small payloads and another one for large
/// payloads. Payloads in any number of further stores are only read and deleted.
///
/// A claim names the store of its payload. So a payload is found in that store, even after new
/// payloads go to another store. The stores for new payloads can be changed while messages are in
/// flight, in **two steps**:
///
/// 1. Every endpoint, producer of claims and operator gets the new store for reading, with
///    [`also`](Self::also) or as [`small`](Self::small) with a maximum of 0 bytes.
/// 2. After all of them run with this configuration, new payloads are written to the new store.
///
/// A store can be removed when its last payloads and dedupe entries have expired. If a receiver
/// does not have the store of a payload, it returns the message to its queue with an error that
/// names the store. The message is not lost, but its receive count increases.
///
/// **Dedupe entries** are written to the large store, and read from all stores, because a store
/// that was the large one before still has valid entries. For entries the two steps are required.
/// If a receiver does not read a store to which another receiver writes entries, it processes
/// messages again.
///
/// A claim that names no store is read from all stores. Its payload is missing only if it is
/// missing in every store. A new payload under such a claim is written to the large store.
///
/// ```
/// use std::sync::Arc;
/// use cloakroom::{memory::MemoryPayloads, ports::{PayloadStore as _, RoutedPayloads}};
///
/// let store = |name: &str| Arc::new(MemoryPayloads::named(name));
/// let payloads = RoutedPayloads::new(store("bucket")).small(store("table"), 4_072)?.also(store("old-bucket"))?;
/// assert_eq!((payloads.place(4_072), payloads.place(4_073)), ("table", "bucket"));
/// assert!(payloads.holds("old-bucket") && !payloads.holds("elsewhere"));
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RoutedPayloads {
    large: Arc<dyn PayloadStore>,
    small: Option<Small>,
    /// Stores whose payloads are only read and deleted.
    also: Vec<Arc<dyn PayloadStore>>,
}

#[derive(Clone, Debug)]
struct Small {
    store: Arc<dyn PayloadStore>,
    bytes_max: usize,
}

impl RoutedPayloads {
    /// Creates a router that uses this store for all payloads and dedupe entries, until other
    /// stores are added.
    pub fn new(large: Arc<dyn PayloadStore>) -> Self {
        Self { large, small: None, also: Vec::new() }
    }

    /// Uses this store for payloads of up to `bytes_max` bytes. If it is 0, the payloads of this
    /// store are only read and deleted.
    ///
    /// # Errors
    /// If there is already a store with this name, or a store for small payloads.
    pub fn small(self, store: Arc<dyn PayloadStore>, bytes_max: usize) -> Result<Self, Error> {
        self.check_names_are_new(&*store)?;
        if let Some(Small { store: other, .. }) = &self.small {
            let (one, other) = (store.name(), other.name());
            let text = format!(
                "both `{other}` and `{one}` are set as the store for small payloads: add one of them with `also`"
            );
            return Err(Error::misconfigured(text));
        }
        Ok(Self { small: Some(Small { store, bytes_max }), ..self })
    }

    /// Adds a store whose payloads are only read and deleted, and whose dedupe entries are read.
    ///
    /// # Errors
    /// If there is already a store with this name.
    pub fn also(mut self, store: Arc<dyn PayloadStore>) -> Result<Self, Error> {
        self.check_names_are_new(&*store)?;
        self.also.push(store);
        Ok(self)
    }

    /// Returns an error if a name of the store is already in use.
    ///
    /// SUBTLE: (1) two stores have the same name. (2) Only the first one is ever read. The payloads
    /// in the second store would look missing, and their messages processed
    /// (`two_stores_with_one_name_are_refused`).
    fn check_names_are_new(&self, store: &dyn PayloadStore) -> Result<(), Error> {
        let Some(name) = store.stores().into_iter().find(|name| self.holds(name)) else { return Ok(()) };
        Err(Error::misconfigured(format!(
            "two payload stores have the name `{name}`, so a claim cannot identify its store: give each store a unique name"
        )))
    }

    fn all(&self) -> impl Iterator<Item = &dyn PayloadStore> {
        let small = self.small.iter().map(|small| &small.store);
        std::iter::once(&self.large).chain(small).chain(&self.also).map(|store| &**store)
    }

    /// Returns the store that a claim names. The large store if the claim names none.
    ///
    /// SUBTLE: a claim on a store that is not configured is an error, and never a missing payload.
    /// A missing payload would mean that the message was processed, so an unprocessed message would
    /// be acknowledged (`claim_of_an_unknown_store_is_an_error`).
    fn of(&self, claim: &Claim) -> Result<&dyn PayloadStore, PortError> {
        let Some(name) = claim.store() else { return Ok(&*self.large) };
        self.all().find(|store| store.holds(name)).ok_or_else(|| {
            let stores: Vec<_> = self.stores().into_iter().map(|store| format!("`{store}`")).collect();
            let cause = format!(
                "the payload is in store `{name}`, but only these stores are configured: {}; add store `{name}`",
                stores.join(", ")
            );
            PortError::new(format!("finding the store of payload `{claim}`"), cause)
                .without_effect()
                .caused_by_data()
                .public_without(claim)
        })
    }
}

#[async_trait]
impl PayloadStore for RoutedPayloads {
    fn name(&self) -> &str {
        self.large.name()
    }

    fn place(&self, bytes: usize) -> &str {
        match &self.small {
            Some(Small { store, bytes_max }) if (1..=*bytes_max).contains(&bytes) => store.place(bytes),
            Some(_) | None => self.large.place(bytes),
        }
    }

    fn stores(&self) -> Vec<&str> {
        self.all().flat_map(PayloadStore::stores).collect()
    }

    fn holds(&self, store: &str) -> bool {
        self.all().any(|one| one.holds(store))
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        self.of(claim)?.check_in(claim, payload).await
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        if claim.store().is_some() {
            return self.of(claim)?.read(claim).await;
        }
        // SUBTLE: a claim without a store is read from all stores. (1) A payload is checked in to
        // the large store. (2) Another store becomes the large store. (3) A read of only the new
        // one finds no payload. The message would be acknowledged as processed, and so be lost
        // (`claim_without_a_store_name_is_searched_in_all_stores`).
        let found = try_join_all(self.all().map(|store| store.read(claim))).await?;
        Ok(found.into_iter().flatten().next())
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        if claim.store().is_some() {
            return self.of(claim)?.delete(claim).await;
        }
        try_join_all(self.all().map(|store| store.delete(claim))).await?;
        Ok(())
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        let found = try_join_all(self.all().map(|store| store.has_entry(endpoint, message))).await?;
        Ok(found.contains(&true))
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        self.large.put_entry(endpoint, message).await
    }
}
