//! Payloads in several stores: by their size, and by where they were when the policy was another one.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;

use crate::{
    error::{Error, PortError},
    format::name::{Claim, MessageId},
    ports::payload_store::PayloadStore,
};

/// Several payload stores as one: small payloads in one of them, larger ones in another, and as many as are needed that
/// are only read and deleted.
///
/// A claim names the store of its payload, and whoever holds that store finds it there, however the policy is now. So a policy
/// can be changed while messages are in flight, in **two steps**: first every endpoint, producer of claims and operator is given the new
/// store to read from, with [`also`](Self::also) or as [`small`](Self::small) up to 0 bytes; when the last of them runs so, the new
/// store is written to. A store can be left out when nothing is in it any more: when its last payloads and entries have expired.
/// A receiver that lacks a store gives the message back with an error that names it; nothing is lost, but receives are used up.
///
/// **Dedupe entries** are put in the large store, and looked for in all of them: those that a store got when it was the
/// large one still count. Here the two steps are more than a courtesy: a receiver that does not look into the store in which
/// another one put an entry processes the message again.
///
/// A claim that names no store is sought in all of them: its payload is missing only if it is missing in each. A new
/// payload under such a claim goes into the large store.
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
    /// Only read and deleted.
    also: Vec<Arc<dyn PayloadStore>>,
}

#[derive(Clone, Debug)]
struct Small {
    store: Arc<dyn PayloadStore>,
    bytes_max: usize,
}

impl RoutedPayloads {
    /// All payloads and entries in this store, until others are added.
    pub fn new(large: Arc<dyn PayloadStore>) -> Self {
        Self { large, small: None, also: Vec::new() }
    }

    /// Payloads of up to so many bytes in this store; with 0 they are only read and deleted there.
    ///
    /// # Errors
    /// A store of this name is there already, or there is one for small payloads.
    pub fn small(self, store: Arc<dyn PayloadStore>, bytes_max: usize) -> Result<Self, Error> {
        self.must_lack(&*store)?;
        if let Some(Small { store: other, .. }) = &self.small {
            let (one, other) = (store.name(), other.name());
            let text =
                format!("small payloads cannot be both in `{other}` and in `{one}`: add one of them with `also`");
            return Err(Error::misconfigured(text));
        }
        Ok(Self { small: Some(Small { store, bytes_max }), ..self })
    }

    /// Payloads of this store are read and deleted, too, and its entries count.
    ///
    /// # Errors
    /// A store of this name is there already.
    pub fn also(mut self, store: Arc<dyn PayloadStore>) -> Result<Self, Error> {
        self.must_lack(&*store)?;
        self.also.push(store);
        Ok(self)
    }

    /// SUBTLE: names are unique. Of two stores of one name only the first would ever be asked, and what is in the other
    /// one would look processed (`two_stores_of_one_name_are_refused`).
    fn must_lack(&self, store: &dyn PayloadStore) -> Result<(), Error> {
        let Some(name) = store.stores().into_iter().find(|name| self.holds(name)) else { return Ok(()) };
        Err(Error::misconfigured(format!(
            "two payload stores are called `{name}`, and a claim could not tell which of them it means: give each a name \
             of its own"
        )))
    }

    fn all(&self) -> impl Iterator<Item = &dyn PayloadStore> {
        let small = self.small.iter().map(|small| &small.store);
        std::iter::once(&self.large).chain(small).chain(&self.also).map(|store| &**store)
    }

    /// The store that a claim names.
    ///
    /// SUBTLE: a claim of none of them is an error, never a missing payload, which would mean that its message was processed
    /// (`a_claim_of_no_store_is_an_error`).
    fn of(&self, claim: &Claim) -> Result<&dyn PayloadStore, PortError> {
        let Some(name) = claim.store() else { return Ok(&*self.large) };
        self.all().find(|store| store.holds(name)).ok_or_else(|| {
            let stores: Vec<_> = self.stores().into_iter().map(|store| format!("`{store}`")).collect();
            let cause = format!("it is in store `{name}`, and there are {}: give that one as well", stores.join(", "));
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
        // SUBTLE: in all stores. The one that is the large store today may not have been it when the payload was checked in,
        // and a payload that is taken for missing is a lost message (`a_claim_without_a_store_is_sought_in_all`).
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
