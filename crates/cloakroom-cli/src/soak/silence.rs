//! Services that go silent during a soak, and how long nothing is finished.

use std::time::Duration;

use cloakroom_local::{AwsService, LocalAws};
use tokio::time::Instant;

/// How long a whole service is silent, when it is not only the connections that are open.
const SERVICE_SILENT: Duration = Duration::from_secs(2);

/// Silences one service, by a random number: its open connections, or the whole of it for a while.
pub(crate) fn silence_one(aws: &LocalAws, pick: usize) {
    let service = AwsService::ALL[pick % AwsService::ALL.len()];
    if pick / AwsService::ALL.len() % 2 == 0 {
        aws.silence_connections(service);
    } else {
        aws.silence_service(service, SERVICE_SILENT);
    }
}

/// The longest time in which nothing was finished although there was work.
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

    /// Notes how many messages are finished, and whether there is work: when that is unknown, there is.
    pub(crate) fn look(&mut self, now: Instant, finished: u64, has_work: bool) {
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
    fn time_without_work_is_no_standstill() {
        let began = Instant::now();
        let mut standstill = Standstill::new(began);
        let looks = [(1, 1, true), (4, 1, true), (5, 2, true), (6, 2, false), (60, 2, false), (62, 2, true)];
        for (second, finished, has_work) in looks {
            standstill.look(began + Duration::from_secs(second), finished, has_work);
        }
        assert_eq!(standstill.longest(), Duration::from_secs(4));
    }
}
