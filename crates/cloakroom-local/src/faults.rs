//! Faults that AWS shows in production and emulators otherwise never do.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::random::Random;

/// What goes wrong, and how often. Every rate is a probability from 0.0 (never, the default)
/// to 1.0 (always).
///
/// No fault loses a message or an acknowledged write. FIFO queues neither duplicate nor
/// reorder.
///
/// ```
/// use cloakroom_local::Faults;
///
/// let faults = Faults { throttled: 0.05, lost_responses: 0.02, ..Faults::default() };
/// assert!(faults.validate().is_ok());
/// assert!(Faults { throttled: 1.5, ..Faults::default() }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Requests refused as too many: `ProvisionedThroughputExceededException` or
    /// `ThrottlingException` by DynamoDB, `SlowDown` by S3, `RequestThrottled` by SQS. Of a batch of several items
    /// DynamoDB does a part, and gives the rest back.
    pub throttled: f64,
    /// DynamoDB writes and transactions that meet another transaction:
    /// `TransactionCanceledException` with the reason `TransactionConflict` for one of the
    /// items, `TransactionConflictException` outside a transaction.
    pub transaction_conflicts: f64,
    /// Requests answered with a status of 500 or 503 and *not* done.
    pub server_errors: f64,
    /// Requests that *are* done, but whose answer is lost: one half is answered with a status
    /// of 500, for the other half the connection is closed without an answer.
    pub lost_responses: f64,
    /// Requests at which their connection goes silent: neither they nor later requests on it are
    /// answered, and it is not closed. One half of them are done. New connections work.
    /// [`LocalAws::silence_connections`](crate::LocalAws::silence_connections) silences all
    /// connections at once.
    pub silences: f64,
    /// Messages of standard queues that are delivered once more, under the same message id:
    /// one half at once, the other half up to a second later, when the first delivery may
    /// already have been deleted.
    pub duplicate_deliveries: f64,
    /// Messages of standard queues that are delivered late, so that their order changes.
    pub late_deliveries: f64,
    /// How late a late message is at most, in milliseconds.
    pub late_delivery_ms_max: u64,
    /// Seed of the random numbers: the same requests in the same order meet the same faults.
    pub seed: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            throttled: 0.0,
            transaction_conflicts: 0.0,
            server_errors: 0.0,
            lost_responses: 0.0,
            silences: 0.0,
            duplicate_deliveries: 0.0,
            late_deliveries: 0.0,
            late_delivery_ms_max: 2_000,
            seed: 1,
        }
    }
}

/// A rate in [`Faults`] that is not from 0 to 1.
#[derive(Clone, PartialEq)]
pub struct InvalidFaults {
    field: &'static str,
    value: f64,
}

impl std::fmt::Display for InvalidFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { field, value } = self;
        write!(f, "faults: `{field}` is {value}; it must be from 0 to 1")
    }
}

impl std::fmt::Debug for InvalidFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for InvalidFaults {}

impl Faults {
    /// Checks that every rate is a probability.
    ///
    /// # Errors
    ///
    /// Names the first field whose rate is not from 0.0 to 1.0.
    pub fn validate(&self) -> Result<(), InvalidFaults> {
        let rates = [
            ("throttled", self.throttled),
            ("transaction_conflicts", self.transaction_conflicts),
            ("server_errors", self.server_errors),
            ("lost_responses", self.lost_responses),
            ("silences", self.silences),
            ("duplicate_deliveries", self.duplicate_deliveries),
            ("late_deliveries", self.late_deliveries),
        ];
        match rates.into_iter().find(|(_, r)| !(0.0..=1.0).contains(r)) {
            Some((field, value)) => Err(InvalidFaults { field, value }),
            None => Ok(()),
        }
    }
}

/// What befalls one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refused as too many. The number picks among the forms a service has for it.
    Throttled(u64),
    /// Refused because of another transaction on the item of this number (modulo the items).
    TransactionConflict(u64),
    /// Answered with 500 or 503, not done.
    ServerError(u64),
    /// Done, then answered with 500.
    AnswerReplaced,
    /// Done, then the connection closed.
    AnswerDropped,
    /// Done or not, and the connection silent from then on.
    Silence { done: bool },
}

/// Draws the faults of each request.
#[derive(Debug)]
pub(crate) struct Dice {
    state: Mutex<(Faults, Random)>,
}

/// A second delivery comes at most this much later.
const DUPLICATE_WITHIN: Millis = 1_000;

impl Dice {
    /// Dice for faults that were validated.
    pub(crate) fn new(faults: Faults) -> Self {
        let random = Random::seeded(faults.seed);
        Self { state: Mutex::new((faults, random)) }
    }

    /// Replaces the faults, and starts the random sequence again from their seed.
    pub(crate) fn load(&self, faults: Faults) {
        let random = Random::seeded(faults.seed);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (faults, random);
    }

    pub(crate) fn faults(&self) -> Faults {
        self.draw(|faults, _| faults.clone())
    }

    fn draw<T>(&self, draw: impl FnOnce(&Faults, &mut Random) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (faults, random) = &mut *state;
        draw(faults, random)
    }

    /// The fault of one request, if any. `conflicts` tells whether the request can meet
    /// another transaction.
    pub(crate) fn request(&self, conflicts: bool) -> Option<Fault> {
        self.draw(|faults, random| {
            if random.chance(faults.server_errors) {
                Some(Fault::ServerError(random.next()))
            } else if random.chance(faults.throttled) {
                Some(Fault::Throttled(random.next()))
            } else if conflicts && random.chance(faults.transaction_conflicts) {
                Some(Fault::TransactionConflict(random.next()))
            } else if random.chance(faults.lost_responses) {
                Some(if random.chance(0.5) { Fault::AnswerReplaced } else { Fault::AnswerDropped })
            } else if random.chance(faults.silences) {
                Some(Fault::Silence { done: random.chance(0.5) })
            } else {
                None
            }
        })
    }

    /// How much later than asked for a message that is being sent becomes visible.
    pub(crate) fn lateness(&self) -> Option<Millis> {
        self.draw(|faults, random| {
            random.chance(faults.late_deliveries).then(|| random.up_to(faults.late_delivery_ms_max))
        })
    }

    /// In how many milliseconds a message that is being delivered is delivered once more.
    pub(crate) fn duplicate(&self) -> Option<Millis> {
        self.draw(|faults, random| {
            if !random.chance(faults.duplicate_deliveries) {
                None
            } else if random.chance(0.5) {
                Some(0)
            } else {
                Some(random.up_to(DUPLICATE_WITHIN))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_names_the_field() {
        let faults = Faults { late_deliveries: f64::NAN, ..Faults::default() };
        let error = faults.validate().expect_err("not a number").to_string();
        assert_eq!(error, "faults: `late_deliveries` is NaN; it must be from 0 to 1");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let parsed = serde_json::from_str::<Faults>(r#"{"throtled": 0.5}"#);
        assert!(parsed.is_err());
    }

    #[test]
    fn nothing_befalls_a_request_by_default() {
        let dice = Dice::new(Faults::default());
        assert!((0..1000).all(|_| dice.request(true).is_none()));
        assert!((0..1000).all(|_| dice.lateness().is_none() && dice.duplicate().is_none()));
    }

    #[test]
    fn lost_responses_take_both_forms() {
        let dice = Dice::new(Faults { lost_responses: 1.0, ..Faults::default() });
        let drawn: Vec<_> = (0..100).filter_map(|_| dice.request(false)).collect();
        assert_eq!(drawn.len(), 100);
        assert!(drawn.contains(&Fault::AnswerReplaced) && drawn.contains(&Fault::AnswerDropped));
    }

    #[test]
    fn silences_befall_requests_that_are_done_and_requests_that_are_not() {
        let dice = Dice::new(Faults { silences: 1.0, ..Faults::default() });
        let drawn: Vec<_> = (0..100).filter_map(|_| dice.request(false)).collect();
        assert_eq!(drawn.len(), 100);
        assert!(drawn.contains(&Fault::Silence { done: true }) && drawn.contains(&Fault::Silence { done: false }));
    }

    #[test]
    fn conflicts_befall_only_requests_that_can_conflict() {
        let dice = Dice::new(Faults { transaction_conflicts: 1.0, ..Faults::default() });
        assert_eq!(dice.request(false), None);
        assert!(matches!(dice.request(true), Some(Fault::TransactionConflict(_))));
    }

    #[test]
    fn the_sequence_repeats_with_the_seed() {
        let faults = Faults { throttled: 0.3, server_errors: 0.1, ..Faults::default() };
        let dice = Dice::new(faults.clone());
        let first: Vec<_> = (0..200).map(|_| dice.request(false)).collect();
        dice.load(faults);
        let again: Vec<_> = (0..200).map(|_| dice.request(false)).collect();
        assert_eq!(first, again);
    }
}
