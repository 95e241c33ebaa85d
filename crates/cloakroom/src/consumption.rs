//! What was asked of the services, in what they bill.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

/// A service that bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Service {
    DynamoDb,
    S3,
    Sqs,
}

impl Service {
    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::S3 => "s3",
            Self::Sqs => "sqs",
        }
    }
}

/// What one request consumed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Consumed {
    /// Of which service.
    pub service: Service,
    /// The operation, as the service spells it.
    pub operation: &'static str,
    /// How much.
    pub used: Used,
}

/// Amounts of what services bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Used {
    /// Requests, those that were refused among them. SQS bills one for each begun 64 KB of messages.
    pub requests: u64,
    /// Read request units of DynamoDB.
    pub read_units: f64,
    /// Write request units of DynamoDB.
    pub write_units: f64,
    /// Bytes in the bodies of requests and answers.
    pub bytes: u64,
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.read_units += other.read_units;
        self.write_units += other.write_units;
        self.bytes += other.bytes;
    }
}

/// What was consumed in all, by service and operation: what a price list needs, since S3 prices operations differently.
///
/// ```
/// use cloakroom::{Consumed, Consumption, Service, Used};
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

    /// What an operation has consumed.
    pub fn of(&self, service: Service, operation: &str) -> Used {
        self.0.get(&service).and_then(|operations| operations.get(operation)).copied().unwrap_or_default()
    }

    /// What all operations of a service have consumed.
    pub fn total(&self, service: Service) -> Used {
        let mut total = Used::default();
        self.iter().filter(|(of, ..)| *of == service).for_each(|(_, _, used)| total += used);
        total
    }

    /// Every operation, in the order of services and names.
    pub fn iter(&self) -> impl Iterator<Item = (Service, &str, Used)> {
        self.0.iter().flat_map(|(service, operations)| {
            operations.iter().map(|(operation, used)| (*service, operation.as_ref(), *used))
        })
    }
}
