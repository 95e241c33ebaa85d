//! The results of an attempt at a message.

use std::time::Duration;

use crate::{
    error::{Error, ErrorKind},
    protocol::step::Outcome,
};

/// The reason why a message was not finished. The message must be received again.
pub enum NotFinished {
    /// The attempt failed.
    Failed(Error),
    /// The message was not tried, because an earlier message of its group was not finished. This
    /// occurs only on FIFO queues.
    Behind,
    /// The message was not started, or its attempt was dropped, because the time was up.
    Stopped,
    /// The message was not tried, because too many messages of its partition are in flight in this
    /// worker. This does not count as a failed attempt.
    Crowded,
    /// The handler [deferred](crate::HandlerError::defer) the message for this time. The queue
    /// cannot take a copy with a delay, because it is a FIFO queue or is not known. This does not
    /// count as a failed attempt.
    Deferred(Duration),
}

impl std::fmt::Display for NotFinished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Behind => {
                f.write_str("an earlier message of its group was not finished; this message is tried after it")
            }
            Self::Stopped => f.write_str("the time was up before the message was finished"),
            Self::Crowded => {
                f.write_str("too many messages of its partition are in flight; this message is tried later")
            }
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
#[must_use = "a finished message must be deleted, and any other message must not be"]
pub enum Recovered {
    /// The message is finished. Delete it from the dead-letter queue.
    Finished(Outcome),
    /// The message has no record. Do **not** delete it.
    NotCommitted,
}

/// The result of an attempt at a message.
pub(crate) type AttemptResult = Result<Outcome, NotFinished>;
