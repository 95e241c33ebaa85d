//! The events of a run.

use crate::wire::Call;

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallOutcome {
    /// It takes effect, and its response arrives.
    Answered,
    /// It does not take effect, and the caller knows that.
    Refused,
    /// It does not take effect, and the caller cannot know that.
    Vanished,
    /// It takes effect, and the caller cannot know that.
    Unanswered,
    /// It takes effect this many steps later, and the caller cannot know that.
    Late(usize),
}

/// An event of a run.
#[derive(Clone, Debug)]
pub(super) enum RunEvent {
    Received { worker: usize, kind: &'static str, receive_count: u32 },
    LateDuplicates,
    Called { worker: usize, call: Call, call_outcome: CallOutcome, answer: Result<String, String> },
    Stopped { worker: usize, before: Call },
    Ended { worker: usize, how: String },
    Arrived { call: Call },
}
