//! The time since a worker made progress.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    observe::observer::{Event, Observer},
    ports::clock::Clock,
};

/// An observer that records when a worker last made [progress](Observer::progressed), for a health
/// check.
///
/// A worker is stuck if [`idle`](Self::idle) exceeds the longest time in which a healthy worker
/// makes no progress. This time is the maximum of three times:
/// - a long poll with its timeout: [`receive_wait_ms`](crate::WorkerSettings::receive_wait_ms) plus
///   [`call_ms_max`](crate::EndpointSettings::call_ms_max)
/// - the longest pause in an outage: [`retry.max_ms`](crate::WorkerSettings::retry)
/// - the longest handler, while the maximum number of messages is in flight
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use cloakroom::{memory::Memory, observe::{LastProgress, Observer as _}, ports::Clock as _};
///
/// let memory = Memory::new();
/// let progress = Arc::new(LastProgress::new(memory.clock.clone()));
/// memory.run(memory.clock.sleep(Duration::from_secs(30)));
/// assert_eq!(progress.idle(), Duration::from_secs(30));
///
/// progress.progressed("orders"); // a worker calls this on its endpoint's observer
/// assert_eq!(progress.idle(), Duration::ZERO);
/// ```
#[derive(Debug)]
pub struct LastProgress {
    clock: Arc<dyn Clock>,
    /// The time of the last progress on the monotonic clock, in milliseconds.
    at_ms: AtomicU64,
}

impl LastProgress {
    /// Creates an observer that counts its creation as the first progress.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let at_ms = AtomicU64::new(now_ms(&*clock));
        Self { clock, at_ms }
    }

    /// Returns the time since the last progress, or since the creation if there was none.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(now_ms(&*self.clock).saturating_sub(self.at_ms.load(Ordering::Relaxed)))
    }
}

fn now_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX)
}

impl Observer for LastProgress {
    fn observe(&self, _: Event) {}

    fn progressed(&self, _: &str) {
        self.at_ms.store(now_ms(&*self.clock), Ordering::Relaxed);
    }
}
