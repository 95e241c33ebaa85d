//! Handlers: async functions of a state, a message and a [`Tx`].

use std::{fmt, future::Future, marker::PhantomData, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde_dynamo::Item;

use crate::{ErrorKind, Message, State, Tx, attributes, schema::attribute, tx::DELAY_S_MAX, values};

/// Why a handler did not accept a message.
///
/// Any error that a handler passes on with `?` asks for another try; what another try cannot mend is
/// rejected by name, and what is only too early is deferred.
///
/// ```
/// use cloakroom::HandlerError;
///
/// fn quantity(text: &str) -> Result<u32, HandlerError> {
///     text.parse().map_err(|_| HandlerError::reject(format!("`{text}` is no quantity")))
/// }
/// assert!(quantity("many").is_err());
/// ```
#[derive(Debug)]
pub struct HandlerError {
    pub(crate) reason: String,
    pub(crate) refusal: Refusal,
}

/// What a [`HandlerError`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The message can never be processed.
    Rejected,
    /// The handler failed and may succeed at another try.
    Failed,
    /// The message is to come again after this time.
    Deferred(Duration),
    /// The endpoint lacks something that the handler needs, such as a route.
    Misconfigured,
}

impl HandlerError {
    /// The message can never be processed: it is parked in the dead-letter queue with this reason.
    pub fn reject(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), refusal: Refusal::Rejected }
    }

    /// The handler failed: the message is received again later, and parked after `attempts_max` failures.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), refusal: Refusal::Failed }
    }

    /// Not yet: the message is to come again after this time, and its handler is to be asked again then. That is no failure, and uses
    /// up none of the message's attempts. What the handler has changed or sent so far is dropped.
    ///
    /// On a standard queue the message is sent again with this delay, as the same message, and the delivery is deleted. That takes
    /// `sqs:SendMessage` on the endpoint's own queue. The longest delay is 15 minutes; a handler that needs more is asked every 15
    /// minutes.
    ///
    /// On a FIFO queue the message itself is given back for this time, at most 15 minutes: so its group waits, and stays in order.
    /// Each time uses up a receive of this message and of those of its group that were received with it. After `maxReceiveCount`
    /// of them SQS moves them to the dead-letter queue: set it high, and defer for long. Never wait so for a message of the same
    /// group: it cannot come before this one. A Lambda function cannot choose the time on a FIFO queue: there it is the queue's
    /// visibility timeout.
    ///
    /// A message with a claim is parked if it is still deferred after half of `payload_ttl_ms` (14 of 28 days by default). A message
    /// without a claim can be deferred without end.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use cloakroom::{Handled, Message, Partition, Tx};
    /// use cloakroom::HandlerError;
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)] struct Account { is_open: bool }
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Pay;
    ///
    /// async fn pay(account: &mut Account, _: Pay, _: &mut Tx) -> Handled {
    ///     if !account.is_open {
    ///         return Err(HandlerError::defer(Duration::from_secs(30)));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn defer(delay: Duration) -> Self {
        let delay = delay.min(Duration::from_secs(DELAY_S_MAX));
        Self { reason: format!("deferred by {delay:?}"), refusal: Refusal::Deferred(delay) }
    }

    /// The endpoint is not configured for what the handler does. The message waits until that is fixed.
    pub(crate) const fn misconfigured(reason: String) -> Self {
        Self { reason, refusal: Refusal::Misconfigured }
    }

    pub(crate) const fn kind(&self) -> ErrorKind {
        match self.refusal {
            Refusal::Rejected | Refusal::Failed | Refusal::Deferred(_) => ErrorKind::RetryMessage,
            Refusal::Misconfigured => ErrorKind::MendConfiguration,
        }
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

/// What a handler answers: the message is accepted, or why it is not.
pub type Handled = Result<(), HandlerError>;

/// An async function that handles messages of type `M` for entities with state `S`:
/// `async fn(&mut S, M, &mut Tx) -> Handled`.
///
/// It may run more than once for one message; its effects on the state and its messages count once.
pub trait Handler<'a, S, M>: Send + Sync + 'static {
    /// What it returns.
    type Future: Future<Output = Handled> + Send + 'a;

    /// Calls it.
    fn call(&self, state: &'a mut S, message: M, tx: &'a mut Tx) -> Self::Future;
}

impl<'a, F, R, S: 'a, M> Handler<'a, S, M> for F
where
    F: Fn(&'a mut S, M, &'a mut Tx) -> R + Send + Sync + 'static,
    R: Future<Output = Handled> + Send + 'a,
{
    type Future = R;

    fn call(&self, state: &'a mut S, message: M, tx: &'a mut Tx) -> R {
        self(state, message, tx)
    }
}

/// A handler whose types have been forgotten: attributes and bytes in, attributes out.
#[async_trait]
pub(crate) trait AnyHandler: Send + Sync {
    async fn call(&self, state: Option<Item>, payload: &Bytes, tx: &mut Tx) -> Result<Item, HandlerError>;
}

pub(crate) struct Typed<S, M, H> {
    handler: H,
    types: PhantomData<fn(S, M)>,
}

impl<S, M, H> Typed<S, M, H> {
    pub(crate) const fn new(handler: H) -> Self {
        Self { handler, types: PhantomData }
    }
}

#[async_trait]
impl<S: State, M: Message, H: for<'a> Handler<'a, S, M>> AnyHandler for Typed<S, M, H> {
    async fn call(&self, state: Option<Item>, payload: &Bytes, tx: &mut Tx) -> Result<Item, HandlerError> {
        let message: M = serde_json::from_slice(payload)
            .map_err(|error| HandlerError::reject(format!("the payload is no `{}`: {error}", M::TYPE)))?;
        let mut state: S = match state {
            None => S::default(),
            Some(item) => attributes::read(item).map_err(|error| {
                let partition = tx.partition();
                HandlerError::reject(format!("the state of partition `{partition}` cannot be read: {error}"))
            })?,
        };
        self.handler.call(&mut state, message, tx).await?;
        to_item("the state", &state)
    }
}

/// Attributes of a state or of a handler's own item.
pub(crate) fn to_item(what: &str, value: &impl serde::Serialize) -> Result<Item, HandlerError> {
    let item = attributes::write(value)
        .map_err(|error| HandlerError::reject(format!("{what} cannot be written as attributes: {error}")))?;
    if let Some(name) = item.keys().find(|name| attribute::RESERVED.contains(&&***name)) {
        let text = format!("{what} has an attribute `{name}`, a name that is reserved: rename it");
        return Err(HandlerError::reject(text));
    }
    match values::check(&item) {
        Ok(()) => Ok(item),
        Err(fault) => Err(HandlerError::reject(format!("{what} has {fault}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn numbers_that_are_none_are_refused_wherever_they_are() {
        let refused = |value: f64| {
            let nested = BTreeMap::from([("list", vec![BTreeMap::from([("deep", value)])])]);
            to_item("the state", &nested).err().map(|error| error.reason)
        };
        assert_eq!(refused(1.5), None);
        for value in [f64::NAN, f64::INFINITY, -f64::INFINITY, f64::MAX, f64::MIN_POSITIVE] {
            let reason = refused(value).expect("refused");
            assert!(reason.starts_with("the state has a number "), "{reason}");
            assert!(reason.contains(" at `list[0].deep`, which no attribute can hold"), "{reason}");
        }
    }
}
