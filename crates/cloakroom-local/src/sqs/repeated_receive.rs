//! Recording and repeating a receive of a FIFO queue.

use std::sync::Arc;

use crate::clock::Millis;
use crate::sqs::attempts::{Attempt, WINDOW};
use crate::sqs::message::{Number, Received, State};
use crate::sqs::queue::Queue;

impl Queue {
    /// Records the result of a receive, so that it can be repeated.
    pub(super) fn record_attempt(&mut self, now: Millis, id: &str, messages: &[Received], until: Millis) {
        let attempts = &mut self.attempts.by_id;
        attempts.retain(|_, attempt| now < attempt.received_at + WINDOW);
        let delivery = |message: &Received| Some((message.number, message.delivery.receipt?));
        let deliveries = messages.iter().filter_map(delivery).collect();
        attempts.insert(id.to_owned(), Attempt { deliveries, until, received_at: now });
        // A repetition may already be waiting, if the client gave up the first request before its
        // response.
        self.arrivals.notify_waiters();
    }

    /// Repeats a receive: returns the same messages with the same receipts, and restarts their
    /// visibility timeout. `None` if no such receive was recorded in the last five minutes, or if
    /// one of its messages was deleted, changed its visibility or became visible since. The
    /// documentation of SQS does not specify this last case. Here the repetition is a new receive.
    pub(super) fn repeat(&mut self, now: Millis, id: &str, visibility: Millis) -> Option<Vec<Received>> {
        let attempt = self.attempts.by_id.get_mut(id).filter(|attempt| now < attempt.received_at + WINDOW)?;
        let unmodified = |(number, receipt): &(Number, Number)| {
            let delivery = self.messages.get(number).map(|message| &message.delivery);
            let state = State::InFlight { until: attempt.until };
            delivery.is_some_and(|delivery| delivery.receipt == Some(*receipt) && delivery.state == state)
        };
        if !attempt.deliveries.iter().all(unmodified) {
            return None;
        }
        attempt.until = now + visibility;
        let (until, deliveries) = (attempt.until, attempt.deliveries.clone());
        for (number, _) in &deliveries {
            self.change_state(*number, State::InFlight { until });
        }
        let received = |(number, _)| {
            let message = self.messages.get(&number)?;
            Some(Received { number, content: Arc::clone(&message.content), delivery: message.delivery.clone() })
        };
        Some(deliveries.into_iter().filter_map(received).collect())
    }
}
