//! What became of a message that was tried.

use std::time::Duration;

use crate::{
    error::{Error, ErrorKind},
    protocol::step::Outcome,
};

/// Why a message was not finished, and has to be received again.
pub enum NotFinished {
    /// It was tried.
    Failed(Error),
    /// It was not tried, because a message before it in its group was not finished. On FIFO queues only.
    Behind,
    /// It was dropped, or not begun, because the time was up.
    Stopped,
    /// It was not tried, because too many messages of its partition are in flight in this worker. It uses up no attempt.
    Crowded,
    /// Its handler [deferred](crate::HandlerError::defer) it for this time, and its queue takes no copy with a delay: it is a FIFO
    /// queue, or not known. It uses up no attempt.
    Deferred(Duration),
}

impl std::fmt::Display for NotFinished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Behind => f.write_str("a message before it in its group was not finished; it is tried after that"),
            Self::Stopped => f.write_str("the time was up before it was finished"),
            Self::Crowded => f.write_str("too many messages of its partition are in flight; it is tried later"),
            Self::Deferred(delay) => write!(f, "its handler deferred it; let it come again in {delay:?}"),
        }
    }
}

crate::debug_is_display!(NotFinished);

impl std::error::Error for NotFinished {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Behind | Self::Stopped | Self::Crowded | Self::Deferred(_) => None,
        }
    }
}

impl From<NotFinished> for Error {
    fn from(not_finished: NotFinished) -> Self {
        match not_finished {
            NotFinished::Failed(error) => error,
            NotFinished::Behind | NotFinished::Stopped | NotFinished::Crowded | NotFinished::Deferred(_) => {
                Self::new(ErrorKind::RetryMessage, not_finished.to_string())
            }
        }
    }
}

/// The result of finishing a message from a dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "who finishes a message deletes it"]
pub enum Recovered {
    /// The message is finished: delete it from the dead-letter queue.
    Finished(Outcome),
    /// The message has no record: do **not** delete it.
    NotCommitted,
}

/// How an attempt at a message ended.
pub(crate) type AttemptResult = Result<Outcome, NotFinished>;
