//! Messages that are given to the kit.

use cloakroom::Partition;
use serde_json::Value;

/// A message that was given to the kit.
#[derive(Clone, Debug)]
pub(super) struct KitMessage {
    pub(super) kind: &'static str,
    pub(super) partition: Partition,
    /// The payload, or the reason why it cannot be written.
    pub(super) body: Result<Value, String>,
    pub(super) expected: Expectation,
}

/// What the handler should do with a message if nothing disturbs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expectation {
    Accepted,
    Refused,
    Deferred,
}
