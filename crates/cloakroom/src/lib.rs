//! Exactly-once message processing on DynamoDB, S3 and SQS.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test that fails panics"))]

pub mod backoff;
mod clock;
mod coalesced;
pub mod conformance;
mod dispatch;
pub mod docs;
mod endpoint;
mod engine;
mod envelope;
mod error;
mod handler;
mod lanes;
mod limits;
pub mod memory;
mod message;
mod name;
mod observer;
pub mod parking;
pub mod placement;
mod ports;
pub mod protocol;
mod record;
pub mod schema;
mod settings;
mod tx;
mod worker;

pub use backoff::Backoff;
pub use clock::{Clock, Random, SystemRandom, Timestamp};
pub use coalesced::Coalesced;
pub use endpoint::{Endpoint, EndpointBuilder};
pub use envelope::{Envelope, EnvelopeError};
pub use error::{Error, ErrorKind, LimitError, PortError};
pub use handler::{Handled, Handler, HandlerError};
pub use limits::{Limits, item_bytes};
pub use message::{Message, State};
pub use name::{Claim, MessageId, Partition, Version};
pub use observer::{Counters, Counts, Event, Observer, Unobserved};
pub use ports::{
    ClaimsStored, Commit, Committed, Condition, Conflict, Delivery, ItemAction, ItemWrite, PartitionStore,
    PayloadStore, Ports, Queue, QueueMessage, Queues, RecordKey, StateRead, StateWrite,
};
pub use protocol::Outcome;
pub use record::{Outgoing, Record, RecordError};
pub use serde_dynamo::{AttributeValue, Item};
pub use settings::{EndpointSettings, WorkerSettings};
pub use tx::Tx;
pub use worker::Worker;
