//! Wall-clock time as the services count it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
///
/// Wall-clock time rather than a monotonic instant, because deadlines have to mean the same
/// after the process was killed and started again.
pub(crate) type Millis = u64;

pub(crate) const SECOND: Millis = 1_000;

/// The time now.
#[allow(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
pub(crate) fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
