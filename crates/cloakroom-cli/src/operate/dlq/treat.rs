//! `cloakroom dlq list`, `finish` and `redrive`.

use std::process::ExitCode;

use cloakroom::recovery::Treatment;

use super::{Queue, report::Report};
use crate::{operate::verdict, site::Failure};

pub(super) async fn run(queue: Queue, treatment: Treatment, dry_run: bool) -> Result<ExitCode, Failure> {
    let letters = queue.dead_letters().await?.dry_run(dry_run);
    let mut report = Report::new(&queue.queue, dry_run);
    let complete = letters.treat(treatment, |letter| report.note(letter)).await?;
    report.complete = complete;
    queue.output.print(&report)?;
    Ok(verdict(report.leaves_some() || !report.complete))
}
