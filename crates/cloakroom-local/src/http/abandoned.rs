//! Requests whose clients went away before the answer.
//!
//! A service does not notice that a client went away: it carries the request out all the same. So a
//! long poll that is given up may still receive messages, and a write may still happen.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// The abandoned requests of one server. They end with it.
pub(super) struct Abandoned {
    runtime: Handle,
    /// `None` as soon as there can be no more.
    requests: Mutex<Option<JoinSet<()>>>,
}

impl Abandoned {
    pub(super) fn new(runtime: Handle) -> Self {
        Self { runtime, requests: Mutex::new(Some(JoinSet::new())) }
    }

    fn requests(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(&self, request: impl Future<Output = ()> + Send + 'static) {
        if let Some(requests) = &mut *self.requests() {
            while requests.try_join_next().is_some() {}
            requests.spawn_on(request, &self.runtime);
        }
    }

    /// Waits until all of them are carried out. The connections have ended, so there will be no more.
    pub(super) async fn carried_out(&self) {
        let requests = self.requests().take();
        if let Some(mut requests) = requests {
            while requests.join_next().await.is_some() {}
        }
    }

    /// Breaks them off.
    pub(super) fn break_off(&self) {
        // Dropped outside of the lock.
        let requests = self.requests().take();
        drop(requests);
    }
}

/// A request that is carried out to its end even if this future is dropped, if there is a place for it.
pub(super) struct CarriedOut<F>
where
    F: Future + Send + 'static,
{
    request: Option<Pin<Box<F>>>,
    abandoned: Option<Arc<Abandoned>>,
}

impl<F: Future + Send + 'static> CarriedOut<F> {
    pub(super) fn new(request: F, abandoned: Option<Arc<Abandoned>>) -> Self {
        Self { request: Some(Box::pin(request)), abandoned }
    }
}

impl<F: Future + Send + 'static> Future for CarriedOut<F> {
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

impl<F: Future + Send + 'static> Drop for CarriedOut<F> {
    fn drop(&mut self) {
        if let (Some(request), Some(abandoned)) = (self.request.take(), &self.abandoned) {
            abandoned.carry_out(async move {
                request.await;
            });
        }
    }
}
