//! The ports: the traits that a backend implements, the values that they exchange, and decorators for them.
//!
//! The documentation of each trait is its contract. [`conformance`](crate::conformance) is the same contract as tests that
//! every backend passes. The decorators bound calls in time, fill batches and choose payload stores; each of them passes
//! the laws of its port, too. This module knows no handler and decides nothing about the order of steps.

pub(crate) mod backoff;
pub(crate) mod batcher;
pub(crate) mod batching;
pub(crate) mod bounded;
pub(crate) mod bundle;
pub(crate) mod clock;
pub(crate) mod commit;
pub mod fifo;
pub(crate) mod limits;
pub(crate) mod partition_store;
pub(crate) mod payload_routing;
pub(crate) mod payload_store;
pub mod placement;
pub(crate) mod queue;
pub(crate) mod records;

pub use backoff::Backoff;
pub use batcher::{Batcher, Pace};
pub use batching::BatchingQueue;
pub use bounded::Bounded;
pub use clock::{Clock, Random, SystemRandom};
pub use commit::{
    ClaimsStored, Commit, Committed, Conflict, Embedded, Failures, ItemAction, ItemWrite, Placement, RecordKey,
    Sharing, StateRead, StateWrite,
};
pub use limits::Limits;
pub use partition_store::PartitionStore;
pub use payload_routing::RoutedPayloads;
pub use payload_store::PayloadStore;
pub use queue::{Queue, QueueMessage, Queues};
pub use records::{Found, RecordPage, Records, Segment};
