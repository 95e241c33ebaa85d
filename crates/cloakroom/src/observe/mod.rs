//! Reports of the library about its work: events, durations, traces, and the consumption of
//! requests.
//!
//! This module has the [`Observer`] trait, its counters, the spans and the prices. It does not
//! affect how a message is processed. Logs and spans never quote payloads, states or keys.

pub(crate) mod consumption;
pub(crate) mod counters;
pub(crate) mod observer;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
pub mod prices;
pub(crate) mod progress;
pub(crate) mod trace;
pub(crate) mod traceparent;

pub use consumption::{Consumed, Consumption, Service, Used};
pub use counters::{Counters, Counts};
pub use observer::{Event, Observer, Timed, Unobserved};
pub use progress::LastProgress;
