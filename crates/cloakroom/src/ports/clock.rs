//! Time and chance, as ports: nothing in this crate looks at the wall clock, waits or draws a
//! random number but through these.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::format::timestamp::Timestamp;

/// Where time comes from.
///
/// - `sleep` MUST NOT end before the time has passed, and MUST be safe to drop.
/// - `now` MUST be right within days: it dates what expires. Clocks may jump and may be wrong by hours.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time.
    fn now(&self) -> Timestamp;

    /// A reading for measuring how long something took: it never goes back, and starts anywhere. By default it is
    /// the time, in whole milliseconds, which may jump; a real clock should have something better.
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now().as_millis())
    }

    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// Where random numbers come from: claims, and the jitter of pauses.
///
/// Answers MUST be independent across processes and restarts: claims rely on never meeting again.
pub trait Random: Send + Sync + fmt::Debug {
    /// 128 random bits.
    fn bits(&self) -> u128;
}

/// The random numbers of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    fn bits(&self) -> u128 {
        // A version 4 UUID has six fixed bits; two of them make 128 that are all random.
        let (a, b) = (uuid::Uuid::new_v4().as_u128(), uuid::Uuid::new_v4().as_u128());
        a ^ b.rotate_left(64)
    }
}
