//! Time and chance, as ports: nothing in this crate looks at the wall clock, waits or draws a
//! random number but through these.

use std::{fmt, time::Duration};

use async_trait::async_trait;

/// A moment: milliseconds since 1970 in UTC. Written as RFC 3339 text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest moment that RFC 3339 can write: the end of the year 9999.
    const LAST_MS: u64 = 253_402_300_799_999;

    /// The moment that many milliseconds after 1970 began; at most the end of the year 9999.
    pub const fn from_millis(ms: u64) -> Self {
        Self(if ms < Self::LAST_MS { ms } else { Self::LAST_MS })
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970: what a DynamoDB TTL attribute holds.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Reads RFC 3339 text in UTC, as [`Timestamp`] writes it. `None` if it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let time = humantime::parse_rfc3339(text).ok()?;
        let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Self::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The moment that much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.0.saturating_add(ms))
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = std::time::UNIX_EPOCH + Duration::from_millis(self.0);
        humantime::format_rfc3339_millis(time).fmt(f)
    }
}

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
