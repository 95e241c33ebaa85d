//! Queues that do not respond to some requests.

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

/// Returns for each extension whether it is performed and answered.
type IsAnswered = Arc<Mutex<dyn FnMut() -> bool + Send>>;

/// Queues that neither perform nor answer some extensions of visibility timeouts.
pub(crate) struct SilentExtensions<Q: ?Sized> {
    inner: Arc<Q>,
    is_answered: IsAnswered,
}

impl SilentExtensions<dyn Queues> {
    pub(crate) fn new(queues: Arc<dyn Queues>, is_answered: impl FnMut() -> bool + Send + 'static) -> Self {
        Self { inner: queues, is_answered: Arc::new(Mutex::new(is_answered)) }
    }
}

impl<Q: ?Sized + fmt::Debug> fmt::Debug for SilentExtensions<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Queues for SilentExtensions<dyn Queues> {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let inner = self.inner.open(name).await?;
        Ok(Arc::new(SilentExtensions::<dyn Queue> { inner, is_answered: Arc::clone(&self.is_answered) }))
    }
}

#[async_trait]
impl Queue for SilentExtensions<dyn Queue> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        self.inner.send(messages).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        self.inner.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.inner.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        let responds = (self.is_answered.lock().unwrap())();
        if !responds {
            std::future::pending::<()>().await;
        }
        self.inner.extend(receipts, visibility).await
    }
}
