//! The rate at which a table is read.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::ports::clock::Clock;

/// Limits reads to a number of units a second, on average.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    units_per_second: f64,
    /// When the rate has allowed all units taken so far, in milliseconds of the monotonic clock.
    allowed_until_ms: Mutex<f64>,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>, units_per_second: u32) -> Self {
        Self { clock, units_per_second: units_per_second.into(), allowed_until_ms: Mutex::new(0.0) }
    }

    /// Waits until the rate has allowed all units taken before, and then takes `units`.
    pub(super) async fn take(&self, units: f64) {
        let now_ms = self.now_ms();
        let wait_ms = {
            let mut allowed_until_ms = self.allowed_until_ms.lock().unwrap_or_else(PoisonError::into_inner);
            let begin_ms = allowed_until_ms.max(now_ms);
            *allowed_until_ms = begin_ms + self.duration_ms(units);
            begin_ms - now_ms
        };
        self.clock.sleep(Duration::from_secs_f64(wait_ms / 1000.0)).await;
    }

    /// Takes `units` more, or returns them if the number is negative.
    pub(super) fn correct(&self, units: f64) {
        *self.allowed_until_ms.lock().unwrap_or_else(PoisonError::into_inner) += self.duration_ms(units);
    }

    fn duration_ms(&self, units: f64) -> f64 {
        units * 1000.0 / self.units_per_second
    }

    fn now_ms(&self) -> f64 {
        self.clock.monotonic().as_secs_f64() * 1000.0
    }
}
