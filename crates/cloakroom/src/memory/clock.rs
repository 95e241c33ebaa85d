//! Virtual time, and a single-threaded executor that advances it.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    format::timestamp::Timestamp,
    ports::clock::{Clock, Random},
};

/// Virtual time. It advances only when no future can make progress.
#[derive(Debug, Default)]
pub struct MemoryClock(Mutex<Timers>);

#[derive(Debug, Default)]
struct Timers {
    now: Timestamp,
    /// The wakers of sleeping futures, by due time. The number keeps the order of equal due times.
    waiting: BTreeMap<(Timestamp, u64), Waker>,
    number: u64,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl MemoryClock {
    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            while woken.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            }
            assert!(
                self.advance(),
                "the future waits, but no timer is left: only timers of the virtual clock can wake it"
            );
        }
    }

    /// Advances to the next timer. Returns `false` if there is none.
    fn advance(&self) -> bool {
        let mut timers = self.timers();
        let Some(((due, _), waker)) = timers.waiting.pop_first() else { return false };
        timers.now = timers.now.max(due);
        drop(timers);
        waker.wake();
        true
    }
}

#[async_trait]
impl Clock for MemoryClock {
    fn now(&self) -> Timestamp {
        self.timers().now
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now().after(duration);
        let mut guard = TimerGuard { clock: self, key: None };
        std::future::poll_fn(|context| {
            let mut timers = self.timers();
            if let Some(key) = guard.key.take() {
                timers.waiting.remove(&key);
            }
            if timers.now >= until {
                return Poll::Ready(());
            }
            timers.number += 1;
            let key = (until, timers.number);
            timers.waiting.insert(key, context.waker().clone());
            guard.key = Some(key);
            Poll::Pending
        })
        .await;
    }
}

/// Removes the timer of a dropped sleep. Otherwise time would advance to a timer that no future
/// waits for.
struct TimerGuard<'a> {
    clock: &'a MemoryClock,
    key: Option<(Timestamp, u64)>,
}

impl Drop for TimerGuard<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.timers().waiting.remove(&key);
        }
    }
}

/// Random numbers that a seed determines.
#[derive(Debug)]
pub struct SeededRandom(Mutex<fastrand::Rng>);

impl SeededRandom {
    /// Returns the generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Random for SeededRandom {
    fn bits(&self) -> u128 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u128(..)
    }
}
