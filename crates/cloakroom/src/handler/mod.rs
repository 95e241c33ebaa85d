//! What a handler sees: the state of its entity, a message, and the transaction [`Tx`](crate::Tx).
//!
//! This module owns everything that a service's author writes handlers with. It does not know how a message is processed:
//! the engine calls handlers through one trait without types, and commits what they leave in their [`Tx`](crate::Tx).

pub(crate) mod error;
pub(crate) mod item;
pub(crate) mod message;
pub(crate) mod registry;
pub(crate) mod tx;
pub(crate) mod typed;

pub use tx::Shared;
pub use typed::Handler;
