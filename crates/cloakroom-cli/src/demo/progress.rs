//! The progress bar, and when a run is done or stuck.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::{demo::options::Options, terminal};

/// The approximate number of messages for one order.
const MESSAGES_PER_ORDER: u64 = 6;
/// A run in which no message is finished for this time is stuck.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) struct Progress {
    bar: Bar,
    detector: StallDetector,
}

impl Progress {
    pub(crate) fn new(options: &Options, orders: usize) -> Self {
        let bar = Bar::messages(Some(orders as u64 * MESSAGES_PER_ORDER), options.json);
        Self { bar, detector: StallDetector::new(STALL_TIMEOUT) }
    }

    pub(crate) fn update(&mut self, finished: u64, is_empty: bool) -> Status {
        self.bar.show(finished);
        let status = self.detector.update(finished, is_empty);
        match status {
            Status::Running => {}
            Status::Done => self.bar.clear(),
            Status::Stuck => {
                self.bar.clear();
                let seconds = STALL_TIMEOUT.as_secs();
                terminal::report(format_args!(
                    "no message was finished for {seconds} s; the audit reports the remaining messages"
                ));
            }
        }
        status
    }
}

/// The number of finished messages: a progress bar, or a line of JSON at each change.
pub(crate) struct Bar {
    bar: ProgressBar,
    prints_lines: bool,
    finished: u64,
}

impl Bar {
    /// Returns a bar for `length` messages, or for an unknown number of messages.
    pub(crate) fn messages(length: Option<u64>, prints_lines: bool) -> Self {
        let (bar, template) = match length {
            Some(length) => {
                (ProgressBar::new(length), "{elapsed_precise} {bar:40} {pos}/{len} messages {per_sec} {msg}")
            }
            None => (ProgressBar::no_length(), "{elapsed_precise} {pos} messages {per_sec} {msg}"),
        };
        if prints_lines {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, prints_lines, finished: 0 }
    }

    /// Sets the name of what is measured. If it differs from the name before, restarts at zero.
    pub(crate) fn name(&mut self, name: &str) {
        if self.bar.message() != name {
            self.bar.set_message(name.to_owned());
            self.bar.reset();
            self.finished = 0;
        }
    }

    pub(crate) fn show(&mut self, finished: u64) {
        self.bar.set_position(finished.min(self.bar.length().unwrap_or(finished)));
        if self.prints_lines && finished != self.finished {
            let mut line = serde_json::json!({ "finished": finished });
            if !self.bar.message().is_empty() {
                line["of"] = self.bar.message().into();
            }
            terminal::progress(line);
        }
        self.finished = finished;
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Detects the end of a run, and a run that makes no progress.
#[derive(Debug)]
pub(crate) struct StallDetector {
    stall_timeout: Duration,
    finished: u64,
    changed: Instant,
    /// Whether the queues were empty at the last update.
    was_empty: bool,
}

/// The status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Done,
    Stuck,
}

impl StallDetector {
    /// Returns a detector that reports a run as stuck after `stall_timeout` without a finished
    /// message.
    pub(crate) fn new(stall_timeout: Duration) -> Self {
        Self { stall_timeout, finished: 0, changed: Instant::now(), was_empty: false }
    }

    /// Updates the status. A run is done when the queues were empty at two updates and no message
    /// was finished in between. One update is not enough: the depths of the queues are read one
    /// after the other, and a message can move to a queue that was already read.
    pub(crate) fn update(&mut self, finished: u64, is_empty: bool) -> Status {
        let has_changed = finished != self.finished;
        if has_changed {
            (self.finished, self.changed) = (finished, Instant::now());
        }
        let was_empty = std::mem::replace(&mut self.was_empty, is_empty);
        if is_empty && was_empty && !has_changed {
            return Status::Done;
        }
        if self.changed.elapsed() < self.stall_timeout { Status::Running } else { Status::Stuck }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_done_after_two_empty_polls_without_a_finished_message() {
        let mut detector = StallDetector::new(Duration::MAX);
        let updates = [(1, true), (1, false), (1, true), (2, true), (2, true)];
        let statuses = updates.map(|(finished, is_empty)| detector.update(finished, is_empty));
        assert_eq!(statuses, [Status::Running, Status::Running, Status::Running, Status::Running, Status::Done]);
    }

    #[test]
    fn run_without_progress_is_stuck_after_the_stall_timeout() {
        let mut detector = StallDetector::new(Duration::ZERO);
        assert_eq!(detector.update(0, false), Status::Stuck);
    }
}
