//! All queues of a fleet: those that workers receive from, and what lies outside.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    error::Retry,
    ports::{Clock as _, Queue, QueueMessage, Queues, fifo::is_fifo},
};

use super::{
    cloud::Cloud,
    queue::{BATCH, Inbox},
};

/// The queue that outgoing messages go to: who receives them is another fleet.
#[derive(Debug)]
struct Outside {
    name: String,
    cloud: Arc<Cloud>,
}

#[async_trait]
impl Queue for Outside {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        self.cloud.answer(self.cloud.latencies.send).await;
        let sent = messages
            .chunks(BATCH)
            .try_for_each(|batch| self.cloud.queue("SendMessageBatch", is_fifo(&self.name), Some(batch.len())));
        messages.iter().map(|_| sent.clone()).collect()
    }

    async fn receive(&self, _: usize, wait: Duration, _: Duration) -> Result<Vec<Delivery>, PortError> {
        self.cloud.clock.sleep(wait).await;
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

/// The inboxes, and whatever else is asked for.
#[derive(Debug)]
pub(crate) struct Everywhere {
    pub(crate) inboxes: BTreeMap<String, Arc<Inbox>>,
    pub(crate) cloud: Arc<Cloud>,
}

#[async_trait]
impl Queues for Everywhere {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        Ok(match self.inboxes.get(name) {
            Some(inbox) => Arc::<Inbox>::clone(inbox),
            None => Arc::new(Outside { name: name.to_owned(), cloud: Arc::clone(&self.cloud) }),
        })
    }
}
