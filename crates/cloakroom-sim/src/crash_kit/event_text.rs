//! The events of a run as text, for a reader who does not know the protocol.

use crate::{
    crash_kit::events::{CallOutcome, RunEvent},
    wire::{Call, Operation},
};

/// A longer timeline is cut in the middle.
const LINES_MAX: usize = 80;
/// How many of these lines are the last ones of the run.
const LAST_LINES: usize = 20;

pub(super) fn timeline(lines: &[RunEvent]) -> Vec<String> {
    let mut step = 0;
    let text = |line: &RunEvent| match line {
        RunEvent::Received { worker, kind, receive_count } => {
            format!("     {} receives `{kind}`, delivery {receive_count}", name(*worker))
        }
        RunEvent::LateDuplicates => "     everything is over; then a late duplicate arrives".to_owned(),
        RunEvent::Called { worker, call, call_outcome, answer } => {
            step += 1;
            format!("{step:>4} {} {:<34} {}", name(*worker), call_text(call), outcome_text(*call_outcome, call, answer))
        }
        RunEvent::Stopped { worker, before } => {
            step += 1;
            format!("{step:>4} {} STOPS: its process stops before it {}", name(*worker), call_text(before))
        }
        RunEvent::Ended { worker, how } => format!("     {} ends: {how}", name(*worker)),
        RunEvent::Arrived { call } => format!("       an earlier call takes effect: {}", call_text(call)),
    };
    let mut lines: Vec<String> = lines.iter().map(text).collect();
    if lines.len() > LINES_MAX {
        let cut = LINES_MAX - LAST_LINES..lines.len() - LAST_LINES;
        let omitted = format!("     ... {} more ...", cut.len());
        lines.splice(cut, [omitted]);
    }
    lines
}

/// Returns A, B, and so on.
fn name(worker: usize) -> char {
    u8::try_from(worker).ok().and_then(|number| b'A'.checked_add(number)).map_or('?', char::from)
}

fn call_text(call: &Call) -> String {
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
        Operation::CheckIn => "checks in an outgoing payload".to_owned(),
        Operation::ReadPayload => "reads the payload".to_owned(),
        Operation::DeletePayload => "deletes a payload".to_owned(),
        Operation::HasEntry => "looks for the dedupe entry".to_owned(),
        Operation::PutEntry => "writes the dedupe entry".to_owned(),
        Operation::OpenQueue => format!("opens queue `{subject}`"),
        Operation::Send => format!("sends to queue `{subject}`"),
        Operation::Receive | Operation::Acknowledge | Operation::Extend => call.to_string(),
    }
}

fn outcome_text(call_outcome: CallOutcome, call: &Call, answer: &Result<String, String>) -> String {
    match (call_outcome, answer) {
        (CallOutcome::Answered, Ok(answer)) => answer_text(call.operation, answer),
        (CallOutcome::Answered, Err(error)) => format!("FAILS: {error}"),
        (CallOutcome::Refused, _) => "FAILS: nothing happened, and the caller knows".to_owned(),
        (CallOutcome::Vanished, _) => "FAILS: nothing happened, and the caller cannot know".to_owned(),
        (CallOutcome::Unanswered, _) => "FAILS: it happened, and the caller cannot know".to_owned(),
        (CallOutcome::Late(_), _) => "FAILS: it will happen later, and the caller cannot know".to_owned(),
    }
}

/// The relevant part of a response, which is given in its debug form.
fn answer_text(operation: Operation, answer: &str) -> String {
    let found = || if answer.starts_with("None") { "none" } else { "found" }.to_owned();
    match operation {
        // Attributes have no particular order, so only the version is shown.
        Operation::ReadState => {
            let version = answer.split_once("Version(").and_then(|(_, rest)| rest.split_once(')'));
            version.map_or_else(String::new, |(version, _)| format!("version {version}"))
        }
        Operation::ReadRecord | Operation::ReadPayload | Operation::ReadFailures => found(),
        Operation::HasRecords | Operation::HasEntry => if answer == "true" { "found" } else { "none" }.to_owned(),
        Operation::Commit if answer.starts_with("Conflict(Overtaken") => {
            "lost: the version has changed, or there is a record".to_owned()
        }
        Operation::Commit if answer == "Applied(Separate)" => "applied".to_owned(),
        Operation::Commit if answer == "Applied(Embedded)" => {
            "applied, records embedded in the state's item".to_owned()
        }
        Operation::StoreClaims if answer.starts_with("AlreadyThere") => "the record already has claims".to_owned(),
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
