use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use cloakroom::{Delivery, Endpoint, Outcome, engine::NotFinished, worker::Batch};
use futures::{FutureExt as _, future::BoxFuture};

use super::{clock::END, gate::Gate};

/// Somebody who processes one delivery, or several that came in one batch.
pub(super) struct Worker {
    /// Which of the messages under test; one at least.
    pub(super) messages: Vec<usize>,
    pub(super) endpoint: Endpoint,
    pub(super) gate: Arc<Gate>,
    future: BoxFuture<'static, Vec<Result<Outcome, NotFinished>>>,
}

/// How far a worker is.
pub(super) enum Is {
    AtGate,
    /// With an answer for each of its messages.
    Ended(Vec<Result<Outcome, NotFinished>>),
    /// It waits, and not for a call.
    Stuck,
}

/// A handler may give way that many times between two calls.
const POLLS_MAX: usize = 10_000;

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Worker {
    pub(super) fn new(messages: Vec<usize>, endpoint: Endpoint, gate: Arc<Gate>, deliveries: Vec<Delivery>) -> Self {
        let processing = endpoint.clone();
        let processing = async move {
            let batch = Batch { queue: processing.name(), deliveries: &deliveries, in_flight_max: 1, until: END };
            processing.process_batch(batch).await
        };
        Self { messages, endpoint, gate, future: processing.boxed() }
    }

    /// Goes on until somebody else has to do something.
    pub(super) fn go_on(&mut self) -> Is {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        for _ in 0..POLLS_MAX {
            if let Poll::Ready(result) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Is::Ended(result);
            }
            if self.gate.next().is_some() {
                return Is::AtGate;
            }
            if !woken.0.swap(false, Ordering::Relaxed) {
                return Is::Stuck;
            }
        }
        Is::Stuck
    }
}
