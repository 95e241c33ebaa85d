//! Receives of a FIFO queue that can be repeated with a `ReceiveRequestAttemptId`.

use std::collections::HashMap;

use crate::clock::{Millis, SECOND};
use crate::sqs::message::Number;

/// How long a receive can be repeated.
pub(super) const WINDOW: Millis = 300 * SECOND;

/// The receives of the last five minutes, by attempt id. The journal does not contain them: after a
/// restart, a repeated receive is a new one.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    pub(super) by_id: HashMap<String, Attempt>,
}

/// The result of one receive.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The messages, each with the receipt of its delivery.
    pub(super) deliveries: Vec<(Number, Number)>,
    /// The end of the visibility timeout of the messages, unless one was modified since.
    pub(super) until: Millis,
    pub(super) received_at: Millis,
}
