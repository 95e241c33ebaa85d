//! Settings of a worker: plain data, validated when the worker starts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, within},
    format::lifetime::DAY_MS,
    ports::backoff::Backoff,
};

/// The longest pause before a receive, or the opening of a queue, that failed is tried again. It uses up no receive of a
/// message, so there is no reason to stay away for longer.
const POLL_PAUSE_MS_MAX: u64 = 5_000;

/// How a worker takes messages from its queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSettings {
    /// Messages held at a time: in handlers, and waiting for their partition. Default: 64.
    pub in_flight_max: usize,
    /// How many of these messages may be of one partition, so that a slow partition leaves places to others. What is more waits for
    /// a second, and then goes back to the queue with a pause, which uses up no attempt. On FIFO queues the queue itself bounds what a
    /// group has in flight. Default: half of `in_flight_max`. With less than `fold_max` of the endpoint, fewer messages share
    /// a commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_in_flight_max: Option<usize>,
    /// How long one long poll waits; 1 to 20 seconds. Short polls cost a request each time that there is nothing. Default: 20 s.
    pub receive_wait_ms: u64,
    /// For how long a received message is invisible to others. It is extended while the message is worked on. Default: 30 s.
    pub visibility_ms: u64,
    /// How long a handler may run. A handler that runs longer is stopped, which counts as a failed attempt: so a handler that hangs
    /// does not hold its place for ever, and its message is parked in the end. Reading, committing and sending may take as long
    /// again. Then the attempt is dropped, wherever it is, and the message given back. Default: 15 minutes.
    pub attempt_ms_max: u64,
    /// How long a shutdown waits for messages in hand before it gives them back. Default: 20 s.
    pub drain_ms: u64,
    /// Pauses before a message that failed is received again, by receive count. Default: from 1 s to 5 minutes.
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

    /// Returns the pause after a receive, or the opening of a queue, that failed `failures` times in a row.
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
