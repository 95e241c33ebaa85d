//! Queues that count their requests.

use super::*;

/// Queues that count requests as SQS bills them.
#[derive(Debug)]
pub(super) struct CountedQueues {
    pub(super) queues: Arc<dyn Queues>,
    pub(super) requests: Arc<AtomicUsize>,
}

#[async_trait]
impl Queues for CountedQueues {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        Ok(Arc::new(CountedQueue { queue: self.queues.open(name).await?, requests: Arc::clone(&self.requests) }))
    }
}

#[derive(Debug)]
pub(super) struct CountedQueue {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) requests: Arc<AtomicUsize>,
}

impl CountedQueue {
    pub(super) fn count(&self, entries: usize) {
        self.requests.fetch_add(entries.div_ceil(10), Ordering::SeqCst);
    }
}

#[async_trait]
impl Queue for CountedQueue {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        self.count(messages.len());
        self.queue.send(messages).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        self.count(1);
        self.queue.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.count(receipts.len());
        self.queue.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.count(receipts.len());
        self.queue.extend(receipts, visibility).await
    }
}
