//! Silences of services during a soak, and the longest time without a finished message.

use std::time::Duration;

use cloakroom_local::{AwsService, LocalAws};
use tokio::time::Instant;

/// The length of a silence of a whole service.
const SERVICE_SILENCE: Duration = Duration::from_secs(2);

/// Silences a random service: either its open connections, or the whole service for a time.
pub(crate) fn silence_one(aws: &LocalAws, pick: usize) {
    let service = AwsService::ALL[pick % AwsService::ALL.len()];
    if (pick / AwsService::ALL.len()).is_multiple_of(2) {
        aws.silence_connections(service);
    } else {
        aws.silence_service(service, SERVICE_SILENCE);
    }
}

/// Measures the longest time in which no message was finished although there was work.
#[derive(Debug)]
pub(crate) struct Standstill {
    finished: u64,
    since: Instant,
    longest: Duration,
}

impl Standstill {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { finished: 0, since: now, longest: Duration::ZERO }
    }

    /// Records the number of finished messages, and whether there is work. If that is unknown,
    /// there is work.
    pub(crate) fn record(&mut self, now: Instant, finished: u64, has_work: bool) {
        if has_work {
            self.longest = self.longest.max(now.duration_since(self.since));
        }
        if finished != self.finished || !has_work {
            (self.finished, self.since) = (finished, now);
        }
    }

    pub(crate) const fn longest(&self) -> Duration {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standstill_excludes_time_without_work() {
        let began = Instant::now();
        let mut standstill = Standstill::new(began);
        let updates = [(1, 1, true), (4, 1, true), (5, 2, true), (6, 2, false), (60, 2, false), (62, 2, true)];
        for (second, finished, has_work) in updates {
            standstill.record(began + Duration::from_secs(second), finished, has_work);
        }
        assert_eq!(standstill.longest(), Duration::from_secs(4));
    }
}
