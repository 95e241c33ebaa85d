//! The concurrency of a worker: messages in flight, and pending receives.
//!
//! Both limits adapt to observed results, like the congestion window of TCP. They need no clock and
//! no setting.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    task::Poll,
};

use futures::task::AtomicWaker;

/// The limit of messages in flight. It falls while calls are throttled, and then grows by one at a
/// time.
///
/// It is adjusted once in a *round*. A round has as many finished messages as the limit at its
/// start, independent of their duration. Up to a tenth of a round's messages may meet a throttled
/// call. So one hot entity, whose messages are processed one at a time, does not slow down the
/// others.
#[derive(Debug)]
pub(crate) struct InFlightLimit {
    max: usize,
    limit: usize,
    /// The number of messages to finish until the round ends.
    remaining: usize,
    /// The number of calls that were throttled before the round began.
    throttled: u64,
    /// Whether this round finishes the messages that were in flight when the limit fell. Their
    /// throttled calls do not lower the limit again.
    is_draining: bool,
}

impl InFlightLimit {
    /// Starts with the maximum. `throttled`, here and below, is the total number of calls that were
    /// throttled so far.
    pub(crate) const fn new(max: usize, throttled: u64) -> Self {
        Self { max, limit: max, remaining: max, throttled, is_draining: false }
    }

    /// Returns the maximum number of messages in flight, at least one.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Records that a message was finished or failed. `in_flight` messages are still in flight.
    pub(crate) fn finished(&mut self, in_flight: usize, throttled: u64) {
        self.remaining = self.remaining.saturating_sub(1);
        let tolerated = self.limit as u64 / 10;
        if !self.is_draining && throttled - self.throttled > tolerated {
            self.limit = (self.limit.min(in_flight + 1) / 2).max(1);
            *self = Self { remaining: in_flight, throttled, is_draining: true, ..*self };
        } else if self.remaining == 0 {
            let grown = if self.is_draining { self.limit } else { self.max.min(self.limit + 1) };
            *self = Self { limit: grown, remaining: grown, throttled, is_draining: false, ..*self };
        }
    }
}

/// The limit of pending receives: one long poll while there are few messages, and more while
/// responses are full.
#[derive(Debug)]
pub(crate) struct Receives {
    max: usize,
    limit: usize,
}

impl Receives {
    /// Starts with one receive. All receives together request at most `in_flight_max` messages, or
    /// one receive's.
    pub(crate) fn new(in_flight_max: usize, requested_max: usize) -> Self {
        Self { max: (in_flight_max / requested_max).max(1), limit: 1 }
    }

    /// Returns the maximum number of pending receives, at least one.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Records the number of messages that a receive returned, of those that it requested. An empty
    /// response lowers the limit to one.
    pub(crate) fn record(&mut self, messages: usize, requested: usize) {
        self.limit = match messages {
            0 => 1,
            full if full >= requested => self.max.min(self.limit + 1),
            _ => (self.limit - 1).max(1),
        };
    }
}

/// The state of an outage: messages that failed in a row without a fault of their own.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    failures: AtomicU32,
    /// A message has failed since the last receive began.
    is_counted: AtomicBool,
    waiting: AtomicWaker,
}

impl Outage {
    /// Returns the number of failures in a row. 0 if there is no outage.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Records a failure. Failures between two receives count once, because all messages in flight
    /// fail at the same time, and show no more than one of them.
    pub(crate) fn failed(&self) {
        if !self.is_counted.swap(true, Ordering::Relaxed) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records the start of a receive. The next failure counts again.
    pub(crate) fn receive(&self) {
        self.is_counted.store(false, Ordering::Relaxed);
    }

    /// Records that the services answer.
    pub(crate) fn end(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.is_counted.store(false, Ordering::Relaxed);
        self.waiting.wake();
    }

    /// Waits for the end of the outage. Only one task may wait at a time.
    pub(crate) async fn ended(&self) {
        poll_fn(|context| {
            self.waiting.register(context.waker());
            if self.failures() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finishes messages while the maximum number is in flight. Each adds `each` throttled calls.
    fn finish(limit: &mut InFlightLimit, messages: usize, throttled: &mut u64, each: u64) {
        for _ in 0..messages {
            *throttled += each;
            limit.finished(limit.limit() - 1, *throttled);
        }
    }

    #[test]
    fn in_flight_limit_halves_at_once_and_grows_by_one_per_round() {
        let (mut limit, mut throttled) = (InFlightLimit::new(64, 5), 5);
        finish(&mut limit, 64, &mut throttled, 0);
        assert_eq!(limit.limit(), 64, "never more than the maximum");
        finish(&mut limit, 7, &mut throttled, 1);
        assert_eq!(limit.limit(), 32, "at once, not at the end of the round");
        finish(&mut limit, 31, &mut throttled, 1);
        assert_eq!(limit.limit(), 32, "the messages in flight were started before");
        finish(&mut limit, 40, &mut throttled, 0);
        finish(&mut limit, 64, &mut throttled, 0);
        assert_eq!(limit.limit(), 34, "two more rounds");
    }

    #[test]
    fn messages_that_fail_between_two_receives_count_once() {
        let outage = Outage::default();
        (0..64).for_each(|_| outage.failed());
        assert_eq!(outage.failures(), 1);
        outage.receive();
        (0..2).for_each(|_| outage.failed());
        assert_eq!(outage.failures(), 2);
        outage.end();
        assert_eq!(outage.failures(), 0);
    }

    #[test]
    fn in_flight_limit_tolerates_throttled_calls_for_a_tenth_of_its_messages() {
        let (mut limit, mut throttled) = (InFlightLimit::new(100, 0), 0);
        for _ in 0..10 {
            finish(&mut limit, 10, &mut throttled, 1);
            finish(&mut limit, 90, &mut throttled, 0);
            assert_eq!(limit.limit(), 100);
        }
    }

    #[test]
    fn in_flight_limit_is_always_at_least_one() {
        let (mut limit, mut throttled) = (InFlightLimit::new(64, 0), 0);
        finish(&mut limit, 1_000, &mut throttled, 3);
        assert_eq!(limit.limit(), 1);
        limit.finished(0, throttled);
        limit.finished(0, throttled);
        assert_eq!(limit.limit(), 2);
    }

    #[test]
    fn in_flight_limit_falls_from_the_actual_number_in_flight() {
        let mut limit = InFlightLimit::new(1_000, 0);
        limit.finished(19, 101);
        assert_eq!(limit.limit(), 10);
    }

    #[test]
    fn number_of_receives_grows_while_responses_are_full() {
        let mut receives = Receives::new(35, 10);
        let mut limits = Vec::new();
        for (messages, requested) in [(10, 10), (10, 10), (10, 10), (9, 10), (10, 10), (0, 10), (3, 10), (2, 2)] {
            receives.record(messages, requested);
            limits.push(receives.limit());
        }
        assert_eq!(limits, [2, 3, 3, 2, 3, 1, 1, 2]);
        let mut few = Receives::new(5, 10);
        few.record(5, 5);
        assert_eq!(few.limit(), 1);
    }
}
