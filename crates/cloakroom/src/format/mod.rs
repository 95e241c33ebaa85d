//! The stored formats of names, envelopes and records: the exact bytes in tables, payload stores
//! and queues.
//!
//! This module owns every format that outlives a process. It encodes and decodes values, and
//! performs no I/O. After a change it must still decode what earlier versions wrote. Tests with
//! golden files check this.

pub(crate) mod attributes;
pub(crate) mod derived_id;
pub(crate) mod envelope;
pub(crate) mod item_size;
pub(crate) mod lifetime;
pub(crate) mod name;
pub(crate) mod packed;
pub(crate) mod recent;
pub(crate) mod record;
pub mod schema;
pub(crate) mod timestamp;
pub(crate) mod values;

pub use derived_id::derived_id;
pub use envelope::{Envelope, EnvelopeError};
pub use item_size::item_bytes;
pub use name::Claim;
pub use recent::Recent;
pub use record::{Outgoing, Record, RecordError, Settles};
pub use serde_dynamo::{AttributeValue, Item};
