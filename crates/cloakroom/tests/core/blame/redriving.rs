//! A queue that moves messages to its dead-letter queue, as SQS does.

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    ports::{Queue, QueueMessage},
};
use std::{sync::Arc, time::Duration};

/// A queue that moves a message to the dead-letter queue after too many receives, as SQS does.
#[derive(Debug)]
pub(super) struct Redriving {
    pub(super) queue: Arc<dyn Queue>,
    pub(super) dead: Arc<dyn Queue>,
}

/// `maxReceiveCount`, as provisioned.
const RECEIVES_MAX: u32 = 16;

#[async_trait]
impl Queue for Redriving {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        self.queue.send(messages).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let mut deliveries = Vec::new();
        for delivery in self.queue.receive(max, wait, visibility).await? {
            if delivery.receive_count <= RECEIVES_MAX {
                deliveries.push(delivery);
                continue;
            }
            let message = QueueMessage { body: delivery.body, ..QueueMessage::default() };
            self.dead.send(vec![message]).await.into_iter().collect::<Result<(), _>>()?;
            self.queue.delete(vec![delivery.receipt]).await.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(deliveries)
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.queue.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.queue.extend(receipts, visibility).await
    }
}
