//! Whether a message was refused by its handler.

use crate::{
    crash_kit::{plan::Choice, snapshot::reason_of_handler},
    wire::Operation,
};

/// The reasons for which Cloakroom itself parks a message that its handler has not refused: the
/// beginning of the text, and a part that follows. The reason is all that the kit sees of a
/// handler's result. `tests/crash_kit/refused.rs` has a case for each reason that can be caused
/// here. The case fails when the wording changes.
const REASONS: [(&str, &str); 17] = [
    // The handler did not run.
    ("endpoint `", "` has no handler for `"),
    ("the payload is no `", "`: "),
    ("the state of partition `", "` cannot be read: "),
    // It accepted the message, and its result cannot be written or sent.
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

/// The end of the only reason that a commit causes and that comes from the handler: a condition on
/// an item.
const NOT_AS_DEMANDED: &str = "` is not as the handler demands";

/// Whether the handler ran and refused a message that was parked for this reason, undisturbed.
pub(super) fn is_by_handler(reason: &str, choices: &[Choice]) -> bool {
    let was_called = |operation| choices.iter().any(|choice| choice.operation == operation);
    if was_called(Operation::Commit) {
        return reason.ends_with(NOT_AS_DEMANDED);
    }
    // A message that cannot be decoded is parked before its payload is read.
    let is_known = was_called(Operation::ReadPayload) || was_called(Operation::HasEntry);
    let reason = reason_of_handler(reason);
    let is_said_by =
        |(beginning, then): &(&str, &str)| reason.strip_prefix(beginning).is_some_and(|rest| rest.contains(then));
    is_known && !REASONS.iter().any(is_said_by)
}
