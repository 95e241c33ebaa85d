//! Handlers, and their arguments: the state of an entity, a message, and the transaction
//! [`Tx`](crate::Tx).
//!
//! This module has everything that an author of handlers needs. It does not know how a message is
//! processed. The engine calls a handler through one trait without type parameters, and commits the
//! content of its [`Tx`](crate::Tx).

pub(crate) mod error;
pub(crate) mod item;
pub(crate) mod message;
pub(crate) mod registry;
pub(crate) mod tx;
pub(crate) mod typed;

pub use tx::Shared;
pub use typed::Handler;
