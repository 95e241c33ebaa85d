//! The ports for time and random numbers. All code in this crate uses these ports to read the
//! clock, to wait and to get random numbers.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::format::timestamp::Timestamp;

/// The source of time.
///
/// - `sleep` MUST NOT return before the time has passed, and MUST be safe to drop.
/// - `now` MUST be correct to within a few days, because expiration times are computed from it. A
///   clock may jump and may be wrong by hours.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Returns a monotonic time for measuring durations. It never decreases, and its start is
    /// arbitrary. The default returns the current time in whole milliseconds, which may jump. A
    /// real clock should override it.
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now().as_millis())
    }

    /// Waits for this time.
    async fn sleep(&self, duration: Duration);
}

/// The source of random numbers, which are used for claims and for the jitter of pauses.
///
/// The numbers MUST be independent across processes and restarts, because a claim must never occur
/// twice.
pub trait Random: Send + Sync + fmt::Debug {
    /// Returns 128 random bits.
    fn bits(&self) -> u128;
}

/// The random numbers of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    fn bits(&self) -> u128 {
        // A version 4 UUID has six fixed bits. The rotation moves those of the second UUID to other
        // positions, so all 128 bits of the result are random.
        let (a, b) = (uuid::Uuid::new_v4().as_u128(), uuid::Uuid::new_v4().as_u128());
        a ^ b.rotate_left(64)
    }
}
