//! The progress bar.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Options;

/// About as many messages as an order takes.
const MESSAGES_PER_ORDER: u64 = 6;

pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(options: &Options, orders: usize) -> Self {
        let bar = ProgressBar::new(orders as u64 * MESSAGES_PER_ORDER);
        if options.json {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let template = "{elapsed_precise} {bar:40} {pos}/{len} messages {per_sec}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    pub(crate) fn show(&self, messages: u64) {
        self.0.set_position(messages.min(self.0.length().unwrap_or(messages)));
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
