use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use cloakroom::{Delivery, Endpoint, Outcome, engine::NotFinished, worker::Batch};
use futures::{FutureExt as _, future::BoxFuture};

use crate::crash_kit::{clock::NEVER, gate::Gate};

/// A worker that processes one delivery, or several of one batch.
pub(super) struct CrashWorker {
    /// The numbers of its messages under test, at least one.
    pub(super) messages: Vec<usize>,
    pub(super) endpoint: Endpoint,
    pub(super) gate: Arc<Gate>,
    future: BoxFuture<'static, Vec<Result<Outcome, NotFinished>>>,
}

/// The state of a worker.
pub(super) enum WorkerState {
    AtGate,
    /// It ended, with a result for each of its messages.
    Ended(Vec<Result<Outcome, NotFinished>>),
    /// It waits for something other than a call.
    Stuck,
}

/// How often a handler may yield between two calls.
const POLLS_MAX: usize = 10_000;

#[derive(Default)]
struct WakeFlag(AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl CrashWorker {
    pub(super) fn new(messages: Vec<usize>, endpoint: Endpoint, gate: Arc<Gate>, deliveries: Vec<Delivery>) -> Self {
        let processing = endpoint.clone();
        let processing = async move {
            let batch = Batch { queue: processing.name(), deliveries: &deliveries, in_flight_max: 1, until: NEVER };
            processing.process_batch(batch).await
        };
        Self { messages, endpoint, gate, future: processing.boxed() }
    }

    /// Runs the worker until it makes a call, ends, or waits for something else.
    pub(super) fn advance(&mut self) -> WorkerState {
        let woken = Arc::new(WakeFlag::default());
        let waker = Waker::from(Arc::clone(&woken));
        for _ in 0..POLLS_MAX {
            if let Poll::Ready(result) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return WorkerState::Ended(result);
            }
            if self.gate.next().is_some() {
                return WorkerState::AtGate;
            }
            if !woken.0.swap(false, Ordering::Relaxed) {
                return WorkerState::Stuck;
            }
        }
        WorkerState::Stuck
    }
}
