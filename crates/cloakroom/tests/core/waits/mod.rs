//! Every wait ends, also if ports do not answer. The backend is in memory, in virtual time.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod calls;
mod queues;
mod silent;
mod worker;
