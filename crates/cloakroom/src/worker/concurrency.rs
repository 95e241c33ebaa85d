//! How much a worker does at a time: messages in hand, and receives under way.
//!
//! Both follow from what comes back, as in TCP, and need neither a clock nor a setting.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    task::Poll,
};

use futures::task::AtomicWaker;

/// How many messages may be in hand: fewer while calls are throttled, then more again, one by one.
///
/// It is judged once a *round*: as many finished messages as may be in hand, however long they take. A tenth of a round's
/// messages may meet a throttled call: so one hot entity, whose messages go one at a time, does not slow down the others.
#[derive(Debug)]
pub(crate) struct InHand {
    max: usize,
    limit: usize,
    /// Messages to be finished until the round ends.
    left: usize,
    /// Calls that were throttled before the round began.
    throttled: u64,
    /// Whether this round finishes what was in hand when the limit fell: its throttled calls are known.
    is_settling: bool,
}

impl InHand {
    /// Begins with as many as there may ever be. `throttled`, here and below: how many calls were throttled so far.
    pub(crate) const fn new(max: usize, throttled: u64) -> Self {
        Self { max, limit: max, left: max, throttled, is_settling: false }
    }

    /// How many messages may be in hand; at least one.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// A message was finished, well or not; so many are still in hand.
    pub(crate) fn finished(&mut self, in_hand: usize, throttled: u64) {
        self.left = self.left.saturating_sub(1);
        let tolerated = self.limit as u64 / 10;
        if !self.is_settling && throttled - self.throttled > tolerated {
            self.limit = (self.limit.min(in_hand + 1) / 2).max(1);
            *self = Self { left: in_hand, throttled, is_settling: true, ..*self };
        } else if self.left == 0 {
            let grown = if self.is_settling { self.limit } else { self.max.min(self.limit + 1) };
            *self = Self { limit: grown, left: grown, throttled, is_settling: false, ..*self };
        }
    }
}

/// How many receives are under way: one long poll while little comes, and more while they come back full.
#[derive(Debug)]
pub(crate) struct Receives {
    max: usize,
    limit: usize,
}

impl Receives {
    /// Begins with one; no more than so many messages are ever in hand.
    pub(crate) fn new(in_hand_max: usize, asked_max: usize) -> Self {
        Self { max: (in_hand_max / asked_max).max(1), limit: 1 }
    }

    /// How many may be under way; at least one.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// One brought so many messages of those that were asked for. Nothing at all ends all but one of them.
    pub(crate) fn brought(&mut self, messages: usize, asked: usize) {
        self.limit = match messages {
            0 => 1,
            full if full >= asked => self.max.min(self.limit + 1),
            _ => (self.limit - 1).max(1),
        };
    }
}

/// Whether a service is out: messages that failed in a row for no fault of theirs.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    failures: AtomicU32,
    /// A message failed since the last receive began.
    is_counted: AtomicBool,
    waiting: AtomicWaker,
}

impl Outage {
    /// How many times in a row messages failed; zero if no service is out.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// One more failed. Those that fail between two receives count once: all that are in hand fail in the same moment, and tell no
    /// more than one of them.
    pub(crate) fn failed(&self) {
        if !self.is_counted.swap(true, Ordering::Relaxed) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A receive begins: what fails from now on counts anew.
    pub(crate) fn receive(&self) {
        self.is_counted.store(false, Ordering::Relaxed);
    }

    /// The services answer.
    pub(crate) fn end(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.is_counted.store(false, Ordering::Relaxed);
        self.waiting.wake();
    }

    /// Waits for the end. For one at a time.
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

    /// Finishes messages while as many as possible are in hand, until the round ends; each time so many calls were throttled.
    fn finish(in_hand: &mut InHand, messages: usize, throttled: &mut u64, each: u64) {
        for _ in 0..messages {
            *throttled += each;
            in_hand.finished(in_hand.limit() - 1, *throttled);
        }
    }

    #[test]
    fn it_falls_by_half_at_once_and_grows_by_one_a_round() {
        let (mut in_hand, mut throttled) = (InHand::new(64, 5), 5);
        finish(&mut in_hand, 64, &mut throttled, 0);
        assert_eq!(in_hand.limit(), 64, "never more than the most");
        finish(&mut in_hand, 7, &mut throttled, 1);
        assert_eq!(in_hand.limit(), 32, "at once, not at the end of the round");
        finish(&mut in_hand, 31, &mut throttled, 1);
        assert_eq!(in_hand.limit(), 32, "those in hand were begun before");
        finish(&mut in_hand, 40, &mut throttled, 0);
        finish(&mut in_hand, 64, &mut throttled, 0);
        assert_eq!(in_hand.limit(), 34, "two rounds more");
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
    fn a_tenth_of_the_messages_may_be_throttled() {
        let (mut in_hand, mut throttled) = (InHand::new(100, 0), 0);
        for _ in 0..10 {
            finish(&mut in_hand, 10, &mut throttled, 1);
            finish(&mut in_hand, 90, &mut throttled, 0);
            assert_eq!(in_hand.limit(), 100);
        }
    }

    #[test]
    fn one_message_at_a_time_is_always_possible() {
        let (mut in_hand, mut throttled) = (InHand::new(64, 0), 0);
        finish(&mut in_hand, 1_000, &mut throttled, 3);
        assert_eq!(in_hand.limit(), 1);
        in_hand.finished(0, throttled);
        in_hand.finished(0, throttled);
        assert_eq!(in_hand.limit(), 2);
    }

    #[test]
    fn it_falls_from_what_was_really_in_hand() {
        let mut in_hand = InHand::new(1_000, 0);
        in_hand.finished(19, 101);
        assert_eq!(in_hand.limit(), 10);
    }

    #[test]
    fn receives_grow_while_they_come_back_full() {
        let mut receives = Receives::new(35, 10);
        let mut limits = Vec::new();
        for (messages, asked) in [(10, 10), (10, 10), (10, 10), (9, 10), (10, 10), (0, 10), (3, 10), (2, 2)] {
            receives.brought(messages, asked);
            limits.push(receives.limit());
        }
        assert_eq!(limits, [2, 3, 3, 2, 3, 1, 1, 2]);
        let mut few = Receives::new(5, 10);
        few.brought(5, 5);
        assert_eq!(few.limit(), 1);
    }
}
