//! The progress and the final report of a soak.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    demo::{lossy::Losses, report::Report as Run},
    terminal,
};

/// The progress of a soak.
#[derive(Debug, Serialize)]
pub(crate) struct SoakProgress {
    pub(crate) seconds: u64,
    pub(crate) orders: usize,
    pub(crate) messages: u64,
    pub(crate) kills: u64,
    /// Messages in the queues of the services, if the queues responded.
    pub(crate) ahead: Option<u64>,
}

impl fmt::Display for SoakProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, orders, messages, kills, ahead } = self;
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        let ahead = ahead.map_or("?".to_owned(), |ahead| ahead.to_string());
        write!(
            f,
            "{minutes:>4}:{seconds:02} {orders:>8} orders {messages:>9} messages {kills:>5} kills {ahead:>5} in queues"
        )
    }
}

/// The longest acceptable time without a finished message after a silence, in seconds.
const STANDSTILL_SECONDS_MAX: f64 = 15.0;

/// The result of a soak.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) minutes: f64,
    /// The time in which the queues drained after the faults had ended.
    pub(crate) drain_seconds: f64,
    /// Worker processes that were killed.
    pub(crate) kills: u64,
    /// The number of silences of an AWS service.
    pub(crate) silences: u64,
    /// The longest time under faults in which no message was finished although there was work.
    pub(crate) standstill_seconds: f64,
    /// Losses between workers and their ports, by service and operation. Without the last 0.1
    /// seconds of each killed process, which were not reported.
    pub(crate) losses: Losses,
    /// The depth of every queue, if the queues did not drain after the faults had ended.
    pub(crate) stuck: Option<BTreeMap<String, u64>>,
    #[serde(flatten)]
    pub(crate) run: Run,
}

impl Report {
    pub(crate) fn is_good(&self) -> bool {
        self.run.verdict.balanced && self.stuck.is_none() && !self.stood_still()
    }

    /// Returns whether no message was finished for too long, if there were silences.
    fn stood_still(&self) -> bool {
        self.silences > 0 && self.standstill_seconds > STANDSTILL_SECONDS_MAX
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<44}{value:>14}");
        row("minutes with faults / seconds to drain", format!("{:.1} / {:.1}", self.minutes, self.drain_seconds))?;
        row("worker processes killed", self.kills.to_string())?;
        row("services silenced", self.silences.to_string())?;
        row("longest time without a finished message (s)", format!("{:.1}", self.standstill_seconds))?;
        let faults = &self.run.usage.faults;
        row("AWS: connections that went silent", faults.silences.to_string())?;
        row("     responses lost after the effect", faults.lost_responses.to_string())?;
        row("     throttled / failed with 500 or 503", format!("{} / {}", faults.throttled, faults.server_errors))?;
        row("     transaction conflicts", faults.transaction_conflicts.to_string())?;
        row(
            "     messages delivered twice / late",
            format!("{} / {}", faults.duplicate_deliveries, faults.late_deliveries),
        )?;
        for (service, [unanswered, refused, vanished, late]) in self.losses.by_service() {
            row(&format!("calls to {service}: lost after the effect"), unanswered.to_string())?;
            row("     refused / vanished / late", format!("{refused} / {vanished} / {late}"))?;
        }
        if let Some(queues) = &self.stuck {
            writeln!(f, "! Stuck: the queues do not drain although the faults have ended. Depths: {queues:?}")?;
            writeln!(
                f,
                "! The figures below are those of unfinished work. `CLOAKROOM_LOG=warn` logs the errors of the workers."
            )?;
        }
        if self.stood_still() {
            writeln!(f, "! No message was finished for more than {STANDSTILL_SECONDS_MAX} s although there was work.")?;
        }
        self.run.fmt(f)
    }
}

/// Prints the progress as text or as a line of JSON.
pub(crate) fn print_progress(progress: &SoakProgress, as_json: bool) {
    if as_json { terminal::progress(serde_json::json!(progress)) } else { terminal::progress(progress) }
}

/// The interval of progress reports.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(10);
