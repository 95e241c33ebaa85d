//! The invocations of a function: which are under way, and what became of the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::event_source::Receipts;
use crate::clock::{self, Millis, SECOND};
use crate::identifier;

/// What happened to a function so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FunctionStats {
    /// Invocations that were begun.
    pub invocations: u64,
    /// Invocations that have neither ended nor passed their deadline.
    pub under_way: u64,
    /// Invocations that were answered.
    pub succeeded: u64,
    /// Invocations that ended with an error, or with an answer that fails the whole batch.
    pub failed: u64,
    /// Invocations that passed their deadline without an answer. Lambda kills such a process and starts another.
    pub timed_out: u64,
    /// Processes that said that they could not start.
    pub init_errors: u64,
    /// Messages that were given to invocations, counting each time.
    pub messages_given: u64,
    /// Messages that were deleted after an invocation had succeeded.
    pub messages_deleted: u64,
    /// Messages that an answer reported as failed.
    pub messages_failed: u64,
}

/// How an invocation ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Succeeded { deleted: usize, failed: usize },
    Failed,
    TimedOut,
}

/// The invocations of one function.
pub(super) struct Invocations {
    timeout: Millis,
    /// The receipts of those under way, by request id.
    under_way: Mutex<BTreeMap<String, Receipts>>,
    stats: watch::Sender<FunctionStats>,
}

/// An invocation that has begun.
pub(super) struct Begun {
    pub(super) request_id: String,
    pub(super) deadline: Millis,
}

impl Invocations {
    pub(super) fn new(timeout_s: u64) -> Self {
        Self { timeout: timeout_s * SECOND, under_way: Mutex::default(), stats: watch::Sender::default() }
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<String, Receipts>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an invocation, which ends at its deadline if not before.
    pub(super) fn begin(self: &Arc<Self>, receipts: Receipts) -> Begun {
        let begun = Begun { request_id: identifier::unique(), deadline: clock::now() + self.timeout };
        let given: usize = receipts.values().map(Vec::len).sum();
        self.under_way().insert(begun.request_id.clone(), receipts);
        self.stats.send_modify(|stats| {
            stats.invocations += 1;
            stats.under_way += 1;
            stats.messages_given += given as u64;
        });
        let (weak, request_id, timeout) = (Arc::downgrade(self), begun.request_id.clone(), self.timeout);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(timeout)).await;
            if let Some(invocations) = weak.upgrade()
                && invocations.take(&request_id).is_some()
            {
                tracing::warn!(request_id, "the invocation timed out; its messages come again");
                invocations.end(End::TimedOut);
            }
        });
        begun
    }

    /// Takes the receipts of an invocation, if it is under way. Whoever has them says afterwards how it ended.
    pub(super) fn take(&self, request_id: &str) -> Option<Receipts> {
        self.under_way().remove(request_id)
    }

    /// Notes how an invocation ended whose receipts were taken.
    pub(super) fn end(&self, end: End) {
        self.stats.send_modify(|stats| {
            stats.under_way -= 1;
            match end {
                End::Succeeded { deleted, failed } => {
                    stats.succeeded += 1;
                    stats.messages_deleted += deleted as u64;
                    stats.messages_failed += failed as u64;
                }
                End::Failed => stats.failed += 1,
                End::TimedOut => stats.timed_out += 1,
            }
        });
    }

    pub(super) fn note_init_error(&self) {
        self.stats.send_modify(|stats| stats.init_errors += 1);
    }

    pub(super) fn stats(&self) -> FunctionStats {
        *self.stats.borrow()
    }

    pub(super) async fn until(&self, is_wanted: impl FnMut(&FunctionStats) -> bool) -> FunctionStats {
        // An error would mean that the sender is gone, which is a part of this.
        self.stats.subscribe().wait_for(is_wanted).await.map_or_else(|_| self.stats(), |stats| *stats)
    }
}
