//! The entries of a batcher that wait for their request.

use std::mem;

use futures::channel::oneshot;

use crate::error::PortError;

/// The answer of a request for one entry.
pub(crate) type Answer<A> = Result<A, PortError>;

/// The reply to the caller of an entry.
pub(super) enum Reply<T, A> {
    Answer(Answer<A>),
    /// The entry was not sent. This is its value.
    NotSent(T),
}

/// The reason why an entry has no answer, although it may have been in a request.
pub(super) enum Unanswered {
    /// Its request was not answered in time.
    Late,
    /// The caller that sent its request was dropped.
    Dropped,
}

pub(super) struct Entry<T, A> {
    pub(super) value: T,
    pub(super) caller: oneshot::Sender<Reply<T, A>>,
}

/// The entries that wait, and their leader.
pub(super) struct Waiting<T, A> {
    pub(super) entries: Vec<Entry<T, A>>,
    /// The number of the leader, if there is one.
    pub(super) leader: Option<u64>,
    /// The number of leaders so far.
    pub(super) leaders: u64,
    /// The number of the request that will carry the entries.
    pub(super) request: u64,
    /// The number of requests that are not answered yet.
    pub(super) in_flight: usize,
    /// Notifies the leader when no request is in flight, if the leader waits for that.
    pub(super) idle: Option<oneshot::Sender<()>>,
}

impl<T, A> Default for Waiting<T, A> {
    fn default() -> Self {
        Self { entries: Vec::new(), leader: None, leaders: 0, request: 0, in_flight: 0, idle: None }
    }
}

impl<T, A> Waiting<T, A> {
    pub(super) fn take(&mut self) -> Vec<Entry<T, A>> {
        self.request += 1;
        mem::take(&mut self.entries)
    }
}
