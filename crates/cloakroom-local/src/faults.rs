//! Injected faults that occur in AWS in production.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::random::Random;

/// The faults to inject, and how often. Every rate is a probability from 0.0 (never, the default)
/// to 1.0 (always).
///
/// No fault loses a message or an acknowledged write. FIFO queues neither duplicate nor reorder
/// messages.
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
    /// Requests that are throttled: `ProvisionedThroughputExceededException` or
    /// `ThrottlingException` by DynamoDB, `SlowDown` by S3, `RequestThrottled` by SQS. DynamoDB
    /// performs a part of a batch of several items, and returns the remaining items as unprocessed.
    pub throttled: f64,
    /// DynamoDB writes and transactions that conflict with another transaction. A transaction fails
    /// with `TransactionCanceledException` and the reason `TransactionConflict` for one of its
    /// items. Any other write fails with `TransactionConflictException`.
    pub transaction_conflicts: f64,
    /// Requests that are *not* performed, and get the status 500 or 503.
    pub server_errors: f64,
    /// Requests that *are* performed, but whose response is lost. One half gets the status 500. For
    /// the other half, the connection is closed without a response.
    pub lost_responses: f64,
    /// Requests whose connection becomes silent: neither they nor later requests on it get a
    /// response, and the connection stays open. One half of these requests is performed. New
    /// connections work. [`LocalAws::silence_connections`](crate::LocalAws::silence_connections)
    /// silences all connections at once.
    pub silences: f64,
    /// Messages of standard queues that are delivered a second time with the same message id. One
    /// half is delivered immediately. The other half is delivered up to a second later, when the
    /// first delivery may already have been deleted.
    pub duplicate_deliveries: f64,
    /// Messages of standard queues that are delivered late, so their order changes.
    pub late_deliveries: f64,
    /// The maximum delay of a late message, in milliseconds.
    pub late_delivery_ms_max: u64,
    /// Seed of the random numbers. The same requests in the same order get the same faults.
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
    /// The error names the first field whose rate is not from 0.0 to 1.0.
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

/// The fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Rejected by throttling. The number selects one of the errors that a service has for this.
    Throttled(u64),
    /// Rejected because of a conflicting transaction on the item with this number, modulo the
    /// number of items.
    TransactionConflict(u64),
    /// Not performed; the response has the status 500 or 503.
    ServerError(u64),
    /// Performed; the response has the status 500.
    ResponseReplaced,
    /// Performed; the connection is closed without a response.
    ResponseDropped,
    /// Performed or not; the connection becomes silent.
    Silence { done: bool },
}

/// Chooses the faults of each request at random.
#[derive(Debug)]
pub(crate) struct FaultInjector {
    state: Mutex<(Faults, Random)>,
}

/// The maximum delay of a second delivery.
const MAX_DUPLICATE_DELAY: Millis = 1_000;

impl FaultInjector {
    /// Returns an injector. The caller has validated the faults.
    pub(crate) fn new(faults: Faults) -> Self {
        let random = Random::seeded(faults.seed);
        Self { state: Mutex::new((faults, random)) }
    }

    /// Replaces the faults, and starts the random sequence again from their seed.
    pub(crate) fn replace(&self, faults: Faults) {
        let random = Random::seeded(faults.seed);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (faults, random);
    }

    pub(crate) fn faults(&self) -> Faults {
        self.draw(|faults, _| faults.clone())
    }

    fn draw<T>(&self, choose: impl FnOnce(&Faults, &mut Random) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (faults, random) = &mut *state;
        choose(faults, random)
    }

    /// Returns the fault of one request, if any. `conflicts` states whether the request can
    /// conflict with a transaction.
    pub(crate) fn for_request(&self, conflicts: bool) -> Option<Fault> {
        self.draw(|faults, random| {
            if random.chance(faults.server_errors) {
                Some(Fault::ServerError(random.next()))
            } else if random.chance(faults.throttled) {
                Some(Fault::Throttled(random.next()))
            } else if conflicts && random.chance(faults.transaction_conflicts) {
                Some(Fault::TransactionConflict(random.next()))
            } else if random.chance(faults.lost_responses) {
                Some(if random.chance(0.5) { Fault::ResponseReplaced } else { Fault::ResponseDropped })
            } else if random.chance(faults.silences) {
                Some(Fault::Silence { done: random.chance(0.5) })
            } else {
                None
            }
        })
    }

    /// Returns the additional delay of a message that is being sent, if it is to be late.
    pub(crate) fn late_delivery(&self) -> Option<Millis> {
        self.draw(|faults, random| {
            random.chance(faults.late_deliveries).then(|| random.up_to(faults.late_delivery_ms_max))
        })
    }

    /// Returns the delay of a second delivery of a message, in milliseconds, if there is to be one.
    pub(crate) fn second_delivery(&self) -> Option<Millis> {
        self.draw(|faults, random| {
            if !random.chance(faults.duplicate_deliveries) {
                None
            } else if random.chance(0.5) {
                Some(0)
            } else {
                Some(random.up_to(MAX_DUPLICATE_DELAY))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_validation_error_names_the_field() {
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
    fn no_fault_is_injected_by_default() {
        let injector = FaultInjector::new(Faults::default());
        assert!((0..1000).all(|_| injector.for_request(true).is_none()));
        assert!((0..1000).all(|_| injector.late_delivery().is_none() && injector.second_delivery().is_none()));
    }

    #[test]
    fn lost_responses_are_replaced_or_dropped() {
        let injector = FaultInjector::new(Faults { lost_responses: 1.0, ..Faults::default() });
        let drawn: Vec<_> = (0..100).filter_map(|_| injector.for_request(false)).collect();
        assert_eq!(drawn.len(), 100);
        assert!(drawn.contains(&Fault::ResponseReplaced) && drawn.contains(&Fault::ResponseDropped));
    }

    #[test]
    fn silences_are_injected_with_and_without_performing_the_request() {
        let injector = FaultInjector::new(Faults { silences: 1.0, ..Faults::default() });
        let drawn: Vec<_> = (0..100).filter_map(|_| injector.for_request(false)).collect();
        assert_eq!(drawn.len(), 100);
        assert!(drawn.contains(&Fault::Silence { done: true }) && drawn.contains(&Fault::Silence { done: false }));
    }

    #[test]
    fn conflicts_are_injected_only_into_requests_that_can_conflict() {
        let injector = FaultInjector::new(Faults { transaction_conflicts: 1.0, ..Faults::default() });
        assert_eq!(injector.for_request(false), None);
        assert!(matches!(injector.for_request(true), Some(Fault::TransactionConflict(_))));
    }

    #[test]
    fn equal_seeds_give_equal_fault_sequences() {
        let faults = Faults { throttled: 0.3, server_errors: 0.1, ..Faults::default() };
        let injector = FaultInjector::new(faults.clone());
        let first: Vec<_> = (0..200).map(|_| injector.for_request(false)).collect();
        injector.replace(faults);
        let again: Vec<_> = (0..200).map(|_| injector.for_request(false)).collect();
        assert_eq!(first, again);
    }
}
