//! Virtual time for hundreds of thousands of sleeping tasks. Tasks of one millisecond are woken
//! together, and reading the clock costs nothing. ([`MemoryClock`](cloakroom::memory::MemoryClock)
//! wakes one task at a time, which finds more races.)

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
use cloakroom::{Timestamp, ports::Clock};

/// Time that advances only when nothing else can be done.
#[derive(Debug, Default)]
pub(crate) struct FleetClock(Mutex<Timers>);

#[derive(Debug, Default)]
struct Timers {
    now: Timestamp,
    /// The sleeping tasks by their deadlines, in the order in which they began to sleep. A task
    /// that was dropped is still in it, with a key whose generation is over.
    deadlines: BTreeMap<Timestamp, Vec<TimerKey>>,
    slots: Vec<TimerSlot>,
    free: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct TimerKey {
    slot: usize,
    /// How many tasks have used this slot before.
    generation: u64,
}

#[derive(Debug, Default)]
struct TimerSlot {
    generation: u64,
    waker: Option<Waker>,
}

impl Timers {
    fn register(&mut self, until: Timestamp, waker: &Waker) -> TimerKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(TimerSlot::default());
            self.slots.len() - 1
        });
        self.slots[slot].waker = Some(waker.clone());
        let key = TimerKey { slot, generation: self.slots[slot].generation };
        self.deadlines.entry(until).or_default().push(key);
        key
    }

    /// Releases the slot of a task, if the task still uses it.
    fn release(&mut self, TimerKey { slot, generation }: TimerKey) -> Option<Waker> {
        let slot_of_key = self.slots.get_mut(slot).filter(|slot_of_key| slot_of_key.generation == generation)?;
        slot_of_key.generation += 1;
        self.free.push(slot);
        slot_of_key.waker.take()
    }
}

#[derive(Debug)]
struct WakeFlag(AtomicBool);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl FleetClock {
    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a future until it ends.
    ///
    /// # Panics
    /// If the future waits for something that can never happen.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let wake_flag = Arc::new(WakeFlag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&wake_flag));
        loop {
            while wake_flag.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            }
            assert!(self.advance(), "the fleet waits for something that can never happen");
        }
    }

    /// Advances to the next deadline and wakes its tasks. Returns false if there is none.
    fn advance(&self) -> bool {
        let mut timers = self.timers();
        while let Some((deadline, keys)) = timers.deadlines.pop_first() {
            let wakers: Vec<Waker> = keys.into_iter().filter_map(|key| timers.release(key)).collect();
            if wakers.is_empty() {
                // Time must not advance to the deadline of dropped tasks.
                continue;
            }
            timers.now = timers.now.max(deadline);
            drop(timers);
            wakers.into_iter().for_each(Waker::wake);
            return true;
        }
        false
    }
}

#[async_trait]
impl Clock for FleetClock {
    fn now(&self) -> Timestamp {
        self.timers().now
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now().after(duration);
        let mut entry = SleepGuard { clock: self, key: None };
        std::future::poll_fn(|context| {
            let mut timers = self.timers();
            if timers.now >= until {
                return Poll::Ready(());
            }
            let current = entry.key.and_then(|TimerKey { slot, generation }| {
                timers.slots.get_mut(slot).filter(|slot| slot.generation == generation)
            });
            match current.and_then(|slot| slot.waker.as_mut()) {
                Some(waker) => waker.clone_from(context.waker()),
                None => entry.key = Some(timers.register(until, context.waker())),
            }
            Poll::Pending
        })
        .await;
    }
}

/// Releases the slot of a sleep that is dropped.
struct SleepGuard<'a> {
    clock: &'a FleetClock,
    key: Option<TimerKey>,
}

impl Drop for SleepGuard<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.timers().release(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{join, select};

    use super::*;

    #[test]
    fn time_advances_for_sleeping_tasks_and_not_for_dropped_ones() {
        let clock = FleetClock::default();
        let ms = |ms| clock.sleep(Duration::from_millis(ms));
        let passed = |clock: &FleetClock| clock.now().as_millis();
        clock.run(join(ms(30), ms(20)));
        assert_eq!(passed(&clock), 30);
        clock.run(async {
            // The slot of the dropped task goes to the next one, which must not be woken by the old
            // deadline.
            select(ms(1_000), ms(5)).await;
            ms(5_000).await;
        });
        assert_eq!(passed(&clock), 5_035);
        clock.run(ms(1));
        assert_eq!(passed(&clock), 5_036);
    }
}
