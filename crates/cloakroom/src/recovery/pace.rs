//! How fast a table is read.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::ports::clock::Clock;

/// Lets so many units pass in a second, on average.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    units_per_second: f64,
    /// When everything that was taken so far has been paid, in milliseconds of the clock that never goes back.
    paid_ms: Mutex<f64>,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>, units_per_second: u32) -> Self {
        Self { clock, units_per_second: units_per_second.into(), paid_ms: Mutex::new(0.0) }
    }

    /// Waits until what was taken before is paid, and takes this much.
    pub(super) async fn take(&self, units: f64) {
        let now_ms = self.now_ms();
        let wait_ms = {
            let mut paid_ms = self.paid_ms.lock().unwrap_or_else(PoisonError::into_inner);
            let begin_ms = paid_ms.max(now_ms);
            *paid_ms = begin_ms + self.price_ms(units);
            begin_ms - now_ms
        };
        self.clock.sleep(Duration::from_secs_f64(wait_ms / 1000.0)).await;
    }

    /// Takes that much more, or gives it back.
    pub(super) fn correct(&self, units: f64) {
        *self.paid_ms.lock().unwrap_or_else(PoisonError::into_inner) += self.price_ms(units);
    }

    fn price_ms(&self, units: f64) -> f64 {
        units * 1000.0 / self.units_per_second
    }

    fn now_ms(&self) -> f64 {
        self.clock.monotonic().as_secs_f64() * 1000.0
    }
}
