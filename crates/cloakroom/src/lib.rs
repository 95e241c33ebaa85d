//! Exactly-once message processing on DynamoDB, S3 and SQS.
//!
//! An [`Endpoint`] has the handlers for one kind of entity. It processes a message in one transaction on the
//! entity's partition: the transaction writes the new state and, with it, the messages to send. If a worker stops at any
//! point, the next worker that receives the message continues from there. A message that was processed is recognised
//! because its payload is gone: forever if the message has a claim, for 50 days by default if it has only an id.
//!
//! # Where to start
//!
//! - [`Endpoint`], [`Tx`] and [`Worker`] are what a service is made of. [`Producer`] submits messages from outside of
//!   handlers, such as a web server.
//! - [`memory`] runs an endpoint in a test. `cloakroom-aws` runs it on DynamoDB, S3 and SQS.
//! - [`docs`] says what is promised ([guarantees](docs::guarantees)), how to [run it](docs::operations), how to
//!   [test your own handlers](docs::testing), what it [costs](docs::costs), and why it is built as it is
//!   ([protocol](docs::protocol), [proof](docs::proof), [decisions](docs::decisions)).
//!
//! # How the crate is laid out
//!
//! Each module may import those below it in this table, and none above it. A test holds that direction.
//!
//! | module | what it owns |
//! |---|---|
//! | [`conformance`] | the laws that every backend passes |
//! | [`memory`] | a backend in memory, on virtual time |
//! | [`recovery`] | finishing committed messages without handlers, for operators |
//! | [`worker`] | receiving from a queue: order, visibility timeouts, concurrency, batches |
//! | [`endpoint`] | building an endpoint and a producer, and checking what they need |
//! | [`engine`] | performing the steps of the protocol for messages of one partition |
//! | [`handler`] | what a handler sees: state, message, [`Tx`] |
//! | [`observe`] | events, metrics, traces and consumption |
//! | [`ports`] | the traits that a backend implements, and decorators for them |
//! | [`format`](mod@format) | names, envelopes and records as they are written |
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
