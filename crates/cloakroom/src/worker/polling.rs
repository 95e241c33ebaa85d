//! How a worker receives from its queue, and stops.

use std::{pin::pin, time::Duration};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{join, select},
};
use tracing::{Instrument as _, debug_span, field::Empty};

use crate::{
    observe::trace,
    worker::{
        running::{AtWork, Received, Receiving, RunningWorker},
        settings::WorkerSettings,
    },
};

/// How long a shutdown tries to give messages back. Whoever cannot be told finds out when their leases end.
const GIVE_BACK_MAX: Duration = Duration::from_secs(5);

impl RunningWorker<'_> {
    /// Receives, each message with its span; waits out what passes. From the shutdown on it begins no further request.
    pub(super) async fn receive(&self, max: usize) -> Received {
        let WorkerSettings { receive_wait_ms, retry, .. } = *self.settings;
        // While a service is out, every receive would only use up one of a message's chances.
        let failures = self.outage.failures();
        if failures > 0 {
            // Who was only throttled has others that succeed: those end the pause.
            let pause = self.sleep(retry.pause(failures, self.random()));
            self.unless_stopping(select(pin!(pause), pin!(self.outage.ended()))).await;
        }
        self.outage.receive();
        let (endpoint, mut failures) = (self.endpoint.name(), 0);
        loop {
            if self.stopping.clone().now_or_never().is_some() {
                return Ok(Vec::new());
            }
            let wait = Duration::from_millis(receive_wait_ms);
            let polling = debug_span!("receive", endpoint, queue = self.queue.name(), messages = Empty);
            let received = self.queue.receive(max, wait, self.settings.visibility());
            match received.instrument(polling.clone()).await {
                Err(error) if error.may_be_repeated() => {
                    failures += 1;
                    tracing::warn!(endpoint, error = error.loggable(), failures, "receive failed");
                    self.endpoint.context().retried(error.reason());
                    self.unless_stopping(pin!(self.sleep(self.settings.poll_pause(failures, self.random())))).await;
                }
                result => {
                    polling.record("messages", result.as_ref().map_or(0, Vec::len));
                    if result.as_ref().is_ok_and(Vec::is_empty) {
                        // Nothing waits whose chances a receive would use up, and whatever failed may have gone to others.
                        self.outage.end();
                    }
                    let with_span = |delivery| {
                        let span = trace::process(endpoint, &delivery);
                        span.follows_from(&polling);
                        (delivery, span)
                    };
                    return result.map(|deliveries| deliveries.into_iter().map(with_span).collect());
                }
            }
        }
    }

    /// Waits for a future, but not beyond the shutdown.
    async fn unless_stopping(&self, wait: impl Future + Unpin) {
        select(self.stopping.clone(), wait).await;
    }

    /// Finishes what is in hand, and the receives under way, while there is time; then gives back the rest at once.
    ///
    /// SUBTLE: a receive is not dropped while there is time. (1) It is dropped. (2) A message is sent. (3) SQS leases
    /// the message to the poll, which it still holds. (4) The next worker gets the message only when that lease ends,
    /// with one receive used up (`message_sent_after_the_shutdown_is_received_by_the_next_worker_at_once`).
    pub(super) async fn drain(&self, at_work: AtWork<'_>, mut receiving: Receiving<'_>) {
        {
            let returned = async {
                while let Some((_, received)) = receiving.next().await {
                    self.return_received(received).await;
                }
            };
            let finished = join(at_work.collect::<()>(), returned);
            let time_is_up = self.sleep(Duration::from_millis(self.settings.drain_ms));
            select(pin!(finished), pin!(time_is_up)).await;
        }
        let left: Vec<String> = std::mem::take(&mut *self.held()).into_iter().collect();
        if !left.is_empty() {
            tracing::warn!(messages = left.len(), "shutdown: messages given back unfinished");
            select(self.queue.extend(left, Duration::ZERO), pin!(self.sleep(GIVE_BACK_MAX))).await;
        }
    }

    /// Gives back at once what a receive has brought after the shutdown. What cannot be given back stays among the
    /// messages in hand.
    async fn return_received(&self, received: Received) {
        let receipts = received.unwrap_or_default().into_iter().map(|(delivery, _)| delivery.receipt);
        let receipts: Vec<String> = receipts.collect();
        if receipts.is_empty() {
            return;
        }
        self.held().extend(receipts.iter().cloned());
        let answers = self.queue.extend(receipts.clone(), Duration::ZERO).await;
        for (receipt, _) in receipts.iter().zip(answers).filter(|(_, answer)| answer.is_ok()) {
            self.held().remove(receipt);
        }
    }
}
