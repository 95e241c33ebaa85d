//! Queues that leave some requests unanswered.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    ports::{Queue, QueueMessage, Queues},
};

/// Says of each extension whether it is done and answered.
type Answers = Arc<Mutex<dyn FnMut() -> bool + Send>>;

/// Queues of which some extensions of leases are neither done nor answered.
pub(crate) struct Mute<Q: ?Sized> {
    behind: Arc<Q>,
    answers: Answers,
}

impl Mute<dyn Queues> {
    pub(crate) fn new(queues: Arc<dyn Queues>, answers: impl FnMut() -> bool + Send + 'static) -> Self {
        Self { behind: queues, answers: Arc::new(Mutex::new(answers)) }
    }
}

impl<Q: ?Sized + fmt::Debug> fmt::Debug for Mute<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.behind.fmt(f)
    }
}

#[async_trait]
impl Queues for Mute<dyn Queues> {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let behind = self.behind.open(name).await?;
        Ok(Arc::new(Mute::<dyn Queue> { behind, answers: Arc::clone(&self.answers) }))
    }
}

#[async_trait]
impl Queue for Mute<dyn Queue> {
    fn name(&self) -> &str {
        self.behind.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        self.behind.send(messages).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        self.behind.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.behind.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        let is_answered = (self.answers.lock().unwrap())();
        if !is_answered {
            std::future::pending::<()>().await;
        }
        self.behind.extend(receipts, visibility).await
    }
}
