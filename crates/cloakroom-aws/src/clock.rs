//! Time, as the machine and Tokio have it.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use cloakroom::{Timestamp, ports::Clock};

/// The machine's clock; sleeps on the timer of the Tokio runtime that it is awaited on.
///
/// Sleeping panics outside a Tokio runtime, and on one whose time driver is not enabled.
///
/// ```
/// use cloakroom::ports::Clock as _;
///
/// assert!(cloakroom_aws::TokioClock.now().as_millis() > 0);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioClock;

#[async_trait]
impl Clock for TokioClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port through which everything else looks at the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(0).after(since)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port through which everything else looks at the clock")]
    fn monotonic(&self) -> Duration {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGINNING.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
