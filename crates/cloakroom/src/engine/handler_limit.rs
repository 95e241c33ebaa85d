//! The time limit of handlers. A handler that exceeds it is dropped, which counts as a failure of
//! the handler.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use crate::{format::timestamp::Timestamp, handler::error::HandlerError, ports::clock::Clock};

/// The time limit of each handler of a fold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HandlerLimit {
    /// No limit. The caller may drop the attempt at any time.
    Unlimited,
    /// Each handler may run for this time.
    Each(Duration),
    /// All processing must end at a certain time, as in a Lambda function.
    Until {
        /// The time when processing began.
        began: Timestamp,
        /// The time when processing must end.
        ends: Timestamp,
    },
}

impl HandlerLimit {
    /// Returns the maximum time for a handler that starts now. `None` if it may run until it is
    /// dropped.
    ///
    /// Under [`Until`](Self::Until) one tenth of the remaining time is reserved for parking the
    /// message. A handler that has less than half of the whole time left has no limit. Its timeout
    /// would not be its own failure, since the messages before it used the time.
    fn time_for_one(self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Unlimited => None,
            Self::Each(max) => Some(max),
            Self::Until { began, ends } => {
                let max = ends.since(now) * 9 / 10;
                (max * 2 >= ends.since(began)).then_some(max)
            }
        }
    }

    /// Runs a handler within its limit.
    ///
    /// # Errors
    /// The error of the handler, or that the handler took too long.
    pub(super) async fn run<T>(
        self,
        clock: &dyn Clock,
        handler: impl Future<Output = Result<T, HandlerError>>,
    ) -> Result<T, HandlerError> {
        let Some(max) = self.time_for_one(clock.now()) else { return handler.await };
        let (mut handler, mut timeout) = (pin!(handler), None);
        poll_fn(|context| {
            if let Poll::Ready(result) = handler.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            // Most handlers are ready at once and need no timer.
            let timeout = timeout.get_or_insert_with(|| clock.sleep(max));
            timeout.as_mut().poll(context).map(|()| Err(took_too_long(max)))
        })
        .await
    }
}

fn took_too_long(max: Duration) -> HandlerError {
    HandlerError::retry(format!("the handler was stopped after {} ms, the maximum time for a handler", max.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handler_that_has_less_than_half_of_a_shared_time_is_not_limited() {
        let (began, ends) = (Timestamp::from_millis(1_000), Timestamp::from_millis(11_000));
        let limit = HandlerLimit::Until { began, ends };
        assert_eq!(limit.time_for_one(began), Some(Duration::from_secs(9)));
        assert_eq!(limit.time_for_one(Timestamp::from_millis(5_000)), Some(Duration::from_millis(5_400)));
        assert_eq!(limit.time_for_one(Timestamp::from_millis(5_500)), None);
        assert_eq!(limit.time_for_one(ends), None);
    }
}
