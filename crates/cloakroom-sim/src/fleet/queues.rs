//! All queues of a fleet: those that workers receive from, and those that they send to.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    error::Retry,
    ports::{Clock as _, Queue, QueueMessage, Queues, fifo::is_fifo},
};

use crate::fleet::{
    queue::{BATCH, Inbox},
    services::Services,
};

/// A queue for outgoing messages. Its receivers are not part of the fleet.
#[derive(Debug)]
struct OutgoingQueue {
    name: String,
    services: Arc<Services>,
}

#[async_trait]
impl Queue for OutgoingQueue {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        self.services.answer(self.services.latencies.send).await;
        let sent = messages
            .chunks(BATCH)
            .try_for_each(|batch| self.services.queue("SendMessageBatch", is_fifo(&self.name), Some(batch.len())));
        messages.iter().map(|_| sent.clone()).collect()
    }

    async fn receive(&self, _: usize, wait: Duration, _: Duration) -> Result<Vec<Delivery>, PortError> {
        self.services.clock.sleep(wait).await;
        Ok(Vec::new())
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let unknown =
            || PortError::new("DeleteMessageBatch", "no such receipt").without_effect().because(Retry::Failure);
        receipts.iter().map(|_| Err(unknown().permanent().public())).collect()
    }

    async fn extend(&self, receipts: Vec<String>, _: Duration) -> Vec<Result<(), PortError>> {
        self.delete(receipts).await
    }
}

/// The inboxes, and an outgoing queue for every other name.
#[derive(Debug)]
pub(crate) struct FleetQueues {
    pub(crate) inboxes: BTreeMap<String, Arc<Inbox>>,
    pub(crate) services: Arc<Services>,
}

#[async_trait]
impl Queues for FleetQueues {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        Ok(match self.inboxes.get(name) {
            Some(inbox) => Arc::<Inbox>::clone(inbox),
            None => Arc::new(OutgoingQueue { name: name.to_owned(), services: Arc::clone(&self.services) }),
        })
    }
}
