//! `cloakroom pending`: records that are not finished.

use std::{fmt, process::ExitCode};

use cloakroom::recovery::{SweepSettings, SweepStep, Swept};
use serde::Serialize;

use crate::{
    account::Account,
    operate::{
        Output,
        scan::{Row, Rows, ScanOptions, new_sweep},
        verdict,
    },
    site::Failure,
    terminal,
};

/// Lists records that are not finished
///
/// If all messages are processed, there are none. An old record has lost its message; `sweep`
/// finishes it. Reads the whole table, at one read unit per 4 KB. Exit code 1 if there are any.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    account: Account,
    #[command(flatten)]
    scan: ScanOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    records: Rows,
    /// The number of records that are too young to be listed.
    younger: u64,
    items_read: u64,
    read_units: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, younger, items_read, read_units } = self;
        write!(f, "{records}{} records are not finished, and {younger} are younger; ", records.len())?;
        write!(f, "{items_read} items read ({read_units} read units)")
    }
}

pub(crate) async fn run(Options { account, scan, output }: Options) -> Result<ExitCode, Failure> {
    let settings = SweepSettings { dry_run: true, ..scan.settings() };
    let sweep = new_sweep(&account.aws().await?, settings)?;
    let mut report = Report::default();
    let report_step = |step: SweepStep<'_>| match step {
        SweepStep::Record(found, Swept::Left(reason)) => report.records.push(Row::new(found, Some(reason.clone()))),
        SweepStep::Record(found, Swept::Due) => report.records.push(Row::new(found, None)),
        SweepStep::Record(_, Swept::Young) => report.younger += 1,
        SweepStep::Record(
            _,
            Swept::OfAnother | Swept::Settled | Swept::Finished | Swept::Droppable | Swept::Dropped | Swept::Overtaken,
        ) => {}
        SweepStep::Page { items, units, .. } => {
            report.items_read += items;
            report.read_units += units;
            let (items, records) = (report.items_read, report.records.len());
            terminal::progress(format_args!("{items} items read, {records} records"));
        }
    };
    sweep.run(None, report_step).await?;
    output.print(&report)?;
    Ok(verdict(report.records.len() > 0))
}
