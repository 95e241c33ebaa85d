//! Virtual time, and a single-threaded executor that moves it.

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

/// Time that passes only when nothing else can be done.
#[derive(Debug, Default)]
pub struct MemoryClock(Mutex<Timers>);

#[derive(Debug, Default)]
struct Timers {
    now: Timestamp,
    /// Who waits, by the moment waited for; a number keeps those of one moment in order.
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
            assert!(self.advance(), "the future waits for something that can never happen");
        }
    }

    /// Jumps to the next moment that somebody waits for; false if there is none.
    fn advance(&self) -> bool {
        let mut timers = self.timers();
        let Some(((moment, _), waker)) = timers.waiting.pop_first() else { return false };
        timers.now = timers.now.max(moment);
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
        let mut entry = Entry { clock: self, key: None };
        std::future::poll_fn(|context| {
            let mut timers = self.timers();
            if let Some(key) = entry.key.take() {
                timers.waiting.remove(&key);
            }
            if timers.now >= until {
                return Poll::Ready(());
            }
            timers.number += 1;
            let key = (until, timers.number);
            timers.waiting.insert(key, context.waker().clone());
            entry.key = Some(key);
            Poll::Pending
        })
        .await;
    }
}

/// Takes a dropped sleep off the list: time must not jump for nobody.
struct Entry<'a> {
    clock: &'a MemoryClock,
    key: Option<(Timestamp, u64)>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.timers().waiting.remove(&key);
        }
    }
}

/// Random numbers that follow from a seed.
#[derive(Debug)]
pub struct SeededRandom(Mutex<fastrand::Rng>);

impl SeededRandom {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Random for SeededRandom {
    fn bits(&self) -> u128 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u128(..)
    }
}
