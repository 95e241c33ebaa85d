//! One run through a queue: receives every message once and makes the remaining ones visible again.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};

use crate::{
    error::Error,
    ports::{
        fifo::is_fifo,
        queue::{Delivery, Queue},
    },
    recovery::one_endpoint::Recovery,
};

/// Maximum number of messages in one receive.
const RECEIVE_MAX: usize = 10;
/// Maximum number of messages made visible again in one call.
const MAKE_VISIBLE_MAX: usize = 100;
/// Long poll duration. An empty response after this time means that the queue is empty.
const WAIT: Duration = Duration::from_secs(1);
/// Visibility timeout of received messages. After it a run would receive the same messages again,
/// so a run ends after half of it.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(300);

/// One run through a queue.
pub(super) struct Walk<'a> {
    pub(super) recovery: &'a Recovery,
    pub(super) queue: Arc<dyn Queue>,
    /// Maximum number of messages to receive.
    pub(super) messages_max: usize,
}

impl Walk<'_> {
    /// Treats every message, ten at a time, and reports each result. `treat` returns `true` for a
    /// message that stays. Returns `false` if there may be more: the limit was reached, or the
    /// visibility timeout was about to end.
    pub(super) async fn each<T, F>(
        &self,
        treat: impl Fn(Delivery) -> F,
        mut report: impl FnMut(T),
    ) -> Result<bool, Error>
    where
        F: Future<Output = (T, bool)>,
    {
        let context = &self.recovery.context;
        let began = context.ports.clock.now();
        let mut kept = Vec::new();
        let mut received = 0;
        let result = loop {
            let max = RECEIVE_MAX.min(self.messages_max - received);
            if max == 0 || context.ports.clock.now().since(began) >= VISIBILITY_TIMEOUT / 2 {
                break Ok(false);
            }
            let deliveries = match context.call(|| self.queue.receive(max, WAIT, VISIBILITY_TIMEOUT)).await {
                Ok(deliveries) if deliveries.is_empty() => break Ok(true),
                Ok(deliveries) => deliveries,
                Err(error) => break Err(error.into()),
            };
            received += deliveries.len();
            let receipts: Vec<String> = deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
            let treated = self.all(deliveries.into_iter().map(&treat)).await;
            for ((result, stays), receipt) in std::iter::zip(treated, receipts) {
                kept.extend(stays.then_some(receipt));
                report(result);
            }
        };
        self.make_visible(&kept).await;
        result
    }

    /// Makes messages visible again.
    ///
    /// Each call has its own time limit, so a call has a limited number of messages. If a call
    /// fails for all of its messages, for example because the queue does not respond, the remaining
    /// calls are skipped. Those messages become visible when their visibility timeout ends.
    async fn make_visible(&self, receipts: &[String]) {
        let mut returned = 0;
        for batch in receipts.chunks(MAKE_VISIBLE_MAX) {
            let results = self.queue.extend(batch.to_vec(), Duration::ZERO).await;
            let accepted = results.iter().filter(|result| result.is_ok()).count();
            returned += accepted;
            if accepted == 0 {
                break;
            }
        }
        let left = receipts.len() - returned;
        if left > 0 {
            let (queue, seconds) = (self.queue.name(), VISIBILITY_TIMEOUT.as_secs());
            tracing::warn!(
                queue,
                left,
                "some messages could not be made visible again; they become visible within {seconds} s"
            );
        }
    }

    /// Treats up to ten messages concurrently. In a FIFO queue, one after the other, in order.
    async fn all<F: Future>(&self, treatments: impl Iterator<Item = F>) -> Vec<F::Output> {
        let at_once = if self.is_fifo() { 1 } else { RECEIVE_MAX };
        stream::iter(treatments).buffered(at_once).collect().await
    }

    pub(super) fn is_fifo(&self) -> bool {
        is_fifo(self.queue.name())
    }

    /// Deletes a treated message.
    pub(super) async fn delete(&self, delivery: &Delivery) -> Result<(), Error> {
        let deleted = self.queue.delete(vec![delivery.receipt.clone()]).await;
        Ok(deleted.into_iter().collect::<Result<(), _>>()?)
    }
}
