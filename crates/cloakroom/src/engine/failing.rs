//! Whose fault a failure is, and when a message has failed often enough to be parked.

use std::time::Duration;

use tracing::Instrument as _;

use super::{Desk, Done};
use crate::{Error, ErrorKind, Failures, NotDone, PortError, protocol::Do};

/// How long failures of a message are counted after the last one: as long as a queue can keep the message.
const COUNTED: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Records in a failure what it shows about the services that every message needs.
///
/// The table is needed by every message: if the configuration denies it, all of them fail. A missing queue or another missing
/// permission fails only the messages that need it.
pub(super) fn blamed(error: Error, step: Do) -> Error {
    let needs_table = matches!(step, Do::ReadState(_) | Do::ReadRecord | Do::Commit(_) | Do::Clear);
    if needs_table && error.kind() == ErrorKind::MendConfiguration {
        return error.with_services_answering(false);
    }
    // Every step but the first comes after an answer of the table.
    if matches!(step, Do::ReadState(_)) { error } else { error.with_services_answering(true) }
}

impl Desk<'_> {
    /// How it ended. A message that failed too often is parked.
    pub(super) async fn conclude(self) -> Done {
        let reason = match &self.undone {
            Some(NotDone::Failed(error)) if error.kind() == ErrorKind::RetryMessage => error.to_string(),
            Some(_) | None => return self.end(),
        };
        let count = match self.count_failure().await {
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(parent: &self.span, error = error.loggable(), "failure not counted");
                return self.end();
            }
        };
        if count < self.endpoint.settings.attempts_max {
            return self.end();
        }
        let reason = format!("given up after {count} attempts: {reason}");
        let parking = self.endpoint.park(self.delivery, self.queue, &reason);
        let parked = parking.instrument(self.span.clone()).await.map_err(NotDone::Failed)?;
        // It starts anew when it is put back. If that is not written, it is parked again after its first failure.
        let store = &self.endpoint.ports.store;
        if let Err(error) = self.endpoint.call(|| store.write_failures(self.key(), None)).await {
            tracing::debug!(parent: &self.span, error = error.loggable(), "count of failures not deleted");
        }
        Ok(Some(parked))
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
