//! Exactly-once message processing on DynamoDB, S3 and SQS.
//!
//! An [`Endpoint`] has the handlers for one kind of entity. It processes a message in one
//! transaction on the entity's partition. The transaction writes the new state and the outgoing
//! messages. If a worker stops at any point, the next worker that receives the message continues
//! from there. An endpoint recognises a processed message because its payload is missing or, if the
//! message has only an id, because its dedupe entry exists. A claim protects against duplicates
//! forever, and an id for 50 days by default.
//!
//! # Where to start
//!
//! - A service consists of an [`Endpoint`], its handlers, which use a [`Tx`], and a [`Worker`]. A
//!   [`Producer`] submits messages from outside of handlers, for example in a web server.
//! - [`memory`] runs an endpoint in a test. `cloakroom-aws` runs it on DynamoDB, S3 and SQS.
//! - [`docs`] has the [guarantees](docs::guarantees), the [operation](docs::operations), how to
//!   [test your own handlers](docs::testing), the [costs](docs::costs), and the reasons for the
//!   design ([protocol](docs::protocol), [proof](docs::proof), [decisions](docs::decisions)).
//!
//! # How the crate is laid out
//!
//! A module may import the modules below it in this table, but no module above it. A test enforces
//! this.
//!
//! | module | contents |
//! |---|---|
//! | [`conformance`] | the laws: tests that every backend must pass |
//! | [`memory`] | a backend in memory, on virtual time |
//! | [`recovery`] | finishing committed messages without handlers, for operators |
//! | [`worker`] | receiving from a queue: order, visibility timeouts, concurrency, batches |
//! | [`endpoint`] | building an endpoint and a producer, and checking their requirements |
//! | [`engine`] | performing the steps of the protocol for messages of one partition |
//! | [`handler`] | the arguments and results of a handler: state, message, [`Tx`] |
//! | [`observe`] | events, metrics, traces and consumption |
//! | [`ports`] | the traits that a backend implements, and decorators for them |
//! | [`format`](mod@format) | the stored formats of names, envelopes and records |
//! | [`error`] | errors of ports and of the library |
//! | [`protocol`] | the order of steps, as pure functions |

pub mod conformance;
pub mod docs;
pub mod endpoint;
pub mod engine;
pub mod error;
pub mod format;
pub mod handler;
pub mod memory;
pub mod observe;
pub mod ports;
pub mod protocol;
pub mod recovery;
pub mod worker;

pub use endpoint::Endpoint;
pub use endpoint::producer::{Producer, Submission};
pub use engine::settings::{Dedupe, EndpointSettings};
pub use error::{Error, ErrorKind, PortError};
pub use format::name::{MessageId, Partition};
pub use format::timestamp::Timestamp;
pub use handler::error::{Handled, HandlerError};
pub use handler::message::{Message, State};
pub use handler::tx::Tx;
pub use ports::bundle::Ports;
pub use ports::commit::Condition;
pub use ports::queue::Delivery;
pub use protocol::step::Outcome;
pub use worker::Worker;
pub use worker::settings::WorkerSettings;
