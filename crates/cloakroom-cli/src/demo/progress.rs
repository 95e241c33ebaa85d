//! How far it has come: the bar, and whether it is over.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::Options;
use crate::terminal;

/// About as many messages as an order takes.
const MESSAGES_PER_ORDER: u64 = 6;
/// After this time without any change it is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Progress {
    bar: Bar,
    watch: Watch,
}

impl Progress {
    pub(crate) fn new(options: &Options, orders: usize) -> Self {
        let bar = Bar::messages(Some(orders as u64 * MESSAGES_PER_ORDER), options.json);
        Self { bar, watch: Watch::new(PATIENCE) }
    }

    pub(crate) fn look(&mut self, finished: u64, is_empty: bool) -> Look {
        self.bar.show(finished);
        let look = self.watch.look(finished, is_empty);
        match look {
            Look::GoOn => {}
            Look::Over => self.bar.clear(),
            Look::Stuck => {
                self.bar.clear();
                let seconds = PATIENCE.as_secs();
                terminal::tell(format_args!("nothing has moved for {seconds} s: the audit tells what is left"));
            }
        }
        look
    }
}

/// How many messages are finished, for people. For machines a line of JSON whenever there are more.
pub(crate) struct Bar {
    bar: ProgressBar,
    tells_lines: bool,
    finished: u64,
}

impl Bar {
    /// Of so many, if that is known.
    pub(crate) fn messages(length: Option<u64>, tells_lines: bool) -> Self {
        let (bar, template) = match length {
            Some(length) => {
                (ProgressBar::new(length), "{elapsed_precise} {bar:40} {pos}/{len} messages {per_sec} {msg}")
            }
            None => (ProgressBar::no_length(), "{elapsed_precise} {pos} messages {per_sec} {msg}"),
        };
        if tells_lines {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, tells_lines, finished: 0 }
    }

    /// Begins again, for something of this name, if that is another one than before.
    pub(crate) fn name(&mut self, name: &str) {
        if self.bar.message() != name {
            self.bar.set_message(name.to_owned());
            self.bar.reset();
            self.finished = 0;
        }
    }

    pub(crate) fn show(&mut self, finished: u64) {
        self.bar.set_position(finished.min(self.bar.length().unwrap_or(finished)));
        if self.tells_lines && finished != self.finished {
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

/// Watches whether anything moves.
#[derive(Debug)]
pub(crate) struct Watch {
    patience: Duration,
    finished: u64,
    changed: Instant,
    /// The queues were empty at the last look.
    was_empty: bool,
}

/// What a look at the queues tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    GoOn,
    Over,
    Stuck,
}

impl Watch {
    /// Stuck is what does not move for so long.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, finished: 0, changed: Instant::now(), was_empty: false }
    }

    /// It is over when the queues are empty twice and nothing was finished in between: they are asked one after the
    /// other, and a message may slip past a single look.
    pub(crate) fn look(&mut self, finished: u64, is_empty: bool) -> Look {
        let has_changed = finished != self.finished;
        if has_changed {
            (self.finished, self.changed) = (finished, Instant::now());
        }
        let was_empty = std::mem::replace(&mut self.was_empty, is_empty);
        if is_empty && was_empty && !has_changed {
            return Look::Over;
        }
        if self.changed.elapsed() < self.patience { Look::GoOn } else { Look::Stuck }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_the_queues_are_empty_twice_and_nothing_moved() {
        let mut watch = Watch::new(Duration::MAX);
        let looks = [(1, true), (1, false), (1, true), (2, true), (2, true)];
        let told = looks.map(|(finished, is_empty)| watch.look(finished, is_empty));
        assert_eq!(told, [Look::GoOn, Look::GoOn, Look::GoOn, Look::GoOn, Look::Over]);
    }

    #[test]
    fn without_patience_whatever_does_not_move_is_stuck() {
        let mut watch = Watch::new(Duration::ZERO);
        assert_eq!(watch.look(0, false), Look::Stuck);
    }
}
