//! The contract of each port, as laws that can be run. Every backend must pass them, in memory or
//! in AWS. Every decorator must pass them, too, around a backend that passes them.
//!
//! A broken law panics with its name and the value that it found. `scope` becomes part of every
//! key, so the laws can run on a table, bucket or queue that is in use. It must be new for every
//! run, with at most 40 ASCII characters. A run does not delete the data that it writes.
//!
//! ```
//! use cloakroom::{conformance, memory::Memory};
//!
//! let memory = Memory::with_queues(["laws"]);
//! let queue = memory.queues.get("laws");
//! memory.run(async {
//!     conformance::partition_store(&*memory.store, "run-1").await;
//!     conformance::payload_store(&*memory.payloads, "run-1").await;
//!     conformance::records(&*memory.store, &*memory.store, "run-1").await;
//!     conformance::queue(&*queue, &*memory.clock, "run-1").await;
//!     conformance::queues(&*memory.queues, "laws", "run-1").await;
//! });
//! ```

mod law;
mod partition_store;
mod payload_store;
mod queue;
mod queues;
mod records;

pub use partition_store::partition_store;
pub use payload_store::payload_store;
pub use queue::queue;
pub use queues::queues;
pub use records::records;
