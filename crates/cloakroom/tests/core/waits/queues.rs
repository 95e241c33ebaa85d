//! Queues on which some calls fail or are not answered.

use std::{
    fmt,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    memory::{Memory, MemoryClock},
    ports::{Clock, Queue, QueueMessage, Queues},
};

/// Whether a call is affected, given its name and its number among the calls of this name, from 0.
type Plan = Arc<dyn Fn(&str, usize) -> bool + Send + Sync>;

/// The queues of a memory, with faults.
pub(crate) struct FaultyQueues<Q: ?Sized> {
    inner: Arc<Q>,
    clock: Arc<MemoryClock>,
    delay: Duration,
    /// Calls that are not answered and have no effect.
    is_silent: Plan,
    /// Calls that fail with an error that may be repeated.
    fails: Plan,
    /// The names of the calls so far.
    pub(crate) calls: Arc<Mutex<Vec<String>>>,
}

impl FaultyQueues<dyn Queues> {
    /// Returns the queues of this memory, without faults.
    pub(crate) fn over(memory: &Memory) -> Self {
        Self {
            inner: memory.queues.clone(),
            clock: memory.clock.clone(),
            delay: Duration::ZERO,
            is_silent: Arc::new(|_, _| false),
            fails: Arc::new(|_, _| false),
            calls: Arc::default(),
        }
    }

    pub(crate) fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub(crate) fn silence(self, is_silent: impl Fn(&str, usize) -> bool + Send + Sync + 'static) -> Self {
        Self { is_silent: Arc::new(is_silent), ..self }
    }

    pub(crate) fn fail(self, fails: impl Fn(&str, usize) -> bool + Send + Sync + 'static) -> Self {
        Self { fails: Arc::new(fails), ..self }
    }
}

impl<Q: ?Sized> FaultyQueues<Q> {
    async fn call(&self, name: &str) -> Result<(), PortError> {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(name.to_owned());
            calls.iter().filter(|call| *call == name).count() - 1
        };
        if (self.is_silent)(name, number) {
            pending::<()>().await;
        }
        self.clock.sleep(self.delay).await;
        if (self.fails)(name, number) { Err(PortError::new(name, "cannot be reached")) } else { Ok(()) }
    }
}

impl<Q: ?Sized> fmt::Debug for FaultyQueues<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyQueues").finish_non_exhaustive()
    }
}

#[async_trait]
impl Queues for FaultyQueues<dyn Queues> {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        self.call("open").await?;
        Ok(Arc::new(FaultyQueues::<dyn Queue> {
            inner: self.inner.open(name).await?,
            clock: self.clock.clone(),
            delay: self.delay,
            is_silent: self.is_silent.clone(),
            fails: self.fails.clone(),
            calls: self.calls.clone(),
        }))
    }
}

#[async_trait]
impl Queue for FaultyQueues<dyn Queue> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        match self.call("send").await {
            Ok(()) => self.inner.send(messages).await,
            Err(error) => vec![Err(error); messages.len()],
        }
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        self.call("receive").await?;
        self.inner.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        match self.call("delete").await {
            Ok(()) => self.inner.delete(receipts).await,
            Err(error) => vec![Err(error); receipts.len()],
        }
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        match self.call("extend").await {
            Ok(()) => self.inner.extend(receipts, visibility).await,
            Err(error) => vec![Err(error); receipts.len()],
        }
    }
}
