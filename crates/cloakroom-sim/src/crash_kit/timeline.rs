//! What happened in a run, for a reader who does not know the protocol.

use super::gate::{Line, Way};
use crate::wire::{Call, Operation};

/// A timeline longer than this is told from its beginning and its end.
const LINES_MAX: usize = 80;
/// Of which the end has so many.
const LAST_LINES: usize = 20;

pub(super) fn timeline(lines: &[Line]) -> Vec<String> {
    let mut step = 0;
    let text = |line: &Line| match line {
        Line::Received { worker, kind, receive_count } => {
            format!("     {} receives `{kind}`, delivery {receive_count}", name(*worker))
        }
        Line::AllIsOver => "     all is over; then a late duplicate comes".to_owned(),
        Line::Called { worker, call, way, answer } => {
            step += 1;
            format!("{step:>4} {} {:<34} {}", name(*worker), doing(call), became(*way, call, answer))
        }
        Line::Stopped { worker, before } => {
            step += 1;
            format!("{step:>4} {} STOPS: its process dies before it {}", name(*worker), doing(before))
        }
        Line::Ended { worker, how } => format!("     {} ends: {how}", name(*worker)),
        Line::Arrived { call } => format!("       what was sent before takes effect: {}", doing(call)),
    };
    let mut lines: Vec<String> = lines.iter().map(text).collect();
    if lines.len() > LINES_MAX {
        let cut = LINES_MAX - LAST_LINES..lines.len() - LAST_LINES;
        let told = format!("     ... {} more ...", cut.len());
        lines.splice(cut, [told]);
    }
    lines
}

/// A, B, and so on.
fn name(worker: usize) -> char {
    u8::try_from(worker).ok().and_then(|number| b'A'.checked_add(number)).map_or('?', char::from)
}

fn doing(call: &Call) -> String {
    let subject = &call.subject;
    match call.operation {
        Operation::ReadState => "reads the state".to_owned(),
        Operation::HasRecords => "looks for records of any message".to_owned(),
        Operation::ReadRecord => "looks for the outbox record".to_owned(),
        Operation::Commit => "commits state and messages".to_owned(),
        Operation::StoreClaims => "stores the claims".to_owned(),
        Operation::Retain => "marks the outbox record as retained".to_owned(),
        Operation::Clear => "clears the outbox record".to_owned(),
        Operation::ReadFailures => "reads how often the message has failed".to_owned(),
        Operation::WriteFailures => "counts a failure of the message".to_owned(),
        Operation::CheckIn => "checks an outgoing payload in".to_owned(),
        Operation::ReadPayload => "reads the payload".to_owned(),
        Operation::DeletePayload => "deletes a payload".to_owned(),
        Operation::HasEntry => "looks for the dedupe entry".to_owned(),
        Operation::PutEntry => "writes the dedupe entry".to_owned(),
        Operation::OpenQueue => format!("opens queue `{subject}`"),
        Operation::Send => format!("sends to queue `{subject}`"),
        Operation::Receive | Operation::Acknowledge | Operation::Extend => call.to_string(),
    }
}

fn became(way: Way, call: &Call, answer: &Result<String, String>) -> String {
    match (way, answer) {
        (Way::Through, Ok(answer)) => answered(call.operation, answer),
        (Way::Through, Err(error)) => format!("FAILS: {error}"),
        (Way::Refused, _) => "FAILS: nothing happened, and it knows".to_owned(),
        (Way::Vanished, _) => "FAILS: nothing happened, and it cannot know".to_owned(),
        (Way::Unanswered, _) => "FAILS: it happened, and it cannot know".to_owned(),
        (Way::Late(_), _) => "FAILS: it will happen later, and it cannot know".to_owned(),
    }
}

/// What matters of an answer, which is given as it is written for debugging.
fn answered(operation: Operation, answer: &str) -> String {
    let found = || if answer.starts_with("None") { "none" } else { "found" }.to_owned();
    match operation {
        // Attributes are in no particular order, so no more than this can be told of a state.
        Operation::ReadState => {
            let version = answer.split_once("Version(").and_then(|(_, rest)| rest.split_once(')'));
            version.map_or_else(String::new, |(version, _)| format!("version {version}"))
        }
        Operation::ReadRecord | Operation::ReadPayload | Operation::ReadFailures => found(),
        Operation::HasRecords | Operation::HasEntry => if answer == "true" { "found" } else { "none" }.to_owned(),
        Operation::Commit if answer.starts_with("Conflict(Overtaken") => {
            "lost: the version is another one, or there is a record".to_owned()
        }
        Operation::Commit if answer == "Applied(Separate)" => "applied".to_owned(),
        Operation::Commit if answer == "Applied(Embedded)" => {
            "applied, records embedded in the state's item".to_owned()
        }
        Operation::StoreClaims if answer.starts_with("AlreadyThere") => "others were there already".to_owned(),
        Operation::Commit | Operation::StoreClaims => answer.to_lowercase(),
        Operation::Send if answer.contains("Err") => answer.to_owned(),
        Operation::OpenQueue
        | Operation::Send
        | Operation::Retain
        | Operation::Clear
        | Operation::WriteFailures
        | Operation::CheckIn
        | Operation::DeletePayload
        | Operation::PutEntry
        | Operation::Receive
        | Operation::Acknowledge
        | Operation::Extend => "ok".to_owned(),
    }
}
