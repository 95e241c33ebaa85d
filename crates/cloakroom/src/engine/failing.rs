//! Counting failures of a message, and parking a message that has failed too often.

use std::time::Duration;

use tracing::Instrument as _;

use crate::{
    engine::{
        attempt::Attempt,
        not_finished::{AttemptResult, NotFinished},
    },
    error::{ErrorKind, PortError},
    ports::commit::Failures,
    protocol::step::Outcome,
};

/// The time after the last failure for which the failures of a message are counted. A queue can
/// keep the message for this time.
const COUNT_TTL: Duration = Duration::from_secs(14 * 24 * 60 * 60);

impl Attempt<'_> {
    /// Returns the result of the attempt. Parks a message that has failed too often.
    pub(super) async fn conclude(self) -> AttemptResult {
        let reason = match &self.not_finished {
            Some(NotFinished::Failed(error)) if error.kind() == ErrorKind::RetryMessage => error.to_string(),
            Some(_) | None => return self.into_result(),
        };
        let count = match self.count_failure().await {
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(parent: &self.span, error = error.loggable(), "failure not counted");
                return self.into_result();
            }
        };
        if count < self.endpoint.settings.attempts_max {
            return self.into_result();
        }
        let reason = format!("given up after {count} attempts: {reason}");
        let parking = self.endpoint.park(self.delivery, self.queue, &reason);
        let parked = parking.instrument(self.span.clone()).await.map_err(NotFinished::Failed)?;
        // If the message is put back, its failures are counted again from the start. If this
        // deletion fails, the message is parked again after its first failure.
        let store = &self.endpoint.ports.store;
        if let Err(error) = self.endpoint.call(|| store.write_failures(self.key(), None)).await {
            tracing::debug!(parent: &self.span, error = error.loggable(), "count of failures not deleted");
        }
        Ok(parked)
    }

    /// Returns the result of an attempt to process a message. [`Attempt::end`] returns `None` only for
    /// an attempt to finish one.
    fn into_result(self) -> AttemptResult {
        self.end().map(|outcome| outcome.unwrap_or(Outcome::Parked))
    }

    /// Counts one more failure of this message, and returns the number of failures.
    ///
    /// A receive is not a failure. A message is also received while a service is out, and after it
    /// was deferred. Failures in several workers at the same time may count as one.
    async fn count_failure(&self) -> Result<u32, PortError> {
        let (endpoint, store) = (self.endpoint, &self.endpoint.ports.store);
        if endpoint.settings.attempts_max == 1 {
            return Ok(1);
        }
        let now = endpoint.ports.clock.now();
        let before = endpoint.call(|| store.read_failures(self.key())).await?;
        let before = before.filter(|failures| failures.expires > now).map_or(0, |failures| failures.count);
        let failures = Failures { count: before.saturating_add(1), expires: now.after(COUNT_TTL) };
        if failures.count < endpoint.settings.attempts_max {
            endpoint.call(|| store.write_failures(self.key(), Some(failures))).await?;
        }
        Ok(failures.count)
    }
}
