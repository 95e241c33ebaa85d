//! Messages in flight, measured over time.

use std::time::Duration;

use cloakroom::Timestamp;

/// The number of messages in flight, and how long it lasted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InFlightMeter {
    pub(crate) messages: usize,
    since: Timestamp,
    /// Milliseconds with at least one message, since the beginning of the measurement.
    busy_ms: u64,
    /// Messages times milliseconds, since the beginning of the measurement.
    message_ms: u64,
}

impl InFlightMeter {
    pub(crate) fn change(&mut self, now: Timestamp, change: impl FnOnce(usize) -> usize) {
        let passed = now.since(self.since).as_millis() as u64;
        self.busy_ms += passed * u64::from(self.messages > 0);
        self.message_ms += passed * self.messages as u64;
        (self.messages, self.since) = (change(self.messages), now);
    }

    pub(crate) fn begin(&mut self, now: Timestamp) {
        *self = Self { messages: self.messages, since: now, ..Self::default() };
    }

    /// The share of time with at least one message.
    pub(crate) fn busy(mut self, now: Timestamp, over: Duration) -> f64 {
        self.change(now, |messages| messages);
        self.busy_ms as f64 / over.as_millis() as f64
    }

    /// The average number of messages over time.
    pub(crate) fn mean(mut self, now: Timestamp, over: Duration) -> f64 {
        self.change(now, |messages| messages);
        self.message_ms as f64 / over.as_millis() as f64
    }
}
