//! A time limit for every call to a port. A call that is not answered in time fails, so that no
//! caller waits forever.

mod stores;

use std::{fmt, future::poll_fn, ops::Deref, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{FutureExt as _, future::BoxFuture};

use crate::{
    error::PortError,
    ports::{
        bundle::Ports,
        clock::Clock,
        queue::{Delivery, Queue, QueueMessage, Queues},
    },
};

/// A port whose calls end after a time limit, the bound, measured on the given clock.
///
/// A call without an answer within the bound is dropped. It fails with a [`PortError`] that [may be
/// repeated](PortError::may_be_repeated). Unless the call only reads, the error reports that the
/// call [may have taken effect](PortError::may_have_happened). The text names the call, the target
/// and the bound. A batch call fails with one error for each entry. [`Queue::receive`] ends after
/// its own wait time plus the bound.
///
/// Endpoints, producers and recovery bound their ports themselves
/// ([`call_ms_max`](crate::EndpointSettings::call_ms_max)). This type is for code that calls a port
/// directly.
///
/// The bound costs nothing if a port answers immediately, because the timer starts only when a call
/// has to wait.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use cloakroom::{memory::Memory, ports::{Bounded, PartitionStore}, protocol::Consistency};
///
/// let memory = Memory::new();
/// let store: Arc<dyn PartitionStore> = memory.store.clone();
/// let store = Bounded::new(store, memory.clock.clone(), Duration::from_secs(10));
/// let read = memory.run(store.read_state(&"p".into(), "orders", Consistency::Strong))?;
/// assert!(read.state.is_none());
/// # Ok::<(), cloakroom::PortError>(())
/// ```
pub struct Bounded<P: ?Sized> {
    port: Arc<P>,
    clock: Arc<dyn Clock>,
    bound: Duration,
}

impl<P: ?Sized> Bounded<P> {
    /// Creates a port that bounds each call to `port`.
    pub fn new(port: Arc<P>, clock: Arc<dyn Clock>, bound: Duration) -> Self {
        Self { port, clock, bound }
    }

    /// Returns the answer of a call, or an error if there is no answer within the bound.
    async fn call<T>(
        &self,
        what: impl FnOnce() -> String,
        call: BoxFuture<'_, Result<T, PortError>>,
    ) -> Result<T, PortError> {
        answer_within(&*self.clock, self.bound, call).await.unwrap_or_else(|| Err(unanswered(what(), self.bound)))
    }

    /// Returns the answer of a call that changes nothing, or an error if there is no answer within
    /// the bound.
    async fn read<T>(
        &self,
        what: impl FnOnce() -> String,
        call: BoxFuture<'_, Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let answer = answer_within(&*self.clock, self.bound, call).await;
        answer.unwrap_or_else(|| Err(unanswered(what(), self.bound).without_effect()))
    }

    /// Returns the answers of a call with `entries` entries, or one error for each entry if there
    /// is no answer within the bound.
    async fn batch(
        &self,
        what: impl FnOnce() -> String,
        entries: usize,
        call: BoxFuture<'_, Vec<Result<(), PortError>>>,
    ) -> Vec<Result<(), PortError>> {
        let answers = answer_within(&*self.clock, self.bound, call).await;
        answers.unwrap_or_else(|| vec![Err(unanswered(what(), self.bound)); entries])
    }
}

impl<P: fmt::Debug + ?Sized> fmt::Debug for Bounded<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").field("port", &self.port).field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// Returns what `call` returns, or `None` if that takes longer than `bound`.
pub(crate) async fn answer_within<T>(
    clock: &dyn Clock,
    bound: Duration,
    mut call: impl Future<Output = T> + Unpin,
) -> Option<T> {
    // Most calls to in-memory ports are ready at their first poll. A timer for each call would cost
    // more than the call.
    let mut timer = None;
    poll_fn(|context| {
        let answer = call.poll_unpin(context);
        if answer.is_ready() {
            return answer.map(Some);
        }
        let timer = timer.get_or_insert_with(|| clock.sleep(bound));
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// Returns the error of a call that was not answered.
fn unanswered(what: String, bound: Duration) -> PortError {
    let cause = format!(
        "no answer within {} ms; check the network between this process and the service, and the endpoint and the \
         timeouts of the service's client",
        bound.as_millis()
    );
    // The text contains neither a key nor data, so it may be logged.
    PortError::new(what, cause).public()
}

#[async_trait]
impl Queues for Bounded<dyn Queues> {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let port = self.read(|| format!("opening queue `{name}`"), self.port.open(name)).await?;
        Ok(Arc::new(Bounded { port, clock: Arc::clone(&self.clock), bound: self.bound }))
    }
}

#[async_trait]
impl Queue for Bounded<dyn Queue> {
    fn name(&self) -> &str {
        self.port.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        let what = || format!("sending to queue `{}`", self.name());
        self.batch(what, messages.len(), self.port.send(messages)).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let bound = wait.saturating_add(self.bound);
        let received = answer_within(&*self.clock, bound, self.port.receive(max, wait, visibility)).await;
        received.unwrap_or_else(|| Err(unanswered(format!("receiving from queue `{}`", self.name()), bound)))
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let what = || format!("deleting messages of queue `{}`", self.name());
        self.batch(what, receipts.len(), self.port.delete(receipts)).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        let what = || format!("changing the visibility timeout of messages of queue `{}`", self.name());
        self.batch(what, receipts.len(), self.port.extend(receipts, visibility)).await
    }
}

/// Ports whose calls are all bounded.
///
/// The engine requires this type, so that no component can use ports without a bound.
#[derive(Clone, Debug)]
pub(crate) struct BoundedPorts(Ports);

impl BoundedPorts {
    pub(crate) fn new(ports: Ports, bound: Duration) -> Self {
        let Ports { store, payloads, queues, clock, random, limits } = ports;
        Self(Ports {
            store: Arc::new(Bounded::new(store, Arc::clone(&clock), bound)),
            payloads: Arc::new(Bounded::new(payloads, Arc::clone(&clock), bound)),
            queues: Arc::new(Bounded::new(queues, Arc::clone(&clock), bound)),
            clock,
            random,
            limits,
        })
    }
}

impl Deref for BoundedPorts {
    type Target = Ports;

    fn deref(&self) -> &Ports {
        &self.0
    }
}

#[cfg(test)]
mod tests;
