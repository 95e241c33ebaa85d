//! `cloakroom dlq list`, `finish` and `redrive`.

use std::process::ExitCode;

use cloakroom::recovery::Treatment;

use super::{Change, report::Report};
use crate::{operate::verdict, site::Failure};

pub(super) async fn run(change: Change, treatment: Treatment) -> Result<ExitCode, Failure> {
    let Change { queue, drop_missing, dry_run } = change;
    let letters = queue.dead_letters().await?.drops_missing(drop_missing).dry_run(dry_run);
    let mut report = Report::new(&queue.queue, dry_run);
    let complete = letters.treat(treatment, |letter| report.note(letter)).await?;
    report.complete = complete;
    queue.output.print(&report)?;
    Ok(verdict(report.leaves_some() || !report.complete))
}
