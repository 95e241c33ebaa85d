//! Counters in memory.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use crate::observe::{
    consumption::{Consumed, Consumption},
    observer::{Event, Observer},
};

/// Counts events, and adds up the consumption.
///
/// ```
/// use cloakroom::observe::{Counters, Event, Observer as _};
///
/// let counters = Counters::default();
/// counters.observe(Event::Duplicate);
/// assert_eq!(counters.counts().duplicate, 1);
/// ```
#[derive(Debug, Default)]
pub struct Counters {
    events: [AtomicU64; Event::ALL.len()],
    consumption: Mutex<Consumption>,
}

impl Observer for Counters {
    fn observe(&self, event: Event) {
        self.events[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn consumed(&self, consumed: Consumed) {
        self.consumption.lock().unwrap_or_else(PoisonError::into_inner).add(consumed);
    }
}

/// The number of occurrences of each [`Event`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields have the names of the events")]
pub struct Counts {
    pub processed: u64,
    pub resumed: u64,
    pub duplicate: u64,
    pub parked: u64,
    pub deferred: u64,
    pub conflict: u64,
    pub unknown_commit: u64,
    pub handled: u64,
    pub payload_missing: u64,
    pub given_back: u64,
}

impl Counters {
    /// Returns the counts so far.
    pub fn counts(&self) -> Counts {
        let count = |event: Event| self.events[event as usize].load(Ordering::Relaxed);
        Counts {
            processed: count(Event::Processed),
            resumed: count(Event::Resumed),
            duplicate: count(Event::Duplicate),
            parked: count(Event::Parked),
            deferred: count(Event::Deferred),
            conflict: count(Event::Conflict),
            unknown_commit: count(Event::UnknownCommit),
            handled: count(Event::Handled),
            payload_missing: count(Event::PayloadMissing),
            given_back: count(Event::GivenBack),
        }
    }

    /// Returns the consumption so far, as reported by the ports.
    pub fn consumption(&self) -> Consumption {
        self.consumption.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            processed: self.processed + other.processed,
            resumed: self.resumed + other.resumed,
            duplicate: self.duplicate + other.duplicate,
            parked: self.parked + other.parked,
            deferred: self.deferred + other.deferred,
            conflict: self.conflict + other.conflict,
            unknown_commit: self.unknown_commit + other.unknown_commit,
            handled: self.handled + other.handled,
            payload_missing: self.payload_missing + other.payload_missing,
            given_back: self.given_back + other.given_back,
        }
    }
}

impl std::ops::Sub for Counts {
    type Output = Self;

    /// Returns the counts since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            processed: self.processed - earlier.processed,
            resumed: self.resumed - earlier.resumed,
            duplicate: self.duplicate - earlier.duplicate,
            parked: self.parked - earlier.parked,
            deferred: self.deferred - earlier.deferred,
            conflict: self.conflict - earlier.conflict,
            unknown_commit: self.unknown_commit - earlier.unknown_commit,
            handled: self.handled - earlier.handled,
            payload_missing: self.payload_missing - earlier.payload_missing,
            given_back: self.given_back - earlier.given_back,
        }
    }
}
