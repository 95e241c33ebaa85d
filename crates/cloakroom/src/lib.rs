//! Exactly-once message processing on DynamoDB, S3 and SQS.
//!
//! An [`Endpoint`] has the handlers for one kind of entity. It processes a message in one transaction on the
//! entity's partition: the new state, and beside it the messages to be sent. Whatever stops it, whoever receives the message
//! again goes on from there; and a message that was processed is recognised, because its payload is gone: for ever if it has a
//! claim, for 50 days as provisioned if it has only an id.
//!
//! - [`protocol`] is the order of steps, as a table and as the one function that everything follows.
//! - [`Endpoint`], [`Tx`] and [`Worker`] are what a service is made of.
//! - [`Producer`] submits messages from elsewhere than handlers; [`intake`] is how those of foreign producers are taken, and
//!   [`fifo`] what order there is on FIFO queues.
//! - [`recovery`] finishes what was committed and not finished, for operators.
//! - [`Ports`] are what it stands on: `cloakroom-aws` has them for AWS, [`memory`] for tests; [`conformance`] has the
//!   laws that each has to pass.
//! - [`docs`] tells what is promised ([guarantees](docs::guarantees)) and what of that was [proved](docs::proof), how to
//!   [test your own handler](docs::testing), how to run it ([operations](docs::operations)) and [what to look at](docs::metrics), what it [costs](docs::costs), and
//!   why it is as it is ([protocol](docs::protocol), [decisions](docs::decisions)).

mod attributes;
pub mod backoff;
mod batch;
mod bounded;
mod calls;
mod clock;
mod coalesced;
mod coalescer;
mod concurrency;
pub mod conformance;
mod consumption;
mod counters;
mod dispatch;
pub mod docs;
mod endpoint;
mod engine;
mod envelope;
mod error;
pub mod fifo;
mod handler;
pub mod intake;
mod lanes;
mod lifetime;
mod limits;
pub mod memory;
mod message;
mod name;
mod observer;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
pub mod parking;
mod placed;
pub mod placement;
mod ports;
pub mod prices;
mod progress;
pub mod protocol;
mod record;
pub mod recovery;
pub mod schema;
mod settings;
mod submit;
mod trace;
mod tx;
mod values;
mod worker;

pub use backoff::Backoff;
pub use batch::Batch;
pub use bounded::Bounded;
pub use clock::{Clock, Random, SystemRandom, Timestamp};
pub use coalesced::Coalesced;
pub use coalescer::{Coalescer, Pace};
pub use consumption::{Consumed, Consumption, Service, Used};
pub use counters::{Counters, Counts};
pub use endpoint::{DeadLetter, Endpoint, EndpointBuilder};
pub use envelope::{Envelope, EnvelopeError};
pub use error::{Error, ErrorKind, LimitError, PortError};
pub use handler::{Handled, Handler, HandlerError};
pub use lanes::NotDone;
pub use limits::{Limits, item_bytes};
pub use message::{Message, State};
pub use name::{Claim, MessageId, Partition, Version};
pub use observer::{Event, Observer, Retry, Timed, Unobserved};
pub use placed::PlacedPayloads;
pub use ports::{
    ClaimsStored, Commit, Committed, Condition, Conflict, Delivery, Embedded, Failures, ItemAction, ItemWrite,
    PartitionStore, PayloadStore, Placement, Ports, Queue, QueueMessage, Queues, RecordKey, Sharing, StateRead,
    StateWrite,
};
pub use progress::LastProgress;
pub use protocol::Outcome;
pub use record::{Outgoing, Record, RecordError, Settles};
pub use serde_dynamo::{AttributeValue, Item};
pub use settings::{Dedupe, EndpointSettings, WorkerSettings};
pub use submit::{Producer, Submission};
pub use tx::{Shared, Tx};
pub use worker::Worker;
