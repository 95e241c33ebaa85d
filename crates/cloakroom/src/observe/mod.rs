//! What the library reports about its work: events, durations, traces, and what its requests consumed.
//!
//! This module owns the [`Observer`] trait, the counters over it, the spans and the prices. It changes nothing about how a
//! message is processed. What goes into logs and spans never quotes payloads, states or keys.

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
