//! Virtual time for hundreds of thousands who wait: those of one millisecond are woken together, and to look at a clock
//! once more costs nothing. ([`MemoryClock`](cloakroom::memory::MemoryClock) wakes one at a time, which finds more.)

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

/// Time that passes only when nothing else can be done.
#[derive(Debug, Default)]
pub(crate) struct FleetClock(Mutex<Timers>);

#[derive(Debug, Default)]
struct Timers {
    now: Timestamp,
    /// Who waits for a moment, in the order in which they came. Who was dropped is still in it, as a ticket of which
    /// nobody has the place any more.
    moments: BTreeMap<Timestamp, Vec<Ticket>>,
    places: Vec<Place>,
    free: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    place: usize,
    /// The how manieth who had this place.
    holder: u64,
}

#[derive(Debug, Default)]
struct Place {
    holder: u64,
    waker: Option<Waker>,
}

impl Timers {
    fn enter(&mut self, until: Timestamp, waker: &Waker) -> Ticket {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() - 1
        });
        self.places[place].waker = Some(waker.clone());
        let ticket = Ticket { place, holder: self.places[place].holder };
        self.moments.entry(until).or_default().push(ticket);
        ticket
    }

    /// Gives a place up, if the ticket still holds one.
    fn leave(&mut self, Ticket { place, holder }: Ticket) -> Option<Waker> {
        let found = self.places.get_mut(place).filter(|found| found.holder == holder)?;
        found.holder += 1;
        self.free.push(place);
        found.waker.take()
    }
}

#[derive(Debug)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl FleetClock {
    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a future to its end.
    ///
    /// # Panics
    /// If it waits for something that can never happen.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            while woken.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            }
            assert!(self.advance(), "the fleet waits for something that can never happen");
        }
    }

    /// Jumps to the next moment that somebody waits for; false if there is none.
    fn advance(&self) -> bool {
        let mut timers = self.timers();
        while let Some((moment, tickets)) = timers.moments.pop_first() {
            let wakers: Vec<Waker> = tickets.into_iter().filter_map(|ticket| timers.leave(ticket)).collect();
            if wakers.is_empty() {
                // Time must not jump for nobody.
                continue;
            }
            timers.now = timers.now.max(moment);
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
        let mut entry = Entry { clock: self, ticket: None };
        std::future::poll_fn(|context| {
            let mut timers = self.timers();
            if timers.now >= until {
                return Poll::Ready(());
            }
            let held = entry.ticket.and_then(|Ticket { place, holder }| {
                timers.places.get_mut(place).filter(|place| place.holder == holder)
            });
            match held.and_then(|place| place.waker.as_mut()) {
                Some(waker) => waker.clone_from(context.waker()),
                None => entry.ticket = Some(timers.enter(until, context.waker())),
            }
            Poll::Pending
        })
        .await;
    }
}

/// Gives up the place of a dropped sleep.
struct Entry<'a> {
    clock: &'a FleetClock,
    ticket: Option<Ticket>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.clock.timers().leave(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{join, select};

    use super::*;

    #[test]
    fn time_passes_for_those_who_wait_and_not_for_those_who_were_dropped() {
        let clock = FleetClock::default();
        let ms = |ms| clock.sleep(Duration::from_millis(ms));
        let passed = |clock: &FleetClock| clock.now().as_millis();
        clock.run(join(ms(30), ms(20)));
        assert_eq!(passed(&clock), 30);
        clock.run(async {
            // The place of the one that is dropped goes to the next one, who must not be woken in its stead.
            select(ms(1_000), ms(5)).await;
            ms(5_000).await;
        });
        assert_eq!(passed(&clock), 5_035);
        clock.run(ms(1));
        assert_eq!(passed(&clock), 5_036);
    }
}
