//! The contract of each port as laws that can be run: every backend passes them, in memory or in the
//! cloud, and so does every decorator around one. A backend that does not is not used.
//!
//! A law that is broken panics, and tells its name and what was seen. `scope` becomes part of every key, so
//! that the laws can run on a table, bucket or queue that others use at the same time; it must be fresh for
//! every run, and of at most 40 ASCII characters. What a law has written stays behind.
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
