//! The book of what was offered and what has ended, and how long that took.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use cloakroom::ports::Clock;
use hdrhistogram::Histogram;
use tokio::sync::watch;

use crate::report::Latency;

/// Longer latencies are told as this: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Points of the curve in each halving of what is left to 100 %.
const CURVE_STEPS: u32 = 2;

/// Everything that is measured of one contestant by the messages themselves. All times are from its beginning.
pub(crate) struct Book {
    clock: Arc<dyn Clock>,
    began: OnceLock<Duration>,
    pages: Mutex<Pages>,
    tally: watch::Sender<Tally>,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) offered: u64,
    pub(crate) ended: u64,
}

struct Pages {
    entries: Vec<Entry>,
    latencies: Histogram<u64>,
    ended_by_second: Vec<u64>,
    last_sent: Duration,
    last_end: Duration,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) entity: u32,
    pub(crate) has_ended: bool,
    due_us: u64,
}

impl Entry {
    #[cfg(test)]
    pub(crate) const fn new(entity: u32, has_ended: bool) -> Self {
        Self { entity, has_ended, due_us: 0 }
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Book").field(&self.tally()).finish()
    }
}

impl Book {
    /// A book that begins when it is asked for the time first.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let latencies = Histogram::new_with_max(LATENCY_US_MAX, 3).expect("bounds that a histogram can have");
        let zero = Duration::ZERO;
        let pages =
            Pages { entries: Vec::new(), latencies, ended_by_second: Vec::new(), last_sent: zero, last_end: zero };
        Self { began: OnceLock::new(), clock, pages: Mutex::new(pages), tally: watch::Sender::default() }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        let now = self.clock.monotonic();
        now.saturating_sub(*self.began.get_or_init(|| now))
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn tally(&self) -> Tally {
        *self.tally.borrow()
    }

    /// Is told whenever something is offered or ends.
    pub(crate) fn news(&self) -> watch::Receiver<Tally> {
        self.tally.subscribe()
    }

    /// Enters a message for an entity that should be offered at the moment `due`, which may be long over: whoever is late
    /// makes the message late. Answers with its number.
    pub(crate) fn offer(&self, entity: u32, due: Duration) -> u64 {
        let mut pages = self.pages();
        pages.entries.push(Entry { entity, has_ended: false, due_us: micros(due) });
        let offered = pages.entries.len() as u64;
        self.tally.send_modify(|tally| tally.offered = offered);
        offered - 1
    }

    /// A queue has taken messages.
    pub(crate) fn sent(&self) {
        let now = self.now();
        let mut pages = self.pages();
        pages.last_sent = pages.last_sent.max(now);
    }

    /// A message was acknowledged. Only the first time counts: what comes after is a duplicate.
    pub(crate) fn end(&self, number: u64) {
        let now = self.now();
        let mut pages = self.pages();
        let Some(entry) = usize::try_from(number).ok().and_then(|number| pages.entries.get_mut(number)) else { return };
        if std::mem::replace(&mut entry.has_ended, true) {
            return;
        }
        let latency_us = micros(now).saturating_sub(entry.due_us);
        pages.latencies.saturating_record(latency_us);
        pages.last_end = pages.last_end.max(now);
        let second = now.as_secs() as usize;
        if pages.ended_by_second.len() <= second {
            pages.ended_by_second.resize(second + 1, 0);
        }
        pages.ended_by_second[second] += 1;
        self.tally.send_modify(|tally| tally.ended += 1);
    }

    /// Every message, by its number.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.pages().entries.clone()
    }

    pub(crate) fn ended_by_second(&self) -> Vec<u64> {
        self.pages().ended_by_second.clone()
    }

    /// Messages a second that were really offered: as many as queues took, by when they had.
    pub(crate) fn offered_per_s(&self) -> f64 {
        let seconds = self.pages().last_sent.as_secs_f64();
        if seconds > 0.0 { self.tally().offered as f64 / seconds } else { 0.0 }
    }

    pub(crate) fn last_end(&self) -> Duration {
        self.pages().last_end
    }

    pub(crate) fn latency(&self) -> Latency {
        let latencies = &self.pages().latencies;
        if latencies.is_empty() {
            return Latency::default();
        }
        let at = |quantile: f64| latencies.value_at_quantile(quantile);
        let curve = latencies.iter_quantiles(CURVE_STEPS);
        Latency {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: latencies.max(),
            curve: curve.map(|point| (100.0 * point.quantile_iterated_to(), point.value_iterated_to())).collect(),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use cloakroom::memory::Memory;

    use super::*;

    /// Three digits are kept.
    fn is_about(us: u64, ms: u64) -> bool {
        us.abs_diff(ms * 1_000) <= ms
    }

    #[test]
    fn latency_counts_from_when_a_message_was_due() {
        let memory = Memory::new();
        let book = Book::new(memory.clock.clone());
        memory.run(async {
            assert_eq!(book.now(), Duration::ZERO);
            memory.clock.sleep(Duration::from_secs(5)).await;
            // Four seconds late, because whoever offers was held up.
            let late = book.offer(0, Duration::from_secs(1));
            let in_time = book.offer(0, Duration::from_secs(5));
            memory.clock.sleep(Duration::from_secs(1)).await;
            book.end(late);
            book.end(in_time);
            book.end(in_time);
        });
        let latency = book.latency();
        assert!(is_about(latency.max_us, 5_000) && is_about(latency.p50_us, 1_000), "{latency:?}");
        assert_eq!(book.tally(), Tally { offered: 2, ended: 2 });
        assert_eq!(book.ended_by_second(), [0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn an_empty_book_and_strange_numbers_are_no_trouble() {
        let book = Book::new(Memory::new().clock);
        book.end(7);
        assert_eq!((book.latency(), book.offered_per_s()), (Latency::default(), 0.0));
    }
}
