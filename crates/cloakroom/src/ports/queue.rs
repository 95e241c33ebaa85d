//! The ports of queues, and their incoming and outgoing messages.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::error::PortError;

/// A message to send to a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueMessage {
    /// The encoded envelope.
    pub body: String,
    /// The message attributes. At most ten, including the attributes that the adapter adds.
    pub attributes: BTreeMap<String, String>,
    /// The delivery delay in seconds, from 0 to 900. FIFO queues do not support a delay for a
    /// single message.
    pub delay_s: u32,
    /// The message group. It provides order on FIFO queues, and fairness on standard queues.
    pub group: Option<String>,
    /// The deduplication id, for FIFO queues only. If several messages have the same one, the queue
    /// delivers the first. It drops those that are sent within five minutes after the first.
    pub deduplication: Option<String>,
}

/// A message that one receiver got from a queue. It is invisible to other receivers until its
/// visibility timeout ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The id of the message at the queue. It is the same in every delivery. If the message is sent
    /// again, it gets another one. A foreign message without an id of its own is identified by this
    /// one. See [`intake`](crate::engine::intake).
    pub id: String,
    /// The encoded envelope, or any text from a foreign producer.
    pub body: String,
    /// The message attributes.
    pub attributes: BTreeMap<String, String>,
    /// The receipt handle, which acknowledges this delivery.
    pub receipt: String,
    /// The receive count, which includes this delivery, so it starts at 1.
    pub receive_count: u32,
    /// The message group, if the message has one.
    pub group: Option<String>,
}

/// One queue.
///
/// - A message is delivered at least once. Messages may arrive late and in any order.
/// - Every method for several entries returns one result for each entry, in order. If one entry
///   fails, the others are not affected. A caller may pass any number of entries, and the adapter
///   splits them into requests.
/// - A FIFO queue, whose name ends in `.fifo`, accepts the messages of one group in the given
///   order. After a message failed, the later messages of its group are not sent, and their errors
///   report this. See [`fifo`](crate::ports::fifo).
/// - A message has the same id in every delivery, also after the queue itself has moved it to its
///   dead-letter queue.
/// - `receive` waits up to `wait` for the first message. It returns at most `max` messages (up to
///   10), each with the visibility timeout `visibility`. No message is not an error. If the call is
///   dropped, it MUST NOT lose messages: they become visible again when their visibility timeout
///   ends.
/// - `delete` returns success if the message is already gone. A receipt that the queue never issued
///   is an error of its entry. `extend` MAY refuse a receipt whose visibility timeout has ended.
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// Returns the name of the queue in routes.
    fn name(&self) -> &str;

    /// Sends messages.
    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>>;

    /// Receives messages, with a long poll of up to `wait`.
    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError>;

    /// Acknowledges the deliveries with these receipts.
    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>>;

    /// Sets the visibility timeouts of the deliveries with these receipts, counted from now.
    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>>;
}

/// The queues, by name.
#[async_trait]
pub trait Queues: Send + Sync + fmt::Debug {
    /// Returns the queue with this name.
    ///
    /// # Errors
    /// If the queue does not exist. The error names the queue and explains how to create it.
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError>;
}
