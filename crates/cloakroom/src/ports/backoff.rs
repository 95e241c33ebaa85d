//! The pause before a retry.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, within},
    format::lifetime::DAY_MS,
};

/// Exponential backoff with full jitter: the upper bound doubles from `first_ms` up to `max_ms`,
/// and each pause is random between zero and the bound. So workers that collided are unlikely to
/// collide again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The upper bound of the first pause, in milliseconds.
    pub first_ms: u64,
    /// The upper bound of every pause, in milliseconds.
    pub max_ms: u64,
}

impl Backoff {
    /// Returns the pause after try number `attempt`, which counts from 1, given random bits.
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

    /// Checks the range of both fields of the setting `field`.
    ///
    /// # Errors
    /// If a field is out of range. The error names the field.
    pub(crate) fn validate(&self, field: &str) -> Result<(), Error> {
        within(&format!("{field}.max_ms"), self.max_ms, 1, DAY_MS / 2)?;
        within(&format!("{field}.first_ms"), self.first_ms, 1, self.max_ms)
    }
}
