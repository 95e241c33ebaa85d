//! The world: time, the tasks that belong to nobody, and what is written down about them.

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

use super::{
    history::{Deed, History},
    trace::Trace,
    weather::Weather,
};

/// One seed's world.
pub(crate) struct World {
    pub(crate) memory: Memory,
    pub(crate) weather: Weather,
    pub(crate) trace: Trace,
    history: Mutex<History>,
    /// Tasks that have not been polled yet.
    spawned: Mutex<VecDeque<BoxFuture<'static, ()>>>,
    /// What is under way that may still change something, and how often something was begun.
    pending: Mutex<(u64, u64)>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("weather", &self.weather).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(memory: Memory, weather: Weather, trace: Trace) -> Self {
        Self { memory, weather, trace, history: Mutex::default(), spawned: Mutex::default(), pending: Mutex::default() }
    }

    /// Lets a task run for itself: it goes on when whoever began it is gone.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.spawned).push_back(Box::pin(task));
    }

    /// Runs everything until `main` ends. What else is under way then is dropped.
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
        // They refer to this world, which would never be freed.
        lock(&self.spawned).clear();
        value
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        self.memory.clock.sleep(duration).await;
    }

    pub(crate) fn tell(&self, text: impl FnOnce() -> String) {
        self.trace.tell(self.memory.clock.now(), text);
    }

    /// Writes down what a store did.
    pub(crate) fn record(&self, deed: Deed) {
        lock(&self.history).record(deed);
    }

    /// What is written down.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Something is under way that may still change something.
    pub(crate) fn begin(&self) {
        let mut pending = lock(&self.pending);
        pending.0 += 1;
        pending.1 += 1;
    }

    /// It has come to its end.
    pub(crate) fn end(&self) {
        lock(&self.pending).0 -= 1;
    }

    /// How much is under way, and how much was ever begun.
    pub(crate) fn pending(&self) -> (u64, u64) {
        *lock(&self.pending)
    }
}
