use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{Timestamp, ports::Clock};

/// The beginning of 2026.
const NOW_MS: u64 = 1_767_225_600_000;

/// A year later; a pause until then is never over.
pub(super) const END: Timestamp = Timestamp::from_millis(NOW_MS + YEAR_MS);
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// More pauses than any run takes that comes to an end.
const SLEEPS_MAX: u32 = 10_000;

/// A wait of this length, or longer, is the bound on a call ([`EndpointSettings::call_ms_max`](cloakroom::EndpointSettings)).
/// Here every call is answered, or its caller is stopped, so a bound never ends.
const BOUND_MS: u64 = 10_000;

/// Time that stands still, so that a run is the same whatever pauses it takes. A pause is over at once.
#[derive(Debug, Default)]
pub(super) struct StandingClock(AtomicU32);

#[async_trait]
impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW_MS)
    }

    async fn sleep(&self, pause: Duration) {
        // Whoever asks again and again waits for somebody else, who never comes.
        if pause.as_millis() >= u128::from(BOUND_MS) || self.0.fetch_add(1, Ordering::Relaxed) >= SLEEPS_MAX {
            futures::future::pending::<()>().await;
        }
    }
}
