//! The port of queues on SQS: requests of at most ten entries, and the format of messages.
//!
//! This module sends, receives, extends and deletes. `cloakroom::ports::BatchingQueue` decides
//! which concurrent messages share a request.

pub(crate) mod batch;
pub(crate) mod message;
pub(crate) mod queue;
