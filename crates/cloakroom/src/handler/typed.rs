//! Handlers: async functions of a state, a message and a [`Tx`].

use std::{future::Future, marker::PhantomData};

use async_trait::async_trait;
use bytes::Bytes;
use serde_dynamo::Item;

use crate::{
    format::attributes,
    handler::{
        error::{Handled, HandlerError},
        item::to_item,
        message::{Message, State},
        tx::Tx,
    },
};

/// An async function that handles messages of type `M` for entities with state `S`:
/// `async fn(&mut S, M, &mut Tx) -> Handled`.
///
/// A handler may run more than once for one message. Its changes of the state and its outgoing
/// messages take effect once.
pub trait Handler<'a, S, M>: Send + Sync + 'static {
    /// The future that the function returns.
    type Future: Future<Output = Handled> + Send + 'a;

    /// Calls the function.
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

/// A handler without type parameters. It reads attributes and bytes, and returns attributes.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn numbers_that_dynamodb_cannot_store_are_refused_at_any_depth() {
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
