//! Order within partitions and message groups, for workers and for batches. The backend is in
//! memory, in virtual time.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod batch;
mod bench;
mod drain;
mod fifo;
mod lease;
mod mute;
