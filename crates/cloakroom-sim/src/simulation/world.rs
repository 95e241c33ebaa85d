//! The world of a seed: time, tasks that no caller owns, and the history.

use std::{
    collections::VecDeque,
    fmt,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use cloakroom::{memory::Memory, ports::Clock as _};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};

use crate::simulation::{
    faults::FaultInjector,
    history::{History, StoreEvent},
    trace::Trace,
};

/// The world of one seed.
pub(crate) struct SimulationWorld {
    pub(crate) memory: Memory,
    pub(crate) injector: FaultInjector,
    pub(crate) trace: Trace,
    history: Mutex<History>,
    /// Tasks that have not been polled yet.
    spawned: Mutex<VecDeque<BoxFuture<'static, ()>>>,
    /// How many calls are pending that may still change something, and how many were ever started.
    pending: Mutex<(u64, u64)>,
}

impl fmt::Debug for SimulationWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("injector", &self.injector).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimulationWorld {
    pub(crate) fn new(memory: Memory, injector: FaultInjector, trace: Trace) -> Self {
        Self {
            memory,
            injector,
            trace,
            history: Mutex::default(),
            spawned: Mutex::default(),
            pending: Mutex::default(),
        }
    }

    /// Spawns a task that continues when its caller has stopped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.spawned).push_back(Box::pin(task));
    }

    /// Runs everything until `main` ends. Tasks that are still running are dropped.
    pub(crate) fn run<T>(&self, main: impl Future<Output = T>) -> T {
        let mut tasks = FuturesUnordered::new();
        let mut main = pin!(main);
        let value = self.memory.run(std::future::poll_fn(|context: &mut Context<'_>| {
            loop {
                if let Poll::Ready(value) = main.as_mut().poll(context) {
                    return Poll::Ready(value);
                }
                tasks.extend(lock(&self.spawned).drain(..));
                while let Poll::Ready(Some(())) = tasks.poll_next_unpin(context) {}
                if lock(&self.spawned).is_empty() {
                    return Poll::Pending;
                }
            }
        }));
        // The tasks refer to this world, which would otherwise never be freed.
        lock(&self.spawned).clear();
        value
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        self.memory.clock.sleep(duration).await;
    }

    pub(crate) fn log(&self, text: impl FnOnce() -> String) {
        self.trace.add(self.memory.clock.now(), text);
    }

    /// Records what a store did.
    pub(crate) fn record(&self, event: StoreEvent) {
        lock(&self.history).record(event);
    }

    /// The history so far.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Starts something that may still change something.
    pub(crate) fn begin(&self) {
        let mut pending = lock(&self.pending);
        pending.0 += 1;
        pending.1 += 1;
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        lock(&self.pending).0 -= 1;
    }

    /// How many calls are pending, and how many were ever started.
    pub(crate) fn pending(&self) -> (u64, u64) {
        *lock(&self.pending)
    }
}
