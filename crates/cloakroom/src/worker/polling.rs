//! Receiving from a queue, and the shutdown of a worker.

use std::{pin::pin, time::Duration};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{join, select},
};
use tracing::{Instrument as _, debug_span, field::Empty};

use crate::{
    observe::trace,
    worker::{
        running::{InFlight, Received, Receiving, RunningWorker},
        settings::WorkerSettings,
    },
};

/// The maximum time in which a shutdown gives messages back. Messages that cannot be given back
/// become visible when their visibility timeout ends.
const GIVE_BACK_MAX: Duration = Duration::from_secs(5);

impl RunningWorker<'_> {
    /// Receives messages, each with its span. Retries temporary failures after a pause. Starts no
    /// further request after the shutdown.
    pub(super) async fn receive(&self, max: usize) -> Received {
        let WorkerSettings { receive_wait_ms, retry, .. } = *self.settings;
        // During an outage a receive would only increase the receive counts of messages, without
        // any progress.
        let failures = self.outage.failures();
        if failures > 0 {
            // If calls are only throttled, other messages succeed. Their success ends the pause.
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
                        // The queue is empty, so a receive increases no receive count. The messages
                        // that failed may be at other workers.
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

    /// Waits for a future, at most until the shutdown.
    async fn unless_stopping(&self, wait: impl Future + Unpin) {
        select(self.stopping.clone(), wait).await;
    }

    /// Finishes the messages in flight and the pending receives while there is time, then gives
    /// back the remaining messages at once.
    ///
    /// SUBTLE: a pending receive is not dropped while there is time. (1) The worker drops its long
    /// poll. (2) A message is sent. (3) SQS delivers it to the long poll, which is still open at
    /// SQS, and starts its visibility timeout. The next worker would receive the message only after
    /// that timeout, with one receive used up
    /// (`message_sent_after_the_shutdown_is_received_by_the_next_worker_at_once`).
    pub(super) async fn drain(&self, in_flight: InFlight<'_>, mut receiving: Receiving<'_>) {
        {
            let give_back = async {
                while let Some((_, received)) = receiving.next().await {
                    self.return_received(received).await;
                }
            };
            let finished = join(in_flight.collect::<()>(), give_back);
            let time_is_up = self.sleep(Duration::from_millis(self.settings.drain_ms));
            select(pin!(finished), pin!(time_is_up)).await;
        }
        let left: Vec<String> = std::mem::take(&mut *self.in_flight_receipts()).into_iter().collect();
        if !left.is_empty() {
            tracing::warn!(messages = left.len(), "shutdown: messages given back unfinished");
            select(self.queue.extend(left, Duration::ZERO), pin!(self.sleep(GIVE_BACK_MAX))).await;
        }
    }

    /// Gives back at once the messages that a receive returned after the shutdown. A message that
    /// could not be given back stays in `in_flight_receipts`.
    async fn return_received(&self, received: Received) {
        let receipts = received.unwrap_or_default().into_iter().map(|(delivery, _)| delivery.receipt);
        let receipts: Vec<String> = receipts.collect();
        if receipts.is_empty() {
            return;
        }
        self.in_flight_receipts().extend(receipts.iter().cloned());
        let results = self.queue.extend(receipts.clone(), Duration::ZERO).await;
        for (receipt, _) in receipts.iter().zip(results).filter(|(_, result)| result.is_ok()) {
            self.in_flight_receipts().remove(receipt);
        }
    }
}
