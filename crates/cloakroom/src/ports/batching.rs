//! Batches of ten out of single sends and deletes that happen at the same time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    error::PortError,
    ports::{
        batcher::{Batcher, Pace, waiting::Answer},
        clock::Clock,
        fifo,
        queue::{Delivery, Queue, QueueMessage},
    },
};

/// What SQS takes in one request.
const BATCH: usize = 10;

/// A queue whose sends and deletes [wait a little](Pace::Linger) for others, so that requests carry up to ten of them.
///
/// The order of a group on a FIFO queue is kept: see [`fifo`](crate::ports::fifo).
#[derive(Debug)]
pub struct BatchingQueue {
    queue: Arc<dyn Queue>,
    sends: Batcher<QueueMessage, ()>,
    deletes: Batcher<String, ()>,
}

impl BatchingQueue {
    /// Lets sends and deletes on `queue` wait for up to `linger`.
    pub fn new(queue: Arc<dyn Queue>, clock: Arc<dyn Clock>, linger: Duration) -> Self {
        let what = format!("batch to queue `{}`", queue.name());
        let sends = Batcher::new(&*what, BATCH, Pace::Linger(linger), Arc::clone(&clock));
        Self { queue, sends, deletes: Batcher::new(what, BATCH, Pace::Linger(linger), clock) }
    }

    /// Sets the time after which a send or a delete that shares a request fails if that has no answer. Default: 10
    /// seconds.
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
            // SUBTLE: batches overtake each other, so a caller's next message of a group enters one only when the one before
            // it was taken (`a_group_keeps_its_order_whatever_fails`). Batches fill up across groups and callers.
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
