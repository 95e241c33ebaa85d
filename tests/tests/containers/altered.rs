//! A queue that answers one kind of call differently from the queue that it wraps.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    ports::{Queue, QueueMessage, Queues},
};

/// The call that is answered differently.
#[derive(Debug)]
pub(crate) enum Alteration {
    /// Every send fails.
    SendsFail,
    /// A second delete of a message succeeds. Holds the receipts that were deleted.
    DeletesRepeat(Mutex<BTreeSet<String>>),
}

#[derive(Debug)]
pub(crate) struct Altered {
    queue: Arc<dyn Queue>,
    alteration: Alteration,
}

impl Altered {
    pub(crate) const fn new(queue: Arc<dyn Queue>, alteration: Alteration) -> Self {
        Self { queue, alteration }
    }
}

#[async_trait]
impl Queue for Altered {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        match self.alteration {
            Alteration::SendsFail => {
                messages.iter().map(|_| Err(PortError::new("send", "cut off").without_effect().permanent())).collect()
            }
            Alteration::DeletesRepeat(_) => self.queue.send(messages).await,
        }
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        self.queue.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let results = self.queue.delete(receipts.clone()).await;
        let Alteration::DeletesRepeat(deleted) = &self.alteration else { return results };
        let mut deleted = deleted.lock().unwrap();
        let each = receipts.into_iter().zip(results);
        // A receipt that was never deleted may be invalid, so its delete still fails.
        each.map(|(receipt, result)| {
            if result.is_ok() || deleted.contains(&receipt) {
                deleted.insert(receipt);
                Ok(())
            } else {
                result
            }
        })
        .collect()
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.queue.extend(receipts, visibility).await
    }
}

/// Queues of which one fails every send.
#[derive(Debug)]
pub(crate) struct OneFailingQueue {
    pub(crate) queues: Arc<dyn Queues>,
    pub(crate) failing: &'static str,
}

#[async_trait]
impl Queues for OneFailingQueue {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let queue = self.queues.open(name).await?;
        if name == self.failing { Ok(Arc::new(Altered::new(queue, Alteration::SendsFail))) } else { Ok(queue) }
    }
}
