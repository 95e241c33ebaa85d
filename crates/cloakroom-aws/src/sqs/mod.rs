//! The port of queues on SQS: requests of ten entries, and how messages are written in them.
//!
//! This module sends, receives, extends and deletes. It does not decide which messages share a request in time:
//! `cloakroom::ports::BatchingQueue` does.

pub(crate) mod batch;
pub(crate) mod message;
pub(crate) mod queue;
