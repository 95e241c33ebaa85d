//! `cloakroom sweep`: finishes records whose message does not come any more.

use std::{fmt, process::ExitCode};

use cloakroom::recovery::{SweepCursor, SweepSettings, SweepStep, Swept};
use serde::Serialize;

use super::{
    Output, interruptible,
    reading::{Reading, Row, Rows, millis, sweep},
    verdict,
};
use crate::{account::Account, site::Failure, terminal};

/// Finishes records whose message does not come any more
///
/// Sends what they hold, settles their messages, and clears them: safe while workers run, and as often as you like. Reads the whole table, at a
/// read unit for each 4 KB. Exit code 1 if records are left that it could not finish, or, in a dry run, if there are any.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    account: Account,
    #[command(flatten)]
    reading: Reading,
    /// Drop embedded records that are older than this (50 days at least) and name a payload store that is not given here. Their messages
    /// are not sent
    #[arg(long, value_name = "DURATION")]
    drop_older_than: Option<humantime::Duration>,
    /// Go on where another sweep was broken off: the last cursor that it printed
    #[arg(long, value_name = "CURSOR")]
    resume: Option<SweepCursor>,
    /// Print what would be finished, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    finished: u64,
    /// Not finished, since nobody can look their messages up; or what a dry run would drop.
    dropped: Rows,
    /// Finished by somebody else in the meantime.
    overtaken: u64,
    /// Too young, or of another endpoint.
    skipped: u64,
    /// What a dry run would finish.
    due: Rows,
    /// What could not be finished.
    left: Rows,
    items_read: u64,
    read_units: f64,
    /// Where the sweep goes on.
    #[serde(skip)]
    cursor: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { finished, dropped, overtaken, skipped, due, left, items_read, read_units, .. } = self;
        write!(f, "{due}{left}{dropped}{finished} records finished, ")?;
        match (dropped.len(), self.dry_run) {
            (0, _) => {}
            (dropped, true) => write!(f, "{dropped} would be dropped, ")?,
            (dropped, false) => write!(f, "{dropped} dropped, ")?,
        }
        if self.dry_run {
            write!(f, "{} would be, ", due.len())?;
        }
        let left = left.len();
        write!(f, "{left} left, {skipped} skipped, {overtaken} finished by somebody else, ")?;
        write!(f, "among {items_read} items ({read_units} read units)")
    }
}

impl Report {
    fn note(&mut self, step: SweepStep<'_>) {
        match step {
            SweepStep::Record(_, Swept::Finished) => self.finished += 1,
            SweepStep::Record(found, Swept::Dropped | Swept::Droppable) => self.dropped.push(Row::new(found, None)),
            SweepStep::Record(_, Swept::Overtaken) => self.overtaken += 1,
            SweepStep::Record(_, Swept::Young | Swept::OfAnother | Swept::Settled) => self.skipped += 1,
            SweepStep::Record(found, Swept::Due) => self.due.push(Row::new(found, None)),
            SweepStep::Record(found, Swept::Left(reason)) => self.left.push(Row::new(found, Some(reason.clone()))),
            SweepStep::Page { cursor, items, units } => {
                self.items_read += items;
                self.read_units += units;
                let Self { items_read, finished, .. } = self;
                terminal::progress(format_args!("{items_read} items read, {finished} records finished"));
                self.cursor = (!cursor.is_at_end()).then(|| cursor.to_string());
                if let Some(text) = self.resume() {
                    terminal::progress(text);
                }
            }
        }
    }
}

impl Report {
    /// How to go on from where the sweep is.
    fn resume(&self) -> Option<String> {
        let what = if self.dry_run { "to go on from here, with --dry-run" } else { "to go on from here" };
        self.cursor.as_ref().map(|cursor| format!("{what}: --resume {cursor}"))
    }
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let Options { account, reading, drop_older_than, resume, dry_run, output } = options;
    let settings = SweepSettings { dry_run, drop_older_than_ms: drop_older_than.map(millis), ..reading.settings() };
    let sweep = sweep(&account.aws().await?, settings)?;
    let mut report = Report { dry_run, ..Report::default() };
    let swept = interruptible(sweep.run(resume, |step| report.note(step))).await;
    // Also of a sweep that failed half-way it is told what is done.
    output.print(&report)?;
    // Where progress was reported, this was the last line of it.
    if let (Err(_), Some(text), false) = (&swept, report.resume(), terminal::reports_progress()) {
        terminal::tell(text);
    }
    swept?;
    Ok(verdict(report.due.len() + report.left.len() > 0))
}
