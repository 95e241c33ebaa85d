//! Settings of a worker: plain data, validated when the worker starts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, within},
    format::lifetime::DAY_MS,
    ports::backoff::Backoff,
};

/// The maximum pause before the retry of a failed receive, or of the opening of a queue. Such a
/// retry does not increase the receive count of a message, so there is no reason for a longer
/// pause.
const POLL_PAUSE_MS_MAX: u64 = 5_000;

/// The settings of how a worker receives and processes messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSettings {
    /// The maximum number of messages in flight: those in handlers, and those that wait for their
    /// partition. Default: 64.
    pub in_flight_max: usize,
    /// The maximum number of messages in flight of one partition, so that a slow partition does not
    /// block the others. A message above it waits for one second, and then goes back to the queue
    /// with a pause, which does not count as a failed attempt. A FIFO queue limits the messages in
    /// flight of a group itself. Default: half of `in_flight_max`. If it is less than the
    /// endpoint's `fold_max`, fewer messages share a commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_in_flight_max: Option<usize>,
    /// The wait of a long poll in milliseconds, from 1 to 20 seconds. A short wait costs more
    /// requests when the queue is empty. Default: 20 s.
    pub receive_wait_ms: u64,
    /// The visibility timeout of received messages, in milliseconds. It is extended while a message
    /// is processed. Default: 30 s.
    pub visibility_ms: u64,
    /// The maximum time of a handler, in milliseconds. A handler that runs longer is stopped, which
    /// counts as a failed attempt. So a handler that hangs does not block its worker forever, and
    /// its message is parked in the end. Reading, committing and sending may take the same time
    /// again. Then the attempt is dropped at any point, and the message is given back. Default: 15
    /// minutes.
    pub attempt_ms_max: u64,
    /// The time for which a shutdown waits for messages in flight before it gives them back, in
    /// milliseconds. Default: 20 s.
    pub drain_ms: u64,
    /// The pause before a failed message is received again, by its receive count. Default: from 1 s
    /// to 5 minutes.
    pub retry: Backoff,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            in_flight_max: 64,
            partition_in_flight_max: None,
            receive_wait_ms: 20_000,
            visibility_ms: 30_000,
            attempt_ms_max: 15 * 60 * 1000,
            drain_ms: 20_000,
            retry: Backoff { first_ms: 1_000, max_ms: 300_000 },
        }
    }
}

impl WorkerSettings {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        within("in_flight_max", self.in_flight_max as u64, 1, 100_000)?;
        within("partition_in_flight_max", self.partition_in_flight_max() as u64, 1, self.in_flight_max as u64)?;
        within("receive_wait_ms", self.receive_wait_ms, 1_000, 20_000)?;
        within("visibility_ms", self.visibility_ms, 1_000, 12 * 60 * 60 * 1000)?;
        within("attempt_ms_max", self.attempt_ms_max, 1_000, DAY_MS)?;
        within("drain_ms", self.drain_ms, 0, 60 * 60 * 1000)?;
        self.retry.validate("retry")
    }

    /// Returns the pause after a receive, or the opening of a queue, that failed `failures` times
    /// in a row.
    pub(crate) fn poll_pause(&self, failures: u32, random: u128) -> Duration {
        let Backoff { first_ms, max_ms } = self.retry;
        Backoff { first_ms, max_ms: max_ms.min(POLL_PAUSE_MS_MAX) }.pause(failures, random)
    }

    pub(crate) fn partition_in_flight_max(&self) -> usize {
        self.partition_in_flight_max.unwrap_or_else(|| self.in_flight_max.div_ceil(2))
    }

    pub(crate) const fn visibility(&self) -> Duration {
        Duration::from_millis(self.visibility_ms)
    }

    pub(crate) const fn attempt_max(&self) -> Duration {
        Duration::from_millis(self.attempt_ms_max)
    }
}
