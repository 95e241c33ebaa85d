//! `cloakroom dlq park`: moves selected messages out of a work queue.

use std::process::ExitCode;

use cloakroom::{
    format::Envelope,
    recovery::{DeadLetter, Fate},
};

use crate::{
    operate::{
        dlq::{Queue, report::Report},
        interruptible, verdict,
    },
    site::Failure,
};

/// Moves messages from a work queue to its dead-letter queue, with a reason
///
/// Use it for a message that crashes workers before they can park it. The command receives all
/// messages of the queue, and makes the other messages visible again. That hides these from workers
/// for up to two and a half minutes, turns their loss alarm off, and adds one to the receive count
/// of each, which SQS limits to `maxReceiveCount`. Endpoints count failures of the handler, not
/// receives. The command cannot find messages that a worker has in flight. Exit code 1 if no
/// message was found, or if one could not be moved.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("selection").required(true).multiple(true).args(["ids", "types"])))]
pub(crate) struct Options {
    #[command(flatten)]
    queue: Queue,
    /// Park the message with this id; may be repeated
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Park all messages of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// The reason; it is stored with the message
    #[arg(long, default_value = "parked by an operator")]
    reason: String,
    /// Print the messages that would be moved, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(Options { queue, ids, types, reason, dry_run }: Options) -> Result<ExitCode, Failure> {
    let is_selected =
        |envelope: &Envelope| ids.iter().any(|id| id == envelope.id.as_str()) || types.contains(&envelope.kind);
    let dead_letters = queue.dead_letters(&queue.aws().await?).dry_run(dry_run);
    let mut report = Report::new(&queue.queue, dry_run);
    // Of the other messages, the report has only the number.
    let report_letter = |dead_letter: &DeadLetter| {
        if dead_letter.fate == Fate::Left {
            report.others += 1;
        } else {
            report.note(dead_letter);
        }
    };
    let parked = interruptible(dead_letters.park(is_selected, &reason, report_letter)).await;
    report.complete = matches!(parked, Ok(true));
    queue.output.print(&report)?;
    parked?;
    Ok(verdict(report.leaves_some() || report.is_empty()))
}
