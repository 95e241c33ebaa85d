//! The clock of the machine, and the timer of Tokio.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use cloakroom::{Timestamp, ports::Clock};

/// The machine's clock. It sleeps on the timer of the current Tokio runtime.
///
/// Sleeping panics outside a Tokio runtime, and on a runtime without an enabled time driver.
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
    #[expect(clippy::disallowed_methods, reason = "this is the port through which all other code reads the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(0).after(since)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port through which all other code reads the clock")]
    fn monotonic(&self) -> Duration {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGINNING.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
