//! `cloakroom dlq park`: takes culprits out of a work queue.

use std::process::ExitCode;

use cloakroom::{
    format::Envelope,
    recovery::{DeadLetter, Fate},
};

use super::{Queue, report::Report};
use crate::{
    operate::{interruptible, verdict},
    site::Failure,
};

/// Moves messages from a work queue to its dead-letter queue, with a reason
///
/// Such as one that makes workers crash before they can park it. All messages of the queue are received and the others
/// given back. That hides them from their workers for up to two and a half minutes, turns their loss alarm off, and
/// counts as a receive of each, of which SQS allows `maxReceiveCount`. Endpoints count failures of the handler, and no
/// receives. What a worker holds at the moment is not seen. Exit code 1 if none was found, or one could not be moved.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("culprit").required(true).multiple(true).args(["ids", "types"])))]
pub(crate) struct Options {
    #[command(flatten)]
    queue: Queue,
    /// The message of this id; may be repeated
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// All messages of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Why: it is kept with the message
    #[arg(long, default_value = "parked by an operator")]
    reason: String,
    /// Print what would be moved, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(Options { queue, ids, types, reason, dry_run }: Options) -> Result<ExitCode, Failure> {
    let is_culprit =
        |envelope: &Envelope| ids.iter().any(|id| id == envelope.id.as_str()) || types.contains(&envelope.kind);
    let letters = queue.dead_letters(&queue.aws().await?).dry_run(dry_run);
    let mut report = Report::new(&queue.queue, dry_run);
    // Nothing is to be said of the others, but how many there are.
    let tell = |letter: &DeadLetter| {
        if letter.fate == Fate::Left {
            report.others += 1;
        } else {
            report.note(letter);
        }
    };
    let parked = interruptible(letters.park(is_culprit, &reason, tell)).await;
    report.complete = matches!(parked, Ok(true));
    queue.output.print(&report)?;
    parked?;
    Ok(verdict(report.leaves_some() || report.is_empty()))
}
