//! The entries of a coalescer that wait for their request.

use std::mem;

use futures::channel::oneshot;

use crate::error::PortError;

/// What a request answers for one entry.
pub(crate) type Answer<A> = Result<A, PortError>;

/// What the caller of an entry is told.
pub(super) enum Told<T, A> {
    Answer(Answer<A>),
    /// Not sent: here it is again.
    Back(T),
}

/// Why an entry has no answer, although it may have been in a request.
pub(super) enum Unanswered {
    /// Its request has no answer yet.
    Late,
    /// The caller that sent its request was dropped.
    Dropped,
}

pub(super) struct Entry<T, A> {
    pub(super) value: T,
    pub(super) caller: oneshot::Sender<Told<T, A>>,
}

/// Entries that wait, and who leads them.
pub(super) struct Waiting<T, A> {
    pub(super) entries: Vec<Entry<T, A>>,
    /// The number of the leader, if there is one.
    pub(super) leader: Option<u64>,
    /// How many leaders there were.
    pub(super) leaders: u64,
    /// The number of the request that they will be in.
    pub(super) request: u64,
    /// Requests that were not answered yet.
    pub(super) under_way: usize,
    /// The leader, if it waits until there is none.
    pub(super) idle: Option<oneshot::Sender<()>>,
}

impl<T, A> Default for Waiting<T, A> {
    fn default() -> Self {
        Self { entries: Vec::new(), leader: None, leaders: 0, request: 0, under_way: 0, idle: None }
    }
}

impl<T, A> Waiting<T, A> {
    pub(super) fn take(&mut self) -> Vec<Entry<T, A>> {
        self.request += 1;
        mem::take(&mut self.entries)
    }
}
