//! When a worker crashes, and which.

use std::time::Duration;

use tokio::time::Instant;

/// Crashes at random moments, from a seed.
pub(crate) struct Trouble {
    random: fastrand::Rng,
    every: Duration,
    at: Option<Instant>,
}

impl Trouble {
    /// One crash in each `every`, on average; none if that is zero.
    pub(crate) fn new(seed: u64, every: Duration) -> Self {
        let mut trouble = Self { random: fastrand::Rng::with_seed(seed), every, at: None };
        trouble.plan();
        trouble
    }

    fn plan(&mut self) {
        self.at = (!self.every.is_zero()).then(|| Instant::now() + self.every.mul_f64(2.0 * self.random.f64()));
    }

    /// Waits for the next crash.
    pub(crate) async fn next(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Any number, to choose whom it befalls; plans the next one.
    pub(crate) fn pick(&mut self) -> usize {
        self.plan();
        self.random.usize(..)
    }
}
