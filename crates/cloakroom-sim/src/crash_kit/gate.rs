//! Where every call of a worker waits until it is let through, and what becomes of it then.

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

use crate::wire::{Call, Operation, Wire};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It happens, and is answered.
    Through,
    /// It did not happen, and that is known.
    Refused,
    /// It did not happen, but that is not known.
    Vanished,
    /// It happened, but that is not known.
    Unanswered,
    /// That is not known, and it happens after that many more steps.
    Late(usize),
}

/// A line of a timeline.
#[derive(Clone, Debug)]
pub(super) enum Line {
    Received { worker: usize, kind: &'static str, receive_count: u32 },
    AllIsOver,
    Called { worker: usize, call: Call, way: Way, answer: Result<String, String> },
    Stopped { worker: usize, before: Call },
    Ended { worker: usize, how: String },
    Arrived { call: Call },
}

/// What the workers of one run share: nothing but what is noted about them.
#[derive(Debug)]
pub(super) struct Hall {
    /// The queues that were opened.
    pub(super) queues: Mutex<BTreeSet<String>>,
    /// Only if somebody wants to read it: it takes time.
    log: Option<Mutex<Vec<Line>>>,
    late: Mutex<Vec<Late>>,
    pub(super) step: AtomicUsize,
}

/// A call on its way.
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

impl Hall {
    pub(super) fn new(is_traced: bool) -> Self {
        Self {
            queues: Mutex::default(),
            log: is_traced.then(Mutex::default),
            late: Mutex::default(),
            step: AtomicUsize::new(0),
        }
    }

    pub(super) fn note(&self, line: impl FnOnce() -> Line) {
        if let Some(log) = &self.log {
            lock(log).push(line());
        }
    }

    /// What was noted so far is of no interest.
    pub(super) fn forget(&self) {
        if let Some(log) = &self.log {
            lock(log).clear();
        }
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.log.as_ref().map(|log| lock(log).clone()).unwrap_or_default()
    }

    /// Lets the late calls happen that are due before this step.
    pub(super) fn arrive(&self, step: usize) {
        let due: Vec<Late> = lock(&self.late).extract_if(.., |late| late.due <= step).collect();
        for Late { call, effect, .. } in due {
            // A call that waits for something else would never arrive, and that is as good.
            let _ = effect.now_or_never();
            self.note(|| Line::Arrived { call });
        }
    }
}

/// The way of one process to its ports.
#[derive(Debug)]
pub(super) struct Gate {
    hall: Arc<Hall>,
    /// Nobody waits.
    is_open: bool,
    /// Who works behind it.
    pub(super) worker: AtomicUsize,
    waiting: Mutex<VecDeque<(Call, Weak<Ticket>)>>,
}

/// The place of a caller that waits.
#[derive(Debug, Default)]
struct Ticket(Mutex<(Option<Way>, Option<Waker>)>);

impl Gate {
    pub(super) fn new(hall: &Arc<Hall>, is_open: bool) -> Arc<Self> {
        let (worker, waiting) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { hall: Arc::clone(hall), is_open, worker, waiting })
    }

    /// The call that would be let through next. Calls that are made at the same time go in the order in which they came.
    pub(super) fn next(&self) -> Option<Call> {
        let mut waiting = lock(&self.waiting);
        // A caller may have been dropped meanwhile, as the others are when one of several fails.
        waiting.retain(|(_, ticket)| ticket.strong_count() > 0);
        waiting.front().map(|(call, _)| call.clone())
    }

    /// Lets the next call go this way.
    pub(super) fn open(&self, way: Way) {
        let mut waiting = lock(&self.waiting);
        while let Some((_, ticket)) = waiting.pop_front() {
            if let Some(ticket) = ticket.upgrade() {
                let mut place = lock(&ticket.0);
                place.0 = Some(way);
                if let Some(waker) = place.1.take() {
                    waker.wake();
                }
                return;
            }
        }
    }

    async fn pass(&self, call: &Call) -> Way {
        if self.is_open {
            return Way::Through;
        }
        let ticket = Arc::new(Ticket::default());
        lock(&self.waiting).push_back((call.clone(), Arc::downgrade(&ticket)));
        poll_fn(|context| {
            let mut place = lock(&ticket.0);
            match place.0 {
                Some(way) => Poll::Ready(way),
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
            lock(&self.hall.queues).insert(call.subject.clone());
        }
        let way = self.pass(&call).await;
        let failure = || PortError::new(call.to_string(), "the crash kit lost it");
        let result = match way {
            Way::Through => effect.await,
            Way::Refused => Err(failure().without_effect()),
            Way::Vanished => Err(failure()),
            Way::Unanswered => effect.await.and_then(|_| Err(failure())),
            Way::Late(steps) => {
                let due = self.hall.step.load(Ordering::Relaxed).saturating_add(steps);
                let effect = effect.map(|_| ()).boxed();
                lock(&self.hall.late).push(Late { due, call: call.clone(), effect });
                Err(failure())
            }
        };
        self.hall.note(|| Line::Called {
            worker: self.worker.load(Ordering::Relaxed),
            call,
            way,
            answer: result.as_ref().map(|value| format!("{value:?}")).map_err(ToString::to_string),
        });
        result
    }
}

/// The way of everybody who is not the engine: a handler that calls ports itself.
#[derive(Debug, Default)]
pub(super) struct Guard(Mutex<Vec<Call>>);

impl Guard {
    /// The calls since this was last asked.
    pub(super) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.0))
    }
}

impl Wire for Guard {
    async fn carry<T: fmt::Debug + Send + 'static>(
        self: Arc<Self>,
        call: Call,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        lock(&self.0).push(call);
        effect.await
    }
}
