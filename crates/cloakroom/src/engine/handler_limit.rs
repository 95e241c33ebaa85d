//! How long a handler may run. A handler that runs longer is dropped, and that counts as its failure.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use crate::{format::timestamp::Timestamp, handler::error::HandlerError, ports::clock::Clock};

/// The limit of each handler of a fold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HandlerLimit {
    /// The caller drops the attempt when it likes.
    Unlimited,
    /// Each handler may run for this long.
    Each(Duration),
    /// All work ends at a moment, as that of a Lambda function does.
    Until {
        /// When the work began.
        began: Timestamp,
        /// When it ends.
        ends: Timestamp,
    },
}

impl HandlerLimit {
    /// How long a handler that starts now may run. `None` if it may run until it is dropped.
    ///
    /// Of a time that is shared, a tenth remains for parking the message. A handler for which less than half of the whole time is
    /// left then is not blamed: the messages before it took the time.
    fn of_one(self, now: Timestamp) -> Option<Duration> {
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
    /// The handler's own, or that it took too long.
    pub(super) async fn run<T>(
        self,
        clock: &dyn Clock,
        handler: impl Future<Output = Result<T, HandlerError>>,
    ) -> Result<T, HandlerError> {
        let Some(max) = self.of_one(clock.now()) else { return handler.await };
        let (mut handler, mut time) = (pin!(handler), None);
        poll_fn(|context| {
            if let Poll::Ready(result) = handler.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            // Most handlers are ready at once and need no timer.
            let time = time.get_or_insert_with(|| clock.sleep(max));
            time.as_mut().poll(context).map(|()| Err(took_too_long(max)))
        })
        .await
    }
}

fn took_too_long(max: Duration) -> HandlerError {
    HandlerError::retry(format!(
        "the handler was stopped after {} ms, all the time that an attempt has",
        max.as_millis()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handler_that_has_less_than_half_of_a_shared_time_is_not_limited() {
        let (began, ends) = (Timestamp::from_millis(1_000), Timestamp::from_millis(11_000));
        let limit = HandlerLimit::Until { began, ends };
        assert_eq!(limit.of_one(began), Some(Duration::from_secs(9)));
        assert_eq!(limit.of_one(Timestamp::from_millis(5_000)), Some(Duration::from_millis(5_400)));
        assert_eq!(limit.of_one(Timestamp::from_millis(5_500)), None);
        assert_eq!(limit.of_one(ends), None);
    }
}
