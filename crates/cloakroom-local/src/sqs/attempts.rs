//! Receives of a FIFO queue that can be repeated: `ReceiveRequestAttemptId`.

use std::collections::HashMap;
use std::sync::Arc;

use super::message::{Number, State};
use super::queue::{Queue, Received};
use crate::clock::{Millis, SECOND};

/// How long a receive can be repeated.
const WINDOW: Millis = 300 * SECOND;

/// The receives of the last five minutes by their attempt id. They are not in the journal: after a
/// restart a repeated receive is a new one.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_id: HashMap<String, Attempt>,
}

/// What one receive returned.
#[derive(Debug)]
struct Attempt {
    /// The messages, each with the receipt of its delivery.
    deliveries: Vec<(Number, Number)>,
    /// When their visibility timeout ends, if no message was modified since.
    until: Millis,
    received_at: Millis,
}

impl Queue {
    /// Records what a receive returned, so that it can be repeated.
    pub(super) fn record_attempt(&mut self, now: Millis, id: &str, messages: &[Received], until: Millis) {
        let attempts = &mut self.attempts.by_id;
        attempts.retain(|_, attempt| now < attempt.received_at + WINDOW);
        let delivery = |message: &Received| Some((message.number, message.delivery.receipt?));
        let deliveries = messages.iter().filter_map(delivery).collect();
        attempts.insert(id.to_owned(), Attempt { deliveries, until, received_at: now });
        // A repetition may be waiting already, if the first request was given up before its answer.
        self.arrivals.notify_waiters();
    }

    /// Repeats a receive: returns the same messages under the same receipts, and starts their
    /// visibility timeout again. `None` if no such receive was recorded in the last five minutes, or
    /// if one of its messages was deleted, changed its visibility or became visible since. The
    /// documentation of SQS leaves open what happens then. Here the repetition is a new receive.
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
