//! The ports: the traits that a backend implements, the values that they exchange, and decorators
//! for them.
//!
//! The documentation of each trait is its contract. [`conformance`](crate::conformance) is the same
//! contract as tests, called laws, that every backend must pass. The decorators limit the duration
//! of calls, fill batches and choose payload stores. Each decorator also passes the laws of its
//! port. This module does not use handlers and does not decide the order of steps.

pub(crate) mod backoff;
pub(crate) mod batcher;
pub(crate) mod batching;
pub(crate) mod bounded;
pub(crate) mod bundle;
pub(crate) mod clock;
pub(crate) mod commit;
pub mod fifo;
pub(crate) mod limits;
pub(crate) mod pace;
pub(crate) mod partition_store;
pub(crate) mod payload_routing;
pub(crate) mod payload_store;
pub mod placement;
pub(crate) mod queue;
pub(crate) mod records;

pub use backoff::Backoff;
pub use batcher::Batcher;
pub use batching::BatchingQueue;
pub use bounded::Bounded;
pub use clock::{Clock, Random, SystemRandom};
pub use commit::{
    ClaimsStored, Commit, Committed, Conflict, Embedded, Failures, ItemAction, ItemWrite, Placement, RecordKey,
    Sharing, StateRead, StateWrite,
};
pub use limits::Limits;
pub use pace::Pace;
pub use partition_store::PartitionStore;
pub use payload_routing::RoutedPayloads;
pub use payload_store::PayloadStore;
pub use queue::{Queue, QueueMessage, Queues};
pub use records::{Found, RecordPage, Records, Segment};
