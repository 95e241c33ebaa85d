//! `cloakroom pending`: records that wait.

use std::{fmt, process::ExitCode};

use cloakroom::recovery::{SweepSettings, SweepStep, Swept};
use serde::Serialize;

use super::{
    Output,
    reading::{Reading, Row, Rows, sweep},
    verdict,
};
use crate::{account::Account, site::Failure, terminal};

/// Lists records that wait to be finished
///
/// At rest there are none. One that is old has lost its message: `sweep` finishes it. Reads the whole table, at a read unit for each 4 KB.
/// Exit code 1 if there are any.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    account: Account,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    records: Rows,
    /// How many there are that are too young to be listed.
    younger: u64,
    items_read: u64,
    read_units: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, younger, items_read, read_units } = self;
        write!(f, "{records}{} records wait, and {younger} younger ones, ", records.len())?;
        write!(f, "among {items_read} items ({read_units} read units)")
    }
}

pub(crate) async fn run(Options { account, reading, output }: Options) -> Result<ExitCode, Failure> {
    let settings = SweepSettings { dry_run: true, ..reading.settings() };
    let sweep = sweep(&account.aws().await?, settings)?;
    let mut report = Report::default();
    let tell = |step: SweepStep<'_>| match step {
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
    sweep.run(None, tell).await?;
    output.print(&report)?;
    Ok(verdict(report.records.len() > 0))
}
