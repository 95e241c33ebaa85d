//! Wall-clock time of the services.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
///
/// Deadlines use wall-clock time, not a monotonic instant, because they must keep their meaning
/// after a restart.
pub(crate) type Millis = u64;

pub(crate) const SECOND: Millis = 1_000;

/// Returns the current time.
#[allow(clippy::disallowed_methods, reason = "the only place that reads the system clock")]
pub(crate) fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
