//! Points in time.

use std::{fmt, time::Duration};

/// A point in time, in milliseconds since 1970 in UTC. Its text format is RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest time that RFC 3339 can represent: the end of the year 9999.
    const LAST_MS: u64 = 253_402_300_799_999;

    /// Returns the timestamp `ms` milliseconds after the start of 1970, at most the end of the year
    /// 9999.
    pub const fn from_millis(ms: u64) -> Self {
        Self(if ms < Self::LAST_MS { ms } else { Self::LAST_MS })
    }

    /// Returns the milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the whole seconds since 1970, as in a DynamoDB TTL attribute.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Reads RFC 3339 text in UTC, as `Display` writes it. `None` if the text is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let time = humantime::parse_rfc3339(text).ok()?;
        let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Self::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the timestamp that is later by `duration`.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.0.saturating_add(ms))
    }

    /// Returns the time from `earlier` to this timestamp. Zero if `earlier` is later than this
    /// timestamp.
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
