//! Going through a queue: every message is received once, and what stays is given back.

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

/// Messages of one receive.
const RECEIVE_MAX: usize = 10;
/// Messages that are given back in one call.
const GIVE_BACK_MAX: usize = 100;
/// How long a receive waits before the queue counts as empty.
const WAIT: Duration = Duration::from_secs(1);
/// For how long nobody else sees a message, at most. What takes longer would see messages once more, so a walk ends after half of it.
const LEASE: Duration = Duration::from_secs(300);

/// A walk through a queue.
pub(super) struct Walk<'a> {
    pub(super) recovery: &'a Recovery,
    pub(super) queue: Arc<dyn Queue>,
    /// How many messages are received at most.
    pub(super) messages_max: usize,
}

impl Walk<'_> {
    /// Treats every message, ten at a time, and tells what came of each. True is for messages that stay.
    /// False if there may be more: the limit was reached, or the lease was about to end.
    pub(super) async fn each<T, F>(&self, treat: impl Fn(Delivery) -> F, mut tell: impl FnMut(T)) -> Result<bool, Error>
    where
        F: Future<Output = (T, bool)>,
    {
        let context = &self.recovery.context;
        let began = context.ports.clock.now();
        let mut kept = Vec::new();
        let mut received = 0;
        let result = loop {
            let max = RECEIVE_MAX.min(self.messages_max - received);
            if max == 0 || context.ports.clock.now().since(began) >= LEASE / 2 {
                break Ok(false);
            }
            let deliveries = match context.call(|| self.queue.receive(max, WAIT, LEASE)).await {
                Ok(deliveries) if deliveries.is_empty() => break Ok(true),
                Ok(deliveries) => deliveries,
                Err(error) => break Err(error.into()),
            };
            received += deliveries.len();
            let receipts: Vec<String> = deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
            let treated = self.all(deliveries.into_iter().map(&treat)).await;
            for ((told, stays), receipt) in std::iter::zip(treated, receipts) {
                kept.extend(stays.then_some(receipt));
                tell(told);
            }
        };
        self.give_back(&kept).await;
        result
    }

    /// Gives messages back at once. Each call has a bound of its own, so none has many messages. After a call that gives nothing
    /// back, as of a queue that does not answer, no other is tried. What is not given back comes back when its lease ends.
    async fn give_back(&self, receipts: &[String]) {
        let mut returned = 0;
        for some in receipts.chunks(GIVE_BACK_MAX) {
            let answers = self.queue.extend(some.to_vec(), Duration::ZERO).await;
            let taken = answers.iter().filter(|answer| answer.is_ok()).count();
            returned += taken;
            if taken == 0 {
                break;
            }
        }
        let left = receipts.len() - returned;
        if left > 0 {
            let (queue, seconds) = (self.queue.name(), LEASE.as_secs());
            tracing::warn!(queue, left, "messages are not given back: they come back within {seconds} s");
        }
    }

    /// Ten at once; those of a FIFO queue one after the other, in their order.
    async fn all<F: Future>(&self, treatments: impl Iterator<Item = F>) -> Vec<F::Output> {
        let at_once = if self.is_fifo() { 1 } else { RECEIVE_MAX };
        stream::iter(treatments).buffered(at_once).collect().await
    }

    pub(super) fn is_fifo(&self) -> bool {
        is_fifo(self.queue.name())
    }

    /// Deletes a message that was treated.
    pub(super) async fn delete(&self, delivery: &Delivery) -> Result<(), Error> {
        let deleted = self.queue.delete(vec![delivery.receipt.clone()]).await;
        Ok(deleted.into_iter().collect::<Result<(), _>>()?)
    }
}
