//! Batching of sends and deletes: calls that happen at the same time share requests of up to ten
//! entries.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    error::PortError,
    ports::{
        batcher::{Batcher, waiting::Answer},
        clock::Clock,
        fifo,
        pace::Pace,
        queue::{Delivery, Queue, QueueMessage},
    },
};

/// The maximum number of entries in an SQS request.
const BATCH: usize = 10;

/// A queue whose sends and deletes [wait a short time](Pace::Linger) for other calls, so that a
/// request carries up to ten.
///
/// The messages of a group on a FIFO queue keep their order. See [`fifo`](crate::ports::fifo).
#[derive(Debug)]
pub struct BatchingQueue {
    queue: Arc<dyn Queue>,
    sends: Batcher<QueueMessage, ()>,
    deletes: Batcher<String, ()>,
}

impl BatchingQueue {
    /// Creates a queue whose sends and deletes on `queue` wait for up to `linger`.
    pub fn new(queue: Arc<dyn Queue>, clock: Arc<dyn Clock>, linger: Duration) -> Self {
        let what = format!("batch to queue `{}`", queue.name());
        let sends = Batcher::new(&*what, BATCH, Pace::Linger(linger), Arc::clone(&clock));
        Self { queue, sends, deletes: Batcher::new(what, BATCH, Pace::Linger(linger), clock) }
    }

    /// Sets the time after which a send or a delete in a shared request fails if the request is not
    /// answered. Default: 10 seconds.
    #[must_use]
    pub fn answers_within(self, answer_max: Duration) -> Self {
        let Self { queue, sends, deletes } = self;
        Self { queue, sends: sends.answers_within(answer_max), deletes: deletes.answers_within(answer_max) }
    }
}

#[async_trait]
impl Queue for BatchingQueue {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Answer<()>> {
        let request = |messages| self.queue.send(messages);
        match fifo::is_fifo(self.name()) {
            // SUBTLE: (1) a caller's first message of a group enters a batch. (2) Its second one
            // would enter the next batch. (3) The second batch overtakes the first one, or the
            // first one fails. The queue would deliver the messages in the wrong order
            // (`message_group_keeps_its_order_under_send_failures`). So the second message enters a batch only
            // after the queue has accepted the first one. Batches are filled with messages of other
            // groups and callers.
            true => Box::pin(fifo::in_turn(self.name(), messages, |round| self.sends.all(round, &request))).await,
            false => self.sends.all(messages, &request).await,
        }
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        self.queue.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Answer<()>> {
        self.deletes.all(receipts, &|receipts| self.queue.delete(receipts)).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Answer<()>> {
        self.queue.extend(receipts, visibility).await
    }
}
