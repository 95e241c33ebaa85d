//! The consumption of requests to the services, in the units of their bills.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

/// A service with its own prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// DynamoDB.
    DynamoDb,
    /// S3, except for S3 Express.
    S3,
    /// S3 Express One Zone: buckets whose name ends in `--x-s3`.
    #[serde(rename = "s3_express")]
    S3Express,
    /// SQS, except for FIFO queues.
    Sqs,
    /// FIFO queues of SQS.
    #[serde(rename = "sqs_fifo")]
    SqsFifo,
}

impl Service {
    /// Returns the name of the service in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::S3 => "s3",
            Self::S3Express => "s3_express",
            Self::Sqs => "sqs",
            Self::SqsFifo => "sqs_fifo",
        }
    }
}

/// The consumption of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Consumed {
    /// The service.
    pub service: Service,
    /// The name of the operation in the service's API.
    pub operation: &'static str,
    /// The amounts.
    pub used: Used,
}

/// Amounts in the units that services bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Used {
    /// Requests, also those that were refused. SQS bills one request for each started 64 KB of
    /// messages.
    pub requests: u64,
    /// Read request units of DynamoDB.
    pub read_units: f64,
    /// Write request units of DynamoDB.
    pub write_units: f64,
    /// Bytes in the bodies of requests and responses.
    pub bytes: u64,
    /// Messages in successful requests to SQS: received, sent, deleted, or extended.
    pub messages: u64,
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.read_units += other.read_units;
        self.write_units += other.write_units;
        self.bytes += other.bytes;
        self.messages += other.messages;
    }
}

/// The total consumption by service and operation. A price list needs both, because S3 has
/// different prices for operations.
///
/// ```
/// use cloakroom::observe::{Consumed, Consumption, Service, Used};
///
/// let mut consumption = Consumption::default();
/// let used = Used { requests: 1, read_units: 1.0, ..Used::default() };
/// consumption.add(Consumed { service: Service::DynamoDb, operation: "GetItem", used });
/// assert_eq!(consumption.of(Service::DynamoDb, "GetItem"), used);
/// assert!(serde_json::to_string(&consumption)?.starts_with(r#"{"dynamodb":{"GetItem":{"requests":1,"#));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Consumption(BTreeMap<Service, BTreeMap<Cow<'static, str>, Used>>);

impl Consumption {
    /// Adds one request.
    pub fn add(&mut self, Consumed { service, operation, used }: Consumed) {
        *self.0.entry(service).or_default().entry(Cow::Borrowed(operation)).or_default() += used;
    }

    /// Returns the consumption of an operation.
    pub fn of(&self, service: Service, operation: &str) -> Used {
        self.0.get(&service).and_then(|operations| operations.get(operation)).copied().unwrap_or_default()
    }

    /// Returns the consumption of all operations of a service.
    pub fn total(&self, service: Service) -> Used {
        let mut total = Used::default();
        self.iter().filter(|(of, ..)| *of == service).for_each(|(_, _, used)| total += used);
        total
    }

    /// Returns the average number of messages in a request of this SQS operation, also counting
    /// empty requests and retries. The maximum is 10, which is the best value. `None` if there was
    /// no request.
    ///
    /// ```
    /// use cloakroom::observe::{Consumed, Consumption, Service, Used};
    ///
    /// let mut consumption = Consumption::default();
    /// let used = Used { requests: 2, messages: 15, ..Used::default() };
    /// consumption.add(Consumed { service: Service::Sqs, operation: "ReceiveMessage", used });
    /// assert_eq!(consumption.fill("ReceiveMessage"), Some(7.5));
    /// ```
    pub fn fill(&self, operation: &str) -> Option<f64> {
        let mut all = self.of(Service::Sqs, operation);
        all += self.of(Service::SqsFifo, operation);
        (all.requests > 0).then(|| all.messages as f64 / all.requests as f64)
    }

    /// Returns the consumption of every operation, ordered by service and name.
    pub fn iter(&self) -> impl Iterator<Item = (Service, &str, Used)> {
        self.0.iter().flat_map(|(service, operations)| {
            operations.iter().map(|(operation, used)| (*service, operation.as_ref(), *used))
        })
    }
}
