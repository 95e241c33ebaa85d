//! The progress of a run.

use std::time::Duration;

/// The interval of progress reports.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// The progress of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The name of the current contestant.
    pub contestant: String,
    /// Its number in the order of contestants, from 1.
    pub number: usize,
    /// The number of contestants.
    pub contestants: usize,
    /// The number of messages that it was offered so far.
    pub offered: u64,
    /// The number of messages that have ended.
    pub ended: u64,
    /// The number of messages that it will be offered, if that is known.
    pub messages: Option<u64>,
    /// The time since its start.
    pub elapsed: Duration,
}
