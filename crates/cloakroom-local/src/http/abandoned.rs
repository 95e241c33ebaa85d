//! Requests whose clients disconnected before the response.
//!
//! A service does not notice that a client has disconnected, and still performs the request. So an
//! abandoned long poll may still receive messages, and a write may still take effect.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// The abandoned requests of one server. They end when the server ends.
pub(super) struct AbandonedRequests {
    runtime: Handle,
    /// `None` when no more requests can be added.
    requests: Mutex<Option<JoinSet<()>>>,
}

impl AbandonedRequests {
    pub(super) fn new(runtime: Handle) -> Self {
        Self { runtime, requests: Mutex::new(Some(JoinSet::new())) }
    }

    fn requests(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complete(&self, request: impl Future<Output = ()> + Send + 'static) {
        if let Some(requests) = &mut *self.requests() {
            while requests.try_join_next().is_some() {}
            requests.spawn_on(request, &self.runtime);
        }
    }

    /// Waits until all abandoned requests are completed. The connections have ended, so no more can
    /// be added.
    pub(super) async fn completed(&self) {
        let requests = self.requests().take();
        if let Some(mut requests) = requests {
            while requests.join_next().await.is_some() {}
        }
    }
}

/// A request that is completed even if this future is dropped. Without `abandoned` it ends when the
/// future is dropped.
pub(super) struct CompletedRequest<F>
where
    F: Future + Send + 'static,
{
    request: Option<Pin<Box<F>>>,
    abandoned: Option<Arc<AbandonedRequests>>,
}

impl<F: Future + Send + 'static> CompletedRequest<F> {
    pub(super) fn new(request: F, abandoned: Option<Arc<AbandonedRequests>>) -> Self {
        Self { request: Some(Box::pin(request)), abandoned }
    }
}

impl<F: Future + Send + 'static> Future for CompletedRequest<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(request) = &mut self.request else { return Poll::Pending };
        let polled = request.as_mut().poll(cx);
        if polled.is_ready() {
            self.request = None;
        }
        polled
    }
}

impl<F: Future + Send + 'static> Drop for CompletedRequest<F> {
    fn drop(&mut self) {
        if let (Some(request), Some(abandoned)) = (self.request.take(), &self.abandoned) {
            abandoned.complete(async move {
                request.await;
            });
        }
    }
}
