//! `cloakroom dlq list`, `finish` and `redrive`.

use std::process::ExitCode;

use cloakroom::engine::parking::dead_letter_queue;
use cloakroom::recovery::Treatment;

use crate::{
    operate::{
        dlq::{Change, report::Report},
        interruptible, verdict,
    },
    site::Failure,
};

pub(super) async fn run(change: Change, treatment: Treatment) -> Result<ExitCode, Failure> {
    let Change { queue, payload_ttl, drop_missing, dry_run } = change;
    let aws = queue.aws().await?;
    let dead_letters =
        queue.dead_letters(&aws).payload_ttl(payload_ttl.into()).drops_missing(drop_missing).dry_run(dry_run);
    let mut report = Report::new(&queue.queue, dry_run);
    let walk = async {
        // If the walk did not reach the end of the queue, its result cannot be compared with the
        // depth.
        let is_whole = dead_letters.treat(treatment, |dead_letter| report.note(dead_letter)).await?;
        let queue_name = dead_letter_queue(&queue.queue);
        let depth = if is_whole { Some(aws.depth(&queue_name).await.map_err(Failure::new)?) } else { None };
        Ok::<_, Failure>(depth)
    };
    // SUBTLE: (1) A signal arrives. (2) `interruptible` ends the walk, which also reads the depth.
    // (3) The command prints its report. There must be no await between (2) and (3): a command that
    // awaits after an interrupt is dropped, and its report would be lost. Test:
    // `interrupted_dlq_list_reports_what_it_has_received`.
    let depth = interruptible(walk).await;
    if let Ok(Some(depth)) = &depth {
        report.compare(*depth);
    }
    queue.output.print(&report)?;
    depth?;
    Ok(verdict(report.leaves_some() || !report.complete))
}
