//! The results of messages that are processed together.

use std::time::Duration;

use crate::{
    engine::not_finished::{AttemptResult, NotFinished},
    error::{Error, ErrorKind, Services},
    worker::lanes::Waiter,
};

/// The results of one attempt. They are reported one after the other.
#[derive(Default)]
pub(super) struct Results {
    /// The result of the message at the head of the lane, number 0.
    own: Option<AttemptResult>,
    /// The followers, from number 1. A follower is removed when it gets its result.
    followers: Vec<Option<Waiter>>,
    /// Whether all messages with a result are finished.
    is_finished: bool,
    /// What the results show about the services.
    services: Services,
    /// Whether a result was reported since the last [`take_new_result`](Self::take_new_result).
    has_new_result: bool,
}

impl Results {
    /// Creates the results of an attempt without any result yet.
    pub(super) fn new(followers: Vec<Waiter>) -> Self {
        Self { followers: followers.into_iter().map(Some).collect(), is_finished: true, ..Self::default() }
    }

    /// Stores a result. A follower gets its result at once.
    pub(super) fn report(&mut self, number: usize, done: AttemptResult) {
        self.has_new_result = true;
        self.is_finished &= done.is_ok();
        self.services = self.services.combined_with(shown_by(&done));
        match number.checked_sub(1) {
            None => self.own = Some(done),
            Some(other) => {
                if let Some(follower) = self.followers.get_mut(other).and_then(Option::take) {
                    follower.report(done);
                }
            }
        }
    }

    /// Returns whether a result was reported since the last call.
    pub(super) const fn take_new_result(&mut self) -> bool {
        std::mem::replace(&mut self.has_new_result, false)
    }

    /// Reports a timeout to all messages that have no result.
    pub(super) fn time_out(&mut self, attempt_max: Duration) {
        let services = self.services;
        let own = self.own.is_none().then_some(0);
        let others = self.followers.iter().zip(1..).filter_map(|(one, number)| one.as_ref().map(|_| number));
        for number in own.into_iter().chain(others).collect::<Vec<_>>() {
            self.report(number, Err(NotFinished::Failed(took_too_long(attempt_max))));
        }
        // A timeout shows nothing about the services. A call without a response would have failed
        // long before. A handler that hangs is no sign about the services, and neither are many
        // slow calls in a row.
        self.services = services;
    }

    /// Returns what the attempt shows about the services.
    pub(super) const fn services(&self) -> Services {
        self.services
    }

    /// Returns the result of the message at the head of the lane, and whether all messages were
    /// finished.
    pub(super) fn into_own(self) -> (AttemptResult, bool) {
        (self.own.unwrap_or(Err(NotFinished::Stopped)), self.is_finished)
    }
}

/// Returns what this result shows about the services. Only a failure that other messages would also
/// have is a sign of an outage.
fn shown_by(done: &AttemptResult) -> Services {
    match done {
        Ok(_) | Err(NotFinished::Deferred(_)) => Services::Answering,
        Err(NotFinished::Failed(error)) => error.services(),
        Err(NotFinished::Behind | NotFinished::Stopped | NotFinished::Crowded) => Services::Unknown,
    }
}

/// Returns the error of a timeout. Handlers are stopped earlier, which counts as their failure.
/// Here calls to services took the time, which is not a fault of the message.
fn took_too_long(attempt_max: Duration) -> Error {
    let text =
        format!("the attempt took twice as long as a handler may ({} ms, `attempt_ms_max`)", attempt_max.as_millis());
    Error::new(ErrorKind::AwaitService, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timed_out_attempt_shows_nothing_about_the_services() {
        let mut results = Results::new(Vec::new());
        results.time_out(Duration::from_secs(1));
        assert_eq!(results.services(), Services::Unknown);

        let mut results = Results::new(Vec::new());
        results.report(
            1,
            Err(NotFinished::Failed(Error::new(ErrorKind::AwaitService, "no answer").with_services(Services::Failing))),
        );
        results.time_out(Duration::from_secs(1));
        assert_eq!(results.services(), Services::Failing, "the result of another message stays");
        assert!(matches!(results.into_own(), (Err(NotFinished::Failed(_)), false)));
    }
}
