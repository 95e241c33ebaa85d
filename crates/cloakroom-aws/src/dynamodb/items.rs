//! Items of one DynamoDB table whose reads, and whose writes without a condition, share requests when they happen at the same time.
//!
//! Each item is read or written for itself, as if it were alone: a batch is no snapshot and no transaction, and nobody here takes it for
//! one. It is billed by its items, too. What it saves is requests, and with them the time that both sides spend on signing, sending
//! and parsing.

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

use crate::client::failure::{Meaning, Operation, SdkError, code, status};

/// What BatchWriteItem takes.
pub(crate) const WRITES_MAX: usize = 25;
/// What BatchGetItem takes.
pub(crate) const READS_MAX: usize = 100;

/// A request that is not full goes at once, or waits for the one before it, but no longer than so.
const PACE: Pace = Pace::Prompt(Duration::from_millis(10));

/// An item as the SDK knows it.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ItemKey {
    /// In the table of partitions.
    Sorted { partition: Partition, sort: String },
    /// In a payload table.
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

    /// Whether these are the attributes of its item.
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

/// The key of an item in the table of partitions.
pub(crate) fn sorted(partition: &Partition, sort: &str) -> [(String, AttributeValue); 2] {
    [
        (attribute::PARTITION.to_owned(), AttributeValue::S(partition.as_str().to_owned())),
        (attribute::SORT.to_owned(), AttributeValue::S(sort.to_owned())),
    ]
}

/// Whether a request was refused for good, and nothing of it was done. One entry may be at fault, or the permission for batches may
/// be missing: then each entry goes alone, so that nobody suffers for another.
fn is_refused(error: &PortError) -> bool {
    !error.may_have_happened() && !error.may_be_repeated()
}

/// For this time after a batch was denied none is asked for. A denial may pass: a role was just made, or credentials were renewed.
const DENIED_FOR: Duration = Duration::from_secs(60);

/// Whether batches were denied lately.
#[derive(Debug)]
struct Denied {
    clock: Arc<dyn Clock>,
    /// When, on the monotonic clock.
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

    /// Takes note of a failure, if it is for lack of permission. It is logged unless that was known.
    fn note<E: ProvideErrorMetadata>(&self, operation: &Operation, target: &str, error: &SdkError<E>) {
        let is_denied = Meaning::of(status(error), code(error)) == Meaning::Denied;
        if !is_denied {
            return;
        }
        let was_known = self.is_known();
        *self.at() = Some(self.clock.monotonic());
        if !was_known {
            tracing::warn!("{} is denied: each item goes alone, in more requests", operation.on(target));
        }
    }
}

/// Takes the first that fits. Answers mostly come in the order of what was asked for, so that it is the first of all.
fn take<T>(from: &mut Vec<T>, fits: impl Fn(&T) -> bool) -> Option<T> {
    from.iter().position(fits).map(|at| from.remove(at))
}

#[cfg(test)]
mod tests;
