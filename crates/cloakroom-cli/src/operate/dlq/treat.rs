//! `cloakroom dlq list`, `finish` and `redrive`.

use std::process::ExitCode;

use cloakroom::engine::parking::dead_letter_queue;
use cloakroom::recovery::Treatment;

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
    let walk = async {
        // A walk that did not come to the end of the queue cannot be compared with it.
        let is_whole = letters.treat(treatment, |letter| report.note(letter)).await?;
        let dead_letters = dead_letter_queue(&queue.queue);
        let depth = if is_whole { Some(aws.depth(&dead_letters).await.map_err(Failure::new)?) } else { None };
        Ok::<_, Failure>(depth)
    };
    // SUBTLE: an interrupt ends this future, in which the depth is asked for, too. From here to the report nothing is
    // awaited: a command that waits after an interrupt is dropped, and its report with it
    // (`interrupted_dlq_list_reports_what_it_has_received`).
    let depth = interruptible(walk).await;
    if let Ok(Some(depth)) = &depth {
        report.compare(*depth);
    }
    queue.output.print(&report)?;
    depth?;
    Ok(verdict(report.leaves_some() || !report.complete))
}
