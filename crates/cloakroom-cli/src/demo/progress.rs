//! How far it has come: the bar, and whether it is over.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::Options;

/// About as many messages as an order takes.
const MESSAGES_PER_ORDER: u64 = 6;
/// After this time without any change the demonstration gives up.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Progress {
    bar: ProgressBar,
    /// For machines: a line of JSON in place of the bar.
    tells_lines: bool,
    finished: u64,
    changed: Instant,
    /// The queues were empty at the last look.
    was_empty: bool,
}

/// What a look at the queues tells.
pub(crate) enum Look {
    GoOn,
    Over,
    Stuck,
}

impl Progress {
    pub(crate) fn new(options: &Options, orders: usize) -> Self {
        let bar = ProgressBar::new(orders as u64 * MESSAGES_PER_ORDER);
        if options.json {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let template = "{elapsed_precise} {bar:40} {pos}/{len} messages {per_sec}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, tells_lines: options.json, finished: 0, changed: Instant::now(), was_empty: false }
    }

    /// It is over when the queues are empty twice and nothing was finished in between: they are asked one after the
    /// other, and a message may slip past a single look.
    pub(crate) fn look(&mut self, finished: u64, is_empty: bool) -> Look {
        self.bar.set_position(finished.min(self.bar.length().unwrap_or(finished)));
        let has_changed = finished != self.finished;
        if has_changed {
            (self.finished, self.changed) = (finished, Instant::now());
            if self.tells_lines {
                eprintln!("{}", serde_json::json!({ "finished": finished }));
            }
        }
        let was_empty = std::mem::replace(&mut self.was_empty, is_empty);
        if is_empty && was_empty && !has_changed {
            self.bar.finish_and_clear();
            return Look::Over;
        }
        if self.changed.elapsed() < PATIENCE {
            return Look::GoOn;
        }
        self.bar.finish_and_clear();
        eprintln!("nothing has moved for {} s: the audit tells what is left", PATIENCE.as_secs());
        Look::Stuck
    }
}
