//! The requests so far, and what AWS would bill for them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Number of requests by operation, named as AWS spells them.
pub type Requests = BTreeMap<String, u64>;

/// The requests to the services since their start, and what AWS would bill for them.
///
/// A request is counted when its body has arrived completely. Retries count, as do requests that an
/// injected fault rejects and requests whose client disconnects before the response.
///
/// ```
/// use cloakroom_local::Usage;
///
/// let before = Usage::default();
/// let mut after = before.clone();
/// after.sqs.requests.insert("SendMessage".into(), 3);
/// assert_eq!(after.since(&before).sqs.requests["SendMessage"], 3);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// DynamoDB.
    pub dynamodb: DynamoDbUsage,
    /// S3.
    pub s3: S3Usage,
    /// SQS.
    pub sqs: SqsUsage,
    /// How often each of the configured [`Faults`](crate::Faults) was injected.
    pub faults: FaultCounts,
}

/// DynamoDB's part of [`Usage`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DynamoDbUsage {
    /// Requests by operation.
    pub requests: Requests,
    /// Total consumed capacity.
    pub units: Units,
    /// Consumed capacity by operation.
    pub units_by_operation: BTreeMap<String, Units>,
}

/// DynamoDB's request units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Units {
    /// Write request units. A write whose condition failed counts with the minimum that AWS bills:
    /// one unit, or two for each item of a cancelled transaction.
    pub write: f64,
    /// Read request units.
    pub read: f64,
}

/// S3's part of [`Usage`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct S3Usage {
    /// Requests by operation.
    pub requests: Requests,
    /// Requests at the price of a PUT: those that write or list.
    pub put_class: u64,
    /// Requests at the price of a GET: all that are neither in the PUT class nor deletions.
    pub get_class: u64,
    /// Deletions, which are free.
    pub deletes: u64,
    /// Bytes in the bodies of requests.
    pub bytes_in: u64,
    /// Bytes in the bodies of responses.
    pub bytes_out: u64,
}

/// SQS's part of [`Usage`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SqsUsage {
    /// Requests by operation.
    pub requests: Requests,
    /// Requests as AWS bills them: one on arrival, and one more for each further 64 KB of messages,
    /// rounded up. The further ones are counted when the size of the sent or received messages is
    /// known.
    pub billed_requests: u64,
    /// Messages accepted from senders.
    pub messages_sent: u64,
    /// Deliveries of messages to receivers. A message that is received twice counts twice.
    pub messages_received: u64,
    /// Messages deleted by receivers.
    pub messages_deleted: u64,
}

/// How often each fault was injected.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultCounts {
    /// Requests rejected by throttling.
    pub throttled: u64,
    /// Requests rejected because of a conflicting transaction.
    pub transaction_conflicts: u64,
    /// Requests that were not performed and got the status 500 or 503.
    pub server_errors: u64,
    /// Requests that were performed and whose response was lost.
    pub lost_responses: u64,
    /// Connections that went silent.
    pub silences: u64,
    /// Messages delivered a second time.
    pub duplicate_deliveries: u64,
    /// Messages delivered late.
    pub late_deliveries: u64,
}

impl Usage {
    /// Returns the usage between `earlier` and `self`: the difference of every count.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let (dynamodb, s3, sqs, faults) = (&self.dynamodb, &self.s3, &self.sqs, &self.faults);
        Self {
            dynamodb: DynamoDbUsage {
                requests: difference(&dynamodb.requests, &earlier.dynamodb.requests),
                units: dynamodb.units.less(earlier.dynamodb.units),
                units_by_operation: dynamodb.units_since(&earlier.dynamodb),
            },
            s3: S3Usage {
                requests: difference(&s3.requests, &earlier.s3.requests),
                put_class: s3.put_class.saturating_sub(earlier.s3.put_class),
                get_class: s3.get_class.saturating_sub(earlier.s3.get_class),
                deletes: s3.deletes.saturating_sub(earlier.s3.deletes),
                bytes_in: s3.bytes_in.saturating_sub(earlier.s3.bytes_in),
                bytes_out: s3.bytes_out.saturating_sub(earlier.s3.bytes_out),
            },
            sqs: SqsUsage {
                requests: difference(&sqs.requests, &earlier.sqs.requests),
                billed_requests: sqs.billed_requests.saturating_sub(earlier.sqs.billed_requests),
                messages_sent: sqs.messages_sent.saturating_sub(earlier.sqs.messages_sent),
                messages_received: sqs.messages_received.saturating_sub(earlier.sqs.messages_received),
                messages_deleted: sqs.messages_deleted.saturating_sub(earlier.sqs.messages_deleted),
            },
            faults: faults.since(&earlier.faults),
        }
    }
}

impl DynamoDbUsage {
    fn units_since(&self, earlier: &Self) -> BTreeMap<String, Units> {
        self.units_by_operation
            .iter()
            .map(|(name, units)| {
                let before = earlier.units_by_operation.get(name).copied();
                (name.clone(), units.less(before.unwrap_or_default()))
            })
            .filter(|(_, units)| *units != Units::default())
            .collect()
    }
}

impl Units {
    fn less(self, other: Self) -> Self {
        Self { write: self.write - other.write, read: self.read - other.read }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.write += other.write;
        self.read += other.read;
    }
}

impl FaultCounts {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            throttled: self.throttled.saturating_sub(earlier.throttled),
            transaction_conflicts: self.transaction_conflicts.saturating_sub(earlier.transaction_conflicts),
            server_errors: self.server_errors.saturating_sub(earlier.server_errors),
            lost_responses: self.lost_responses.saturating_sub(earlier.lost_responses),
            silences: self.silences.saturating_sub(earlier.silences),
            duplicate_deliveries: self.duplicate_deliveries.saturating_sub(earlier.duplicate_deliveries),
            late_deliveries: self.late_deliveries.saturating_sub(earlier.late_deliveries),
        }
    }
}

fn difference(now: &Requests, earlier: &Requests) -> Requests {
    now.iter()
        .map(|(name, count)| {
            let before = earlier.get(name).copied().unwrap_or(0);
            (name.clone(), count.saturating_sub(before))
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Counts one more request of an operation.
pub(crate) fn count(requests: &mut Requests, operation: &str) {
    match requests.get_mut(operation) {
        Some(count) => *count += 1,
        None => {
            requests.insert(operation.to_owned(), 1);
        }
    }
}

/// The usage so far, updated by all services.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Usage>);

impl Meter {
    pub(crate) fn record(&self, record: impl FnOnce(&mut Usage)) {
        record(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn usage(&self) -> Usage {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_since_contains_only_differences() {
        let meter = Meter::default();
        meter.record(|usage| {
            count(&mut usage.dynamodb.requests, "GetItem");
            count(&mut usage.dynamodb.requests, "PutItem");
            usage.s3.bytes_in = 10;
        });
        let before = meter.usage();
        meter.record(|usage| {
            count(&mut usage.dynamodb.requests, "PutItem");
            usage.dynamodb.units.add(Units { write: 2.0, read: 0.5 });
            usage.s3.bytes_in += 5;
            usage.faults.throttled += 1;
        });
        let used = meter.usage().since(&before);
        assert_eq!(used.dynamodb.requests, Requests::from([("PutItem".into(), 1)]));
        assert_eq!(used.dynamodb.units, Units { write: 2.0, read: 0.5 });
        assert_eq!((used.s3.bytes_in, used.faults.throttled), (5, 1));
    }

    #[test]
    fn usage_round_trips_through_json() {
        let meter = Meter::default();
        meter.record(|usage| count(&mut usage.sqs.requests, "SendMessage"));
        let json = serde_json::to_string(&meter.usage()).expect("plain data");
        let back: Usage = serde_json::from_str(&json).expect("its own output");
        assert_eq!(back, meter.usage());
    }
}
