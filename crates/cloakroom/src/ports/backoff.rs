//! How long to pause before another try.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, within},
    format::lifetime::DAY_MS,
};

/// Pauses that double from `first_ms` up to `max_ms`, each drawn at random between nothing and its
/// full length ("full jitter"), so that workers that collided do not collide again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// Upper bound of the first pause, in milliseconds.
    pub first_ms: u64,
    /// Upper bound of every pause, in milliseconds.
    pub max_ms: u64,
}

impl Backoff {
    /// The pause before try number `attempt` + 1 (from 1), given random bits.
    ///
    /// ```
    /// let backoff = cloakroom::ports::Backoff { first_ms: 10, max_ms: 1_000 };
    /// assert!(backoff.pause(3, u128::MAX).as_millis() <= 40);
    /// assert!(backoff.pause(99, u128::MAX).as_millis() <= 1_000);
    /// ```
    pub fn pause(&self, attempt: u32, random: u128) -> Duration {
        let doubled = self.first_ms.saturating_mul(1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX));
        let bound = u128::from(doubled.min(self.max_ms));
        let ms = random % (bound + 1);
        Duration::from_millis(u64::try_from(ms).unwrap_or(self.max_ms))
    }

    /// Checks both fields of the setting `field`.
    ///
    /// # Errors
    /// The field that is out of range.
    pub(crate) fn validate(&self, field: &str) -> Result<(), Error> {
        within(&format!("{field}.max_ms"), self.max_ms, 1, DAY_MS / 2)?;
        within(&format!("{field}.first_ms"), self.first_ms, 1, self.max_ms)
    }
}
