//! Events and measurements, and the trait that receives them.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    error::{ErrorKind, Retry},
    observe::consumption::Consumed,
};

/// An event in the processing of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// The message was committed and finished.
    Processed,
    /// The message was finished. An earlier run had committed it.
    Resumed,
    /// The message was found to be a duplicate.
    Duplicate,
    /// The message was moved to the dead-letter queue.
    Parked,
    /// The message was deferred by its handler. It comes again later.
    Deferred,
    /// A commit lost against another commit.
    Conflict,
    /// The outcome of a commit remained unknown.
    UnknownCommit,
    /// A handler ran.
    Handled,
    /// A payload was missing at the first receive of a first dispatch, and there was no record.
    /// Either the queue delivered a duplicate as a first receive, or the payload was deleted and
    /// the message is lost.
    PayloadMissing,
    /// A message was given back to its queue after an error.
    GivenBack,
}

impl Event {
    /// All events.
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

    /// Returns the name of the event in metrics and logs.
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

/// A part of the processing of one message whose duration is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timed {
    /// The whole processing, without the wait for earlier messages of the partition and without the
    /// acknowledgement.
    Process,
    /// One run of the handler.
    Handle,
    /// One commit, with its retries.
    Commit,
    /// Sending all messages of one record, with retries.
    Dispatch,
    /// Deleting the message from its queue.
    Acknowledge,
}

/// Receives events and measurements. Its methods are called on the hot path. They MUST return
/// quickly and MUST NOT block.
///
/// Only [`Observer::observe`] must be implemented. A pair of observers is an observer that calls
/// both.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Receives an event.
    fn observe(&self, event: Event);

    /// Receives the duration of a part of the processing, with the kind of its error if it failed.
    /// It is not called for an attempt that is dropped.
    fn took(&self, part: Timed, duration: Duration, error: Option<ErrorKind>) {
        let _ = (part, duration, error);
    }

    /// Receives the reason for a retry of a pass, a call, or the send of one message.
    fn retried(&self, reason: Retry) {
        let _ = reason;
    }

    /// Receives the number of messages that a queue has accepted.
    fn sent(&self, queue: &str, messages: usize) {
        let _ = (queue, messages);
    }

    /// Receives the progress of a worker. A worker makes progress when its queue has answered a
    /// receive, with or without messages, and when a message in flight is finished or has failed. A
    /// worker is stuck if it makes no progress for longer than its longest handler and its longest
    /// pause.
    fn progressed(&self, queue: &str) {
        let _ = queue;
    }

    /// Receives the consumption of a request to a service. The ports call it if they were created
    /// with this observer.
    fn consumed(&self, consumed: Consumed) {
        let _ = consumed;
    }

    /// Receives the time since the commit of the oldest unfinished outbox record that was found. It
    /// is zero if none was found. The engine only knows records of its own messages, so a scan of
    /// the table must call this.
    fn oldest_record(&self, age: Duration) {
        let _ = age;
    }
}

/// An observer that ignores everything.
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
