//! Whether it was its handler that refused a message.

use super::{picture::reason_of_handler, plan::Choice};
use crate::wire::Operation;

/// How Cloakroom itself says why it parks a message that its handler has not refused: a beginning, and what comes after it. Of a
/// handler's answer nothing is to be seen but such a reason. `tests/crash_kit/refused.rs` has a case for each that can be brought
/// about here, and fails when one is put in other words.
const REASONS: [(&str, &str); 17] = [
    // The handler did not run.
    ("endpoint `", "` has no handler for `"),
    ("the payload is no `", "`: "),
    ("the state of partition `", "` cannot be read: "),
    // It accepted the message, and what it made of it cannot be.
    ("endpoint `", "`, for which it has no route: "),
    ("a `", "` cannot be written as JSON: "),
    ("a `", "` was delayed by "),
    ("a `", "` has an empty partition"),
    ("the state ", "cannot be written as attributes: "),
    ("the state has an attribute `", ": rename it"),
    ("the state has a number `", "`, which no attribute can hold"),
    ("item `", "` cannot be written as attributes: "),
    ("item `", "`, which no attribute can hold"),
    ("item `", ": rename it"),
    ("an item cannot have the sort key `", "`: "),
    ("item `", "` is written twice by one message: "),
    ("partition key `", "; at most "),
    ("message `", "; at most "),
];

/// The end of the only reason that comes of a commit and is the handler's: it demands something of an item.
const NOT_AS_DEMANDED: &str = "` is not as the handler demands";

/// Whether the handler of a message that was parked for this reason, undisturbed, ran and refused it.
pub(super) fn is_by_handler(reason: &str, choices: &[Choice]) -> bool {
    let was_called = |operation| choices.iter().any(|choice| choice.operation == operation);
    if was_called(Operation::Commit) {
        return reason.ends_with(NOT_AS_DEMANDED);
    }
    // What cannot be read as a message is parked before its payload is sought.
    let is_known = was_called(Operation::ReadPayload) || was_called(Operation::HasEntry);
    let reason = reason_of_handler(reason);
    let is_said_by =
        |(beginning, then): &(&str, &str)| reason.strip_prefix(beginning).is_some_and(|rest| rest.contains(then));
    is_known && !REASONS.iter().any(is_said_by)
}
