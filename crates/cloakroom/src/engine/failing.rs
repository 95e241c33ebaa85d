//! When a message has failed often enough to be parked.

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

/// How long failures of a message are counted after the last one: as long as a queue can keep the message.
const COUNTED: Duration = Duration::from_secs(14 * 24 * 60 * 60);

impl Attempt<'_> {
    /// How it ended. A message that failed too often is parked.
    pub(super) async fn conclude(self) -> AttemptResult {
        let reason = match &self.not_finished {
            Some(NotFinished::Failed(error)) if error.kind() == ErrorKind::RetryMessage => error.to_string(),
            Some(_) | None => return self.processed(),
        };
        let count = match self.count_failure().await {
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(parent: &self.span, error = error.loggable(), "failure not counted");
                return self.processed();
            }
        };
        if count < self.endpoint.settings.attempts_max {
            return self.processed();
        }
        let reason = format!("given up after {count} attempts: {reason}");
        let parking = self.endpoint.park(self.delivery, self.queue, &reason);
        let parked = parking.instrument(self.span.clone()).await.map_err(NotFinished::Failed)?;
        // It starts anew when it is put back. If that is not written, it is parked again after its first failure.
        let store = &self.endpoint.ports.store;
        if let Err(error) = self.endpoint.call(|| store.write_failures(self.key(), None)).await {
            tracing::debug!(parent: &self.span, error = error.loggable(), "count of failures not deleted");
        }
        Ok(parked)
    }

    /// Returns how an attempt ended that was to process its message. Only an attempt that was to finish a message leaves it.
    fn processed(self) -> AttemptResult {
        self.end().map(|outcome| outcome.unwrap_or(Outcome::Parked))
    }

    /// Counts one more failure of this message, and returns how many there are.
    ///
    /// A receive is no failure: a message is also received in vain while a service is out, or when it was deferred. Failures of
    /// several workers at the same time may count as one.
    async fn count_failure(&self) -> Result<u32, PortError> {
        let (endpoint, store) = (self.endpoint, &self.endpoint.ports.store);
        if endpoint.settings.attempts_max == 1 {
            return Ok(1);
        }
        let now = endpoint.ports.clock.now();
        let before = endpoint.call(|| store.read_failures(self.key())).await?;
        let before = before.filter(|failures| failures.expires > now).map_or(0, |failures| failures.count);
        let failures = Failures { count: before.saturating_add(1), expires: now.after(COUNTED) };
        if failures.count < endpoint.settings.attempts_max {
            endpoint.call(|| store.write_failures(self.key(), Some(failures))).await?;
        }
        Ok(failures.count)
    }
}
