//! What happens, for whoever counts and measures.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    error::{ErrorKind, Retry},
    observe::consumption::Consumed,
};

/// Something that happened to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// Committed and finished.
    Processed,
    /// Finished, after an earlier run had committed it.
    Resumed,
    /// Found to be processed already.
    Duplicate,
    /// Moved to the dead-letter queue.
    Parked,
    /// Deferred by its handler: it comes again later.
    Deferred,
    /// A commit was lost to another one.
    Conflict,
    /// A commit's outcome stayed unknown.
    UnknownCommit,
    /// A handler was run.
    Handled,
    /// A payload was missing at the first receive of a first dispatch, and there was no record. Either the
    /// queue delivered a duplicate as if it were the first, or somebody removed a payload: a lost message.
    PayloadMissing,
    /// A message was given back to its queue after an error.
    GivenBack,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Processed,
        Self::Resumed,
        Self::Duplicate,
        Self::Parked,
        Self::Deferred,
        Self::Conflict,
        Self::UnknownCommit,
        Self::Handled,
        Self::PayloadMissing,
        Self::GivenBack,
    ];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Resumed => "resumed",
            Self::Duplicate => "duplicate",
            Self::Parked => "parked",
            Self::Deferred => "deferred",
            Self::Conflict => "conflict",
            Self::UnknownCommit => "unknown_commit",
            Self::Handled => "handled",
            Self::PayloadMissing => "payload_missing",
            Self::GivenBack => "given_back",
        }
    }
}

/// A part of the work on one message whose duration is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timed {
    /// All of it but waiting for the partition's turn, and the acknowledgement.
    Process,
    /// One run of the handler.
    Handle,
    /// One commit, with its repetitions.
    Commit,
    /// Sending everything that one record holds, with its repetitions.
    Dispatch,
    /// Deleting the message from its queue.
    Acknowledge,
}

/// Is told what happens. Called on the hot path: it MUST be quick, and MUST NOT block.
///
/// Only [`Observer::observe`] has to be written; whoever wants more overrides more. Two observers in a pair are told both.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Something happened.
    fn observe(&self, event: Event);

    /// A part of the work has ended after this time, well or with an error. Of an attempt that is dropped nothing is told.
    fn took(&self, part: Timed, duration: Duration, error: Option<ErrorKind>) {
        let _ = (part, duration, error);
    }

    /// Something is done once more: a pass, a call, or the send of one message.
    fn retried(&self, reason: Retry) {
        let _ = reason;
    }

    /// A queue has taken this many messages.
    fn sent(&self, queue: &str, messages: usize) {
        let _ = (queue, messages);
    }

    /// A worker of this queue makes progress: the queue has answered a receive, with or without messages, or a message
    /// in flight has come to its end, well or not. A worker without progress for longer than its longest handler and
    /// its longest pause stands still.
    fn progressed(&self, queue: &str) {
        let _ = queue;
    }

    /// A request to a service was made. Told by the ports, if they were given this observer.
    fn consumed(&self, consumed: Consumed) {
        let _ = consumed;
    }

    /// So long ago the oldest outbox record was committed that somebody found unfinished; zero if there is none. The engine
    /// sees only records of messages that it holds, so this is told by whoever looks through a table for them.
    fn oldest_record(&self, age: Duration) {
        let _ = age;
    }
}

/// Observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: Event) {}
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, event: Event) {
        (**self).observe(event);
    }

    fn took(&self, part: Timed, duration: Duration, error: Option<ErrorKind>) {
        (**self).took(part, duration, error);
    }

    fn retried(&self, reason: Retry) {
        (**self).retried(reason);
    }

    fn sent(&self, queue: &str, messages: usize) {
        (**self).sent(queue, messages);
    }

    fn progressed(&self, queue: &str) {
        (**self).progressed(queue);
    }

    fn consumed(&self, consumed: Consumed) {
        (**self).consumed(consumed);
    }

    fn oldest_record(&self, age: Duration) {
        (**self).oldest_record(age);
    }
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    fn observe(&self, event: Event) {
        self.0.observe(event);
        self.1.observe(event);
    }

    fn took(&self, part: Timed, duration: Duration, error: Option<ErrorKind>) {
        self.0.took(part, duration, error);
        self.1.took(part, duration, error);
    }

    fn retried(&self, reason: Retry) {
        self.0.retried(reason);
        self.1.retried(reason);
    }

    fn sent(&self, queue: &str, messages: usize) {
        self.0.sent(queue, messages);
        self.1.sent(queue, messages);
    }

    fn progressed(&self, queue: &str) {
        self.0.progressed(queue);
        self.1.progressed(queue);
    }

    fn consumed(&self, consumed: Consumed) {
        self.0.consumed(consumed);
        self.1.consumed(consumed);
    }

    fn oldest_record(&self, age: Duration) {
        self.0.oldest_record(age);
        self.1.oldest_record(age);
    }
}
