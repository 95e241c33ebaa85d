//! `cloakroom sweep`: finishes records whose message is lost.

use std::{fmt, process::ExitCode};

use cloakroom::recovery::{SweepCursor, SweepSettings, SweepStep, Swept};
use serde::Serialize;

use crate::{
    account::Account,
    operate::{
        Output, interruptible,
        scan::{Row, Rows, ScanOptions, millis, new_sweep},
        verdict,
    },
    site::Failure,
    terminal,
};

/// Finishes records whose message is no longer delivered
///
/// It sends the outgoing messages of a record, settles its message, and clears the record. It may
/// run while workers run, and may be repeated. Reads the whole table, at one read unit per 4 KB.
/// Exit code 1 if it could not finish a record, or, in a dry run, if there are records to finish.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    account: Account,
    #[command(flatten)]
    scan: ScanOptions,
    /// Drop embedded records that are older than this (at least 50 days) and refer to a payload
    /// store that this command does not have. Their outgoing messages are not sent
    #[arg(long, value_name = "DURATION")]
    drop_older_than: Option<humantime::Duration>,
    /// Continue an interrupted sweep: the last cursor that it printed
    #[arg(long, value_name = "CURSOR")]
    resume: Option<SweepCursor>,
    /// Print the records that would be finished, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    finished: u64,
    /// Records that were dropped, or would be dropped in a dry run, because the payload store of
    /// their messages is not available.
    dropped: Rows,
    /// The number of records that another worker finished in the meantime.
    overtaken: u64,
    /// The number of records that are too young, settled, or of another endpoint.
    skipped: u64,
    /// Records that would be finished, in a dry run.
    due: Rows,
    /// Records that could not be finished.
    left: Rows,
    items_read: u64,
    read_units: f64,
    /// The cursor from which a sweep can continue.
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
            write!(f, "{} would be finished, ", due.len())?;
        }
        let left = left.len();
        write!(f, "{left} left, {skipped} skipped, {overtaken} finished by another worker; ")?;
        write!(f, "{items_read} items read ({read_units} read units)")
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
    /// Returns the text that shows how to continue the sweep from its current position.
    fn resume(&self) -> Option<String> {
        let action = if self.dry_run { "to continue from here, with --dry-run" } else { "to continue from here" };
        self.cursor.as_ref().map(|cursor| format!("{action}: --resume {cursor}"))
    }
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let Options { account, scan, drop_older_than, resume, dry_run, output } = options;
    let settings = SweepSettings { dry_run, drop_older_than_ms: drop_older_than.map(millis), ..scan.settings() };
    let sweep = new_sweep(&account.aws().await?, settings)?;
    let mut report = Report { dry_run, ..Report::default() };
    let swept = interruptible(sweep.run(resume, |step| report.note(step))).await;
    // A sweep that failed also reports what it has done.
    output.print(&report)?;
    // If progress was reported, the cursor was already printed.
    if let (Err(_), Some(text), false) = (&swept, report.resume(), terminal::reports_progress()) {
        terminal::report(text);
    }
    swept?;
    Ok(verdict(report.due.len() + report.left.len() > 0))
}
