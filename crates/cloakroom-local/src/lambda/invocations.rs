//! The running invocations of a function, and the results of the completed ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{self, Millis, SECOND};
use crate::identifier;
use crate::lambda::event_source::Receipts;

/// The invocations and messages of a function so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FunctionStats {
    /// Invocations that were started.
    pub invocations: u64,
    /// Invocations that have neither completed nor passed their deadline.
    pub under_way: u64,
    /// Invocations that returned a response.
    pub succeeded: u64,
    /// Invocations that failed: with an error, or with a response that fails the whole batch.
    pub failed: u64,
    /// Invocations that passed their deadline without a response. Lambda kills such a process and
    /// starts another.
    pub timed_out: u64,
    /// Processes that reported an initialization error.
    pub init_errors: u64,
    /// Messages that were passed to invocations. A message that is passed twice counts twice.
    pub messages_given: u64,
    /// Messages that were deleted after a successful invocation.
    pub messages_deleted: u64,
    /// Messages that a response reported as failed.
    pub messages_failed: u64,
}

/// The result of an invocation.
#[derive(Debug, Clone, Copy)]
pub(super) enum InvocationResult {
    Succeeded { deleted: usize, failed: usize },
    Failed,
    TimedOut,
}

/// The invocations of one function.
pub(super) struct Invocations {
    timeout: Millis,
    /// The receipt handles of the running invocations, by request id.
    under_way: Mutex<BTreeMap<String, Receipts>>,
    stats: watch::Sender<FunctionStats>,
}

/// An invocation that was started.
pub(super) struct StartedInvocation {
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

    /// Starts an invocation. It ends at its deadline at the latest.
    pub(super) fn begin(self: &Arc<Self>, receipts: Receipts) -> StartedInvocation {
        let started = StartedInvocation { request_id: identifier::unique(), deadline: clock::now() + self.timeout };
        let given: usize = receipts.values().map(Vec::len).sum();
        self.under_way().insert(started.request_id.clone(), receipts);
        self.stats.send_modify(|stats| {
            stats.invocations += 1;
            stats.under_way += 1;
            stats.messages_given += given as u64;
        });
        let (weak, request_id, timeout) = (Arc::downgrade(self), started.request_id.clone(), self.timeout);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(timeout)).await;
            if let Some(invocations) = weak.upgrade()
                && invocations.take(&request_id).is_some()
            {
                tracing::warn!(request_id, "the invocation timed out; its messages will be received again");
                invocations.end(InvocationResult::TimedOut);
            }
        });
        started
    }

    /// Removes and returns the receipt handles of an invocation, if it is running. The caller must
    /// then record its result with `end`.
    pub(super) fn take(&self, request_id: &str) -> Option<Receipts> {
        self.under_way().remove(request_id)
    }

    /// Records the result of an invocation whose receipt handles were taken.
    pub(super) fn end(&self, end: InvocationResult) {
        self.stats.send_modify(|stats| {
            stats.under_way -= 1;
            match end {
                InvocationResult::Succeeded { deleted, failed } => {
                    stats.succeeded += 1;
                    stats.messages_deleted += deleted as u64;
                    stats.messages_failed += failed as u64;
                }
                InvocationResult::Failed => stats.failed += 1,
                InvocationResult::TimedOut => stats.timed_out += 1,
            }
        });
    }

    pub(super) fn record_init_error(&self) {
        self.stats.send_modify(|stats| stats.init_errors += 1);
    }

    pub(super) fn stats(&self) -> FunctionStats {
        *self.stats.borrow()
    }

    pub(super) async fn until(&self, is_wanted: impl FnMut(&FunctionStats) -> bool) -> FunctionStats {
        // An error would mean that the sender is dropped, but this value owns it.
        self.stats.subscribe().wait_for(is_wanted).await.map_or_else(|_| self.stats(), |stats| *stats)
    }
}
