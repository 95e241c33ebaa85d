//! What happened to messages, for whoever counts.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

/// Something that happened to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// Committed and finished.
    Processed,
    /// Finished, after an earlier run had committed it.
    Resumed,
    /// Found to be processed already.
    Duplicate,
    /// Moved to the dead-letter queue.
    Parked,
    /// A commit was lost to another one.
    Conflict,
    /// A commit's outcome stayed unknown.
    UnknownCommit,
    /// A handler was run.
    Handled,
    /// A payload was missing at the first receive of a first dispatch, and there was no record. Either the
    /// queue delivered a duplicate as if it were the first, or somebody removed a payload: a lost message.
    PayloadMissing,
    /// A message was given back to its queue after an error.
    GivenBack,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Processed,
        Self::Resumed,
        Self::Duplicate,
        Self::Parked,
        Self::Conflict,
        Self::UnknownCommit,
        Self::Handled,
        Self::PayloadMissing,
        Self::GivenBack,
    ];
}

/// Is told what happens. Called on the hot path: it MUST be quick, and MUST NOT block.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Something happened.
    fn observe(&self, event: Event);
}

/// Counts events.
///
/// ```
/// use cloakroom::{Counters, Event, Observer as _};
///
/// let counters = Counters::default();
/// counters.observe(Event::Duplicate);
/// assert_eq!(counters.counts().duplicate, 1);
/// ```
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Event::ALL.len()]);

impl Observer for Counters {
    fn observe(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// How often each [`Event`] happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as the events are")]
pub struct Counts {
    pub processed: u64,
    pub resumed: u64,
    pub duplicate: u64,
    pub parked: u64,
    pub conflict: u64,
    pub unknown_commit: u64,
    pub handled: u64,
    pub payload_missing: u64,
    pub given_back: u64,
}

impl Counters {
    /// The counts so far.
    pub fn counts(&self) -> Counts {
        let count = |event: Event| self.0[event as usize].load(Ordering::Relaxed);
        Counts {
            processed: count(Event::Processed),
            resumed: count(Event::Resumed),
            duplicate: count(Event::Duplicate),
            parked: count(Event::Parked),
            conflict: count(Event::Conflict),
            unknown_commit: count(Event::UnknownCommit),
            handled: count(Event::Handled),
            payload_missing: count(Event::PayloadMissing),
            given_back: count(Event::GivenBack),
        }
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

    /// What happened since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            processed: self.processed - earlier.processed,
            resumed: self.resumed - earlier.resumed,
            duplicate: self.duplicate - earlier.duplicate,
            parked: self.parked - earlier.parked,
            conflict: self.conflict - earlier.conflict,
            unknown_commit: self.unknown_commit - earlier.unknown_commit,
            handled: self.handled - earlier.handled,
            payload_missing: self.payload_missing - earlier.payload_missing,
            given_back: self.given_back - earlier.given_back,
        }
    }
}

/// Observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: Event) {}
}
