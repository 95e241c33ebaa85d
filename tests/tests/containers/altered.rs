//! A queue that answers one thing in another way than the one behind it.

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

/// What is answered in another way.
#[derive(Debug)]
pub(crate) enum Alteration {
    /// Nothing is sent.
    NothingIsSent,
    /// Deletes of what was deleted succeed: these receipts were.
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
            Alteration::NothingIsSent => {
                messages.iter().map(|_| Err(PortError::new("send", "cut off").without_effect().permanent())).collect()
            }
            Alteration::DeletesRepeat(_) => self.queue.send(messages).await,
        }
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        self.queue.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let answers = self.queue.delete(receipts.clone()).await;
        let Alteration::DeletesRepeat(deleted) = &self.alteration else { return answers };
        let mut deleted = deleted.lock().unwrap();
        let each = receipts.into_iter().zip(answers);
        // Told apart from a receipt that was never given, whose delete goes on to fail.
        each.map(|(receipt, answer)| {
            if answer.is_ok() || deleted.contains(&receipt) {
                deleted.insert(receipt);
                Ok(())
            } else {
                answer
            }
        })
        .collect()
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.queue.extend(receipts, visibility).await
    }
}

/// Queues of which one sends nothing.
#[derive(Debug)]
pub(crate) struct OneCutOff {
    pub(crate) queues: Arc<dyn Queues>,
    pub(crate) cut_off: &'static str,
}

#[async_trait]
impl Queues for OneCutOff {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let queue = self.queues.open(name).await?;
        if name == self.cut_off { Ok(Arc::new(Altered::new(queue, Alteration::NothingIsSent))) } else { Ok(queue) }
    }
}
