//! The record of offered and ended messages, and of their latencies.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use cloakroom::ports::Clock;
use hdrhistogram::Histogram;
use tokio::sync::watch;

use crate::report::Latency;

/// The longest recorded latency, an hour. Longer ones are recorded as this.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Points of the curve in each halving of the distance to 100 %.
const CURVE_STEPS: u32 = 2;

/// Records the messages of one contestant. All times count from its start.
pub(crate) struct Recorder {
    clock: Arc<dyn Clock>,
    began: OnceLock<Duration>,
    records: Mutex<Records>,
    tally: watch::Sender<Tally>,
}

/// The number of offered and of ended messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) offered: u64,
    pub(crate) ended: u64,
}

struct Records {
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

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorder").field(&self.tally()).finish()
    }
}

impl Recorder {
    /// Returns a recorder that starts with the first call of [`now`](Self::now).
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let latencies = Histogram::new_with_max(LATENCY_US_MAX, 3).expect("bounds that a histogram can have");
        let zero = Duration::ZERO;
        let records =
            Records { entries: Vec::new(), latencies, ended_by_second: Vec::new(), last_sent: zero, last_end: zero };
        Self { began: OnceLock::new(), clock, records: Mutex::new(records), tally: watch::Sender::default() }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time since the start.
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

    /// Returns a receiver of the tally, which changes when a message is offered or ends.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Tally> {
        self.tally.subscribe()
    }

    /// Records a message that should be offered at `due`, and returns its number. `due` may be in
    /// the past: a delay of the load generator is part of the latency.
    pub(crate) fn offer(&self, entity: u32, due: Duration) -> u64 {
        let mut records = self.records();
        records.entries.push(Entry { entity, has_ended: false, due_us: micros(due) });
        let offered = records.entries.len() as u64;
        self.tally.send_modify(|tally| tally.offered = offered);
        offered - 1
    }

    /// Records that the queue has accepted messages.
    pub(crate) fn sent(&self) {
        let now = self.now();
        let mut records = self.records();
        records.last_sent = records.last_sent.max(now);
    }

    /// Records that a message was acknowledged. Only the first time counts. Later ones are of
    /// duplicates.
    pub(crate) fn end(&self, number: u64) {
        let now = self.now();
        let mut records = self.records();
        let Some(entry) = usize::try_from(number).ok().and_then(|number| records.entries.get_mut(number)) else {
            return;
        };
        if std::mem::replace(&mut entry.has_ended, true) {
            return;
        }
        let latency_us = micros(now).saturating_sub(entry.due_us);
        records.latencies.saturating_record(latency_us);
        records.last_end = records.last_end.max(now);
        let second = now.as_secs() as usize;
        if records.ended_by_second.len() <= second {
            records.ended_by_second.resize(second + 1, 0);
        }
        records.ended_by_second[second] += 1;
        self.tally.send_modify(|tally| tally.ended += 1);
    }

    /// Returns every message, by its number.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.records().entries.clone()
    }

    pub(crate) fn ended_by_second(&self) -> Vec<u64> {
        self.records().ended_by_second.clone()
    }

    /// Returns the messages per second that were really offered: the number of offered messages,
    /// divided by the time until the queue had accepted the last one.
    pub(crate) fn offered_per_s(&self) -> f64 {
        let seconds = self.records().last_sent.as_secs_f64();
        if seconds > 0.0 { self.tally().offered as f64 / seconds } else { 0.0 }
    }

    pub(crate) fn last_end(&self) -> Duration {
        self.records().last_end
    }

    pub(crate) fn latency(&self) -> Latency {
        let latencies = &self.records().latencies;
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

    /// Compares with the precision of the histogram, three digits.
    fn is_about(us: u64, ms: u64) -> bool {
        us.abs_diff(ms * 1_000) <= ms
    }

    #[test]
    fn latency_is_measured_from_the_due_time_of_a_message() {
        let memory = Memory::new();
        let recorder = Recorder::new(memory.clock.clone());
        memory.run(async {
            assert_eq!(recorder.now(), Duration::ZERO);
            memory.clock.sleep(Duration::from_secs(5)).await;
            // Four seconds late, because the load generator was delayed.
            let late = recorder.offer(0, Duration::from_secs(1));
            let in_time = recorder.offer(0, Duration::from_secs(5));
            memory.clock.sleep(Duration::from_secs(1)).await;
            recorder.end(late);
            recorder.end(in_time);
            recorder.end(in_time);
        });
        let latency = recorder.latency();
        assert!(is_about(latency.max_us, 5_000) && is_about(latency.p50_us, 1_000), "{latency:?}");
        assert_eq!(recorder.tally(), Tally { offered: 2, ended: 2 });
        assert_eq!(recorder.ended_by_second(), [0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn empty_recorder_ignores_unknown_messages() {
        let recorder = Recorder::new(Memory::new().clock);
        recorder.end(7);
        assert_eq!((recorder.latency(), recorder.offered_per_s()), (Latency::default(), 0.0));
    }
}
