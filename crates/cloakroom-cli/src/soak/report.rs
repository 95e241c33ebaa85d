//! What a soak prints, on its way and at its end.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    demo::{lossy::Losses, report::Report as Run},
    terminal,
};

/// How far it has come.
#[derive(Debug, Serialize)]
pub(crate) struct News {
    pub(crate) seconds: u64,
    pub(crate) orders: usize,
    pub(crate) messages: u64,
    pub(crate) kills: u64,
    /// Messages in the queues of the services, if they told.
    pub(crate) ahead: Option<u64>,
}

impl fmt::Display for News {
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

/// Whatever goes silent, some worker is at work again by then.
const STANDSTILL_SECONDS_MAX: f64 = 15.0;

/// The whole outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) minutes: f64,
    /// How long the queues took to drain when the trouble was over.
    pub(crate) drain_seconds: f64,
    /// Worker processes that were killed.
    pub(crate) kills: u64,
    /// How often a service of AWS went silent.
    pub(crate) silences: u64,
    /// The longest time in trouble in which nothing was finished although there was work.
    pub(crate) standstill_seconds: f64,
    /// Losses between workers and their ports, by service and operation. What a process met in its last tenth of a
    /// second before it was killed is not counted.
    pub(crate) losses: Losses,
    /// The depth of every queue, if they did not drain although the trouble was over.
    pub(crate) stuck: Option<BTreeMap<String, u64>>,
    #[serde(flatten)]
    pub(crate) run: Run,
}

impl Report {
    pub(crate) fn is_good(&self) -> bool {
        self.run.verdict.balanced && self.stuck.is_none() && !self.stood_still()
    }

    /// Whether nothing was finished for too long after a silence.
    fn stood_still(&self) -> bool {
        self.silences > 0 && self.standstill_seconds > STANDSTILL_SECONDS_MAX
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<44}{value:>14}");
        row("minutes of trouble / seconds to drain", format!("{:.1} / {:.1}", self.minutes, self.drain_seconds))?;
        row("worker processes killed", self.kills.to_string())?;
        row("services silenced", self.silences.to_string())?;
        row("longest time without a finished message (s)", format!("{:.1}", self.standstill_seconds))?;
        let faults = &self.run.usage.faults;
        row("AWS: connections that went silent", faults.silences.to_string())?;
        row("     answers lost after the effect", faults.lost_responses.to_string())?;
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
            writeln!(f, "! Stuck: the queues do not drain although the trouble is over. They hold {queues:?}")?;
            writeln!(
                f,
                "! The figures below are those of unfinished work. `CLOAKROOM_LOG=warn` tells what the workers meet."
            )?;
        }
        if self.stood_still() {
            writeln!(f, "! Nothing was finished for more than {STANDSTILL_SECONDS_MAX} s, although there was work.")?;
        }
        self.run.fmt(f)
    }
}

/// What a soak says on its way: to people, or to machines.
pub(crate) fn tell(news: &News, as_json: bool) {
    if as_json { terminal::progress(serde_json::json!(news)) } else { terminal::progress(news) }
}

/// How often.
pub(crate) const TELL_EVERY: Duration = Duration::from_secs(10);
