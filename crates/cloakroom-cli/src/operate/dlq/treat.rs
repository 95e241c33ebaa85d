//! `cloakroom dlq list`, `finish` and `redrive`.

use std::process::ExitCode;

use cloakroom::recovery::Treatment;
use cloakroom_aws::dead_letter_queue;

use super::{Change, report::Report};
use crate::{
    operate::{interruptible, verdict},
    site::Failure,
};

pub(super) async fn run(change: Change, treatment: Treatment) -> Result<ExitCode, Failure> {
    let Change { queue, payload_ttl, drop_missing, dry_run } = change;
    let aws = queue.aws().await?;
    let letters = queue.dead_letters(&aws).payload_ttl(payload_ttl.into()).drops_missing(drop_missing).dry_run(dry_run);
    let mut report = Report::new(&queue.queue, dry_run);
    let treated = interruptible(letters.treat(treatment, |letter| report.note(letter))).await;
    let depth = aws.depth(&dead_letter_queue(&queue.queue)).await;
    // Whatever failed, it is told what is done.
    if let (Ok(true), Ok(depth)) = (&treated, &depth) {
        report.compare(*depth);
    }
    queue.output.print(&report)?;
    treated?;
    depth.map_err(Failure::new)?;
    Ok(verdict(report.leaves_some() || !report.complete))
}
