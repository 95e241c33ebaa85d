//! The ports of queues, and messages on their way in and out.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::error::PortError;

/// A message as it is given to a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueMessage {
    /// The encoded envelope.
    pub body: String,
    /// At most ten, counting those that the adapter adds.
    pub attributes: BTreeMap<String, String>,
    /// Seconds for which it is held back; 0 to 900. FIFO queues cannot do that for a single message.
    pub delay_s: u32,
    /// Message group: order on FIFO queues, fairness on standard ones.
    pub group: Option<String>,
    /// Deduplication id; FIFO queues only. Of messages with the same one, those that are sent within five minutes of the
    /// first are not delivered.
    pub deduplication: Option<String>,
}

/// A message as it comes from a queue, leased to one receiver until its visibility timeout ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The queue's own id of the message: the same in every delivery of it, another one when it is sent anew. A foreign
    /// message that brings no identity has this one; see [`intake`](crate::engine::intake).
    pub id: String,
    /// The encoded envelope; or whatever a foreign producer has sent.
    pub body: String,
    /// The message's attributes.
    pub attributes: BTreeMap<String, String>,
    /// What acknowledges this delivery.
    pub receipt: String,
    /// How often the message was received, with this time; from 1.
    pub receive_count: u32,
    /// Message group, if it has one.
    pub group: Option<String>,
}

/// One queue.
///
/// - Delivery is at least once, in any order, and may come late.
/// - Every method that takes several entries answers with one result for each, in order; the failure of
///   one does not touch the others. Any number may be given: the adapter splits them.
/// - A FIFO queue, whose name ends in `.fifo`, takes the messages of one group in the order in which they are given: behind
///   one that failed, no other of its group is sent, and the error of each says so. See [`fifo`](crate::ports::fifo).
/// - A message keeps its id in every delivery, and when the queue itself moves it to its dead-letter queue.
/// - `receive` waits up to `wait` for the first message and returns at most `max` (up to 10), each leased for
///   `visibility`; no message is not an error. It MUST NOT lose messages when it is dropped: their lease ends.
/// - `delete` of what is gone already is a success. A receipt that the queue never gave is an error of its
///   entry. `extend` MAY refuse a receipt whose lease has ended.
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// The name by which routes call it.
    fn name(&self) -> &str;

    /// Sends.
    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>>;

    /// Receives.
    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError>;

    /// Acknowledges the deliveries of these receipts.
    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>>;

    /// Sets the time, from now, after which each delivery's message may be received again.
    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>>;
}

/// Queues by name.
#[async_trait]
pub trait Queues: Send + Sync + fmt::Debug {
    /// The queue of this name.
    ///
    /// # Errors
    /// One that names the queue and says how to make it, if there is none.
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError>;
}
