use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{Timestamp, ports::Clock};

/// The beginning of 2026.
const NOW_MS: u64 = 1_767_225_600_000;

/// A year later. A pause until then never ends.
pub(super) const NEVER: Timestamp = Timestamp::from_millis(NOW_MS + YEAR_MS);
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// More pauses than any run takes that ends.
const SLEEPS_MAX: u32 = 10_000;

/// A wait of this length or longer is the bound on a call
/// ([`EndpointSettings::call_ms_max`](cloakroom::EndpointSettings)). Here every call returns, or
/// its caller is stopped. So such a wait never has to end.
const BOUND_MS: u64 = 10_000;

/// A clock that does not advance, so that pauses do not change a run. A pause ends at once.
#[derive(Debug, Default)]
pub(super) struct StandingClock(AtomicU32);

#[async_trait]
impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW_MS)
    }

    async fn sleep(&self, pause: Duration) {
        // A caller that pauses this often waits for something that never happens.
        if pause.as_millis() >= u128::from(BOUND_MS) || self.0.fetch_add(1, Ordering::Relaxed) >= SLEEPS_MAX {
            futures::future::pending::<()>().await;
        }
    }
}
