//! Every wait ends: ports that do not answer, on virtual time.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod calls;
mod queues;
mod silent;
mod worker;
