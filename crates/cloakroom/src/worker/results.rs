//! What became of messages that are tried together.

use std::time::Duration;

use crate::{
    engine::not_finished::{AttemptResult, NotFinished},
    error::{Error, ErrorKind},
    worker::lanes::Waiter,
};

/// The answers of one attempt, as they come.
#[derive(Default)]
pub(super) struct Results {
    /// That for the message whose turn it was: number 0.
    own: Option<AttemptResult>,
    /// Those who came along, from number 1 on, until they are told.
    along: Vec<Option<Waiter>>,
    /// Whether all who have an answer are finished.
    is_finished: bool,
    /// Whether the services answer, as far as this tells.
    is_up: Option<bool>,
    /// Whether there was an answer since this was asked for.
    is_news: bool,
}

impl Results {
    /// None yet.
    pub(super) fn new(along: Vec<Waiter>) -> Self {
        Self { along: along.into_iter().map(Some).collect(), is_finished: true, ..Self::default() }
    }

    /// Notes an answer. Who came along is told at once.
    pub(super) fn tell(&mut self, number: usize, done: AttemptResult) {
        self.is_news = true;
        self.is_finished &= done.is_ok();
        self.is_up = self.is_up.max(is_up(&done));
        match number.checked_sub(1) {
            None => self.own = Some(done),
            Some(other) => {
                if let Some(one) = self.along.get_mut(other).and_then(Option::take) {
                    one.tell(done);
                }
            }
        }
    }

    /// Whether there was an answer since this was asked last.
    pub(super) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.is_news, false)
    }

    /// Tells those who have no answer that their time is up.
    pub(super) fn time_is_up(&mut self, attempt_max: Duration) {
        let is_up = self.is_up;
        let own = self.own.is_none().then_some(0);
        let others = self.along.iter().zip(1..).filter_map(|(one, number)| one.as_ref().map(|_| number));
        for number in own.into_iter().chain(others).collect::<Vec<_>>() {
            self.tell(number, Err(NotFinished::Failed(took_too_long(attempt_max))));
        }
        // Nothing is known about the services: a call that is not answered fails by itself long before, so that the
        // handler is at fault, which tells nothing; and many such calls in a row are no sign of a service that answers.
        self.is_up = is_up;
    }

    /// Whether the services answer, as far as the attempt tells.
    pub(super) const fn is_up(&self) -> Option<bool> {
        self.is_up
    }

    /// The answer for the message whose turn it was, and whether all were finished.
    pub(super) fn into_own(self) -> (AttemptResult, bool) {
        (self.own.unwrap_or(Err(NotFinished::Stopped)), self.is_finished)
    }
}

/// Whether the services answer, as far as this result shows it. Only a failure that other messages meet, too, is an outage.
fn is_up(done: &AttemptResult) -> Option<bool> {
    match done {
        Ok(_) | Err(NotFinished::Deferred(_)) => Some(true),
        Err(NotFinished::Failed(error)) => error.services_answer(),
        Err(NotFinished::Behind | NotFinished::Stopped | NotFinished::Crowded) => None,
    }
}

/// Handlers are stopped sooner, and that is their failure: here the time went into calls to services, which is no fault of the
/// message.
fn took_too_long(attempt_max: Duration) -> Error {
    let text =
        format!("the attempt took twice as long as a handler may ({} ms, `attempt_ms_max`)", attempt_max.as_millis());
    Error::new(ErrorKind::AwaitService, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempt_that_took_too_long_tells_nothing_about_the_services() {
        let mut answers = Results::new(Vec::new());
        answers.time_is_up(Duration::from_secs(1));
        assert_eq!(answers.is_up(), None);

        let mut answers = Results::new(Vec::new());
        answers.tell(
            1,
            Err(NotFinished::Failed(Error::new(ErrorKind::AwaitService, "no answer").with_services_answering(false))),
        );
        answers.time_is_up(Duration::from_secs(1));
        assert_eq!(answers.is_up(), Some(false), "what another message has told stays");
        assert!(matches!(answers.into_own(), (Err(NotFinished::Failed(_)), false)));
    }
}
