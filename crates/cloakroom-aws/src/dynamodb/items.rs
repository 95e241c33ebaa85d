//! Items of one DynamoDB table. Concurrent reads, and concurrent writes without a condition, share
//! requests.
//!
//! Each item is read or written as if it were alone: a batch is not a snapshot and not a
//! transaction, and no caller relies on one. Each item is billed as if it were alone, too. Sharing
//! saves requests, and with them the time for signing, sending and parsing.

pub(crate) mod reads;
pub(crate) mod writes;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use cloakroom::{
    Partition, PortError,
    format::schema::{attribute, payload_attribute},
    ports::{Clock, Pace},
};

use crate::client::failure::{Operation, SdkError, code, meaning::Meaning, status};

/// The most writes in a `BatchWriteItem` request.
pub(crate) const WRITES_MAX: usize = 25;
/// The most reads in a `BatchGetItem` request.
pub(crate) const READS_MAX: usize = 100;

/// A request that is not full is sent at once, or waits for the previous one, but at most for this
/// time.
const PACE: Pace = Pace::Prompt(Duration::from_millis(10));

/// An item in the types of the SDK.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// The key of an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ItemKey {
    /// An item in the table for states and records.
    Sorted { partition: Partition, sort: String },
    /// An item in a payload table.
    Payload(Vec<u8>),
}

impl ItemKey {
    pub(crate) fn attributes(&self) -> Attributes {
        match self {
            Self::Sorted { partition, sort } => sorted(partition, sort).into(),
            Self::Payload(bytes) => {
                [(payload_attribute::KEY.to_owned(), AttributeValue::B(Blob::new(bytes.clone())))].into()
            }
        }
    }

    /// Whether these are the attributes of this key's item.
    fn is_of(&self, item: &Attributes) -> bool {
        let text = |name| item.get(name).and_then(|value| value.as_s().ok());
        match self {
            Self::Sorted { partition, sort } => {
                text(attribute::PARTITION).is_some_and(|text| text == partition.as_str())
                    && text(attribute::SORT) == Some(sort)
            }
            Self::Payload(bytes) => {
                let key = item.get(payload_attribute::KEY).and_then(|value| value.as_b().ok());
                key.is_some_and(|key| key.as_ref() == bytes)
            }
        }
    }
}

/// The key of an item in the table for states and records.
pub(crate) fn sorted(partition: &Partition, sort: &str) -> [(String, AttributeValue); 2] {
    [
        (attribute::PARTITION.to_owned(), AttributeValue::S(partition.as_str().to_owned())),
        (attribute::SORT.to_owned(), AttributeValue::S(sort.to_owned())),
    ]
}

/// Whether a request was refused permanently and without effect. One entry may be the cause, or a
/// missing permission for batches. Then each entry is sent alone, so that one bad entry cannot
/// block the others.
fn is_refused(error: &PortError) -> bool {
    !error.may_have_happened() && !error.may_be_repeated()
}

/// For how long no batch is tried after a batch was denied. The denial may be temporary, for
/// example for a new role or after renewed credentials.
const DENIED_FOR: Duration = Duration::from_secs(60);

/// Whether batches were denied recently.
#[derive(Debug)]
struct Denied {
    clock: Arc<dyn Clock>,
    /// The time of the last denial, on the monotonic clock.
    at: Mutex<Option<Duration>>,
}

impl Denied {
    fn new(clock: &Arc<dyn Clock>) -> Self {
        Self { clock: Arc::clone(clock), at: Mutex::default() }
    }

    fn at(&self) -> MutexGuard<'_, Option<Duration>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_known(&self) -> bool {
        self.at().is_some_and(|at| self.clock.monotonic().saturating_sub(at) < DENIED_FOR)
    }

    /// Records an error if it is a denial, and logs it unless a recent denial was logged already.
    fn note<E: ProvideErrorMetadata>(&self, operation: &Operation, target: &str, error: &SdkError<E>) {
        let is_denied = Meaning::of(status(error), code(error)) == Meaning::Denied;
        if !is_denied {
            return;
        }
        let was_known = self.is_known();
        *self.at() = Some(self.clock.monotonic());
        if !was_known {
            tracing::warn!(
                "{} is denied, so each item takes a request of its own; allow it to use fewer requests",
                operation.on(target)
            );
        }
    }
}

/// Removes and returns the first matching entry. Answers mostly have the order of the request, so
/// it is usually the first.
fn take<T>(from: &mut Vec<T>, fits: impl Fn(&T) -> bool) -> Option<T> {
    from.iter().position(fits).map(|at| from.remove(at))
}

#[cfg(test)]
mod tests;
