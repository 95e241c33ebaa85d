//! The times of random faults, such as crashes of a worker.

use std::time::Duration;

use tokio::time::Instant;

/// A timer with random intervals, from a seed.
pub(crate) struct FaultTimer {
    random: fastrand::Rng,
    mean_interval: Duration,
    next_at: Option<Instant>,
}

impl FaultTimer {
    /// Returns a timer that fires once in each `mean_interval`, on average, or never if that is
    /// zero.
    pub(crate) fn new(seed: u64, mean_interval: Duration) -> Self {
        let mut timer = Self { random: fastrand::Rng::with_seed(seed), mean_interval, next_at: None };
        timer.schedule_next();
        timer
    }

    fn schedule_next(&mut self) {
        self.next_at = (!self.mean_interval.is_zero())
            .then(|| Instant::now() + self.mean_interval.mul_f64(2.0 * self.random.f64()));
    }

    /// Waits for the next fault.
    pub(crate) async fn next(&self) {
        match self.next_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Schedules the next fault. Returns a random number to choose the target of the current one.
    pub(crate) fn pick(&mut self) -> usize {
        self.schedule_next();
        self.random.usize(..)
    }
}
