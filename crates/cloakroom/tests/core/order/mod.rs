//! Order within partitions and groups, for workers and for batches, over memory and on virtual time.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod batch;
mod bench;
mod drain;
mod fifo;
mod lease;
mod mute;
