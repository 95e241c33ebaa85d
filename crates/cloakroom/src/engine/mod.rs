//! The engine: performs the steps of the [protocol](crate::protocol) over the
//! [ports](crate::ports), for messages of one partition, from start to end.
//!
//! The protocol decides the order of steps. The engine decides how a step is performed: it retries
//! calls, pauses, runs the handler, and tracks whose claims a record has. It receives nothing from
//! a queue and opens no connection. The modules [`worker`](crate::worker) and
//! [`endpoint`](crate::endpoint) drive it.

pub(crate) mod age;
pub(crate) mod attempt;
pub(crate) mod blame;
pub(crate) mod committing;
pub(crate) mod context;
pub(crate) mod dispatch;
pub(crate) mod failing;
pub(crate) mod group;
pub(crate) mod handler_limit;
pub(crate) mod handling;
pub(crate) mod identify;
pub mod intake;
pub(crate) mod not_finished;
pub mod parking;
pub(crate) mod reading;
pub(crate) mod recovering;
pub(crate) mod retry;
pub(crate) mod settings;
pub(crate) mod settled;
pub(crate) mod settling;

pub use not_finished::{NotFinished, Recovered};
