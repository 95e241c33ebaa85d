//! The gate: every call of a worker waits here until the run gives it an outcome.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use cloakroom::PortError;
use futures::{FutureExt as _, future::BoxFuture};

use crate::{
    crash_kit::events::{CallOutcome, RunEvent},
    wire::{Call, Operation, Wire},
};

/// The data that the workers of one run share. Only the kit reads it.
#[derive(Debug)]
pub(super) struct SharedRun {
    /// The queues that were opened.
    pub(super) queues: Mutex<BTreeSet<String>>,
    /// The events. `None` if they are not needed, because recording takes time.
    log: Option<Mutex<Vec<RunEvent>>>,
    late: Mutex<Vec<Late>>,
    pub(super) step: AtomicUsize,
}

/// A call that takes effect later.
struct Late {
    due: usize,
    call: Call,
    effect: BoxFuture<'static, ()>,
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.call, self.due)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedRun {
    pub(super) fn new(is_traced: bool) -> Self {
        Self {
            queues: Mutex::default(),
            log: is_traced.then(Mutex::default),
            late: Mutex::default(),
            step: AtomicUsize::new(0),
        }
    }

    pub(super) fn note(&self, line: impl FnOnce() -> RunEvent) {
        if let Some(log) = &self.log {
            lock(log).push(line());
        }
    }

    /// Deletes the events so far.
    pub(super) fn forget(&self) {
        if let Some(log) = &self.log {
            lock(log).clear();
        }
    }

    pub(super) fn lines(&self) -> Vec<RunEvent> {
        self.log.as_ref().map(|log| lock(log).clone()).unwrap_or_default()
    }

    /// Applies the late calls that are due before this step.
    pub(super) fn apply_late_calls(&self, step: usize) {
        let due: Vec<Late> = lock(&self.late).extract_if(.., |late| late.due <= step).collect();
        for Late { call, effect, .. } in due {
            // A call that waits for something else never takes effect, which is a valid outcome,
            // too.
            let _ = effect.now_or_never();
            self.note(|| RunEvent::Arrived { call });
        }
    }
}

/// The connection of one process to its ports.
#[derive(Debug)]
pub(super) struct Gate {
    shared: Arc<SharedRun>,
    /// Calls do not wait.
    is_open: bool,
    /// The number of the worker that uses the connection.
    pub(super) worker: AtomicUsize,
    waiting: Mutex<VecDeque<(Call, Weak<PendingCall>)>>,
}

/// A call that waits for its outcome.
#[derive(Debug, Default)]
struct PendingCall(Mutex<(Option<CallOutcome>, Option<Waker>)>);

impl Gate {
    pub(super) fn new(shared: &Arc<SharedRun>, is_open: bool) -> Arc<Self> {
        let (worker, waiting) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { shared: Arc::clone(shared), is_open, worker, waiting })
    }

    /// The call that gets an outcome next. Concurrent calls are taken in the order in which they
    /// were made.
    pub(super) fn next(&self) -> Option<Call> {
        let mut waiting = lock(&self.waiting);
        // A caller may have been dropped in the meantime, as happens when one of several concurrent
        // calls fails.
        waiting.retain(|(_, pending)| pending.strong_count() > 0);
        waiting.front().map(|(call, _)| call.clone())
    }

    /// Gives the next call this outcome.
    pub(super) fn open(&self, call_outcome: CallOutcome) {
        let mut waiting = lock(&self.waiting);
        while let Some((_, pending)) = waiting.pop_front() {
            if let Some(pending) = pending.upgrade() {
                let mut place = lock(&pending.0);
                place.0 = Some(call_outcome);
                if let Some(waker) = place.1.take() {
                    waker.wake();
                }
                return;
            }
        }
    }

    async fn pass(&self, call: &Call) -> CallOutcome {
        if self.is_open {
            return CallOutcome::Answered;
        }
        let pending = Arc::new(PendingCall::default());
        lock(&self.waiting).push_back((call.clone(), Arc::downgrade(&pending)));
        poll_fn(|context| {
            let mut place = lock(&pending.0);
            match place.0 {
                Some(call_outcome) => Poll::Ready(call_outcome),
                None => {
                    place.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Wire for Gate {
    async fn carry<T: fmt::Debug + Send + 'static>(
        self: Arc<Self>,
        call: Call,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        if call.operation == Operation::OpenQueue {
            lock(&self.shared.queues).insert(call.subject.clone());
        }
        let call_outcome = self.pass(&call).await;
        let failure = || PortError::new(call.to_string(), "the crash kit lost it");
        let result = match call_outcome {
            CallOutcome::Answered => effect.await,
            CallOutcome::Refused => Err(failure().without_effect()),
            CallOutcome::Vanished => Err(failure()),
            CallOutcome::Unanswered => effect.await.and_then(|_| Err(failure())),
            CallOutcome::Late(steps) => {
                let due = self.shared.step.load(Ordering::Relaxed).saturating_add(steps);
                let effect = effect.map(|_| ()).boxed();
                lock(&self.shared.late).push(Late { due, call: call.clone(), effect });
                Err(failure())
            }
        };
        self.shared.note(|| RunEvent::Called {
            worker: self.worker.load(Ordering::Relaxed),
            call,
            call_outcome,
            answer: result.as_ref().map(|value| format!("{value:?}")).map_err(ToString::to_string),
        });
        result
    }
}

/// The connection of handlers that call ports themselves. It records these calls.
#[derive(Debug, Default)]
pub(super) struct PortCallRecorder(Mutex<Vec<Call>>);

impl PortCallRecorder {
    /// Returns the calls since the last call of this function.
    pub(super) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.0))
    }
}

impl Wire for PortCallRecorder {
    async fn carry<T: fmt::Debug + Send + 'static>(
        self: Arc<Self>,
        call: Call,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        lock(&self.0).push(call);
        effect.await
    }
}
