//! The cost of [consumption](Consumption): prices by region, and dollars.
//!
//! The price list of the library, `data/prices.json`, is the only file with prices. It has the
//! on-demand list prices of 2026, before free tiers and discounts. Only requests and request units
//! are priced. Storage (a payload exists for seconds), data transfer out of the region, and
//! everything else that AWS bills are not.
//!
//! ```
//! use cloakroom::observe::{Consumed, Consumption, Service, Used, prices::Prices};
//!
//! let mut consumption = Consumption::default();
//! let used = Used { requests: 1, write_units: 4.0, ..Used::default() };
//! consumption.add(Consumed { service: Service::DynamoDb, operation: "TransactWriteItems", used });
//! let dollars = Prices::list(None)?.of(&consumption);
//! assert_eq!(format!("{:.2}", dollars.per_million(1).total()), "2.50");
//! # Ok::<(), cloakroom::Error>(())
//! ```

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::Error,
    observe::consumption::{Consumption, Service, Used},
    ports::limits::Limits,
};

/// The list prices. No other file has prices.
const LIST_PRICES: &str = include_str!("../../data/prices.json");

/// The default region of the list prices.
const REGION: &str = "us-east-1";

/// Prices in one region, in dollars for one unit.
///
/// As a file the prices are one JSON object, or a list of objects for several regions. All fields
/// are required, except for the prices of S3 Express One Zone, which few regions have.
///
/// ```
/// let text = r#"{
///     "region": "us-east-1",
///     "dynamodb_write_unit": 0.000000625,
///     "dynamodb_read_unit": 0.000000125,
///     "s3_put_class": 0.000005,
///     "s3_get_class": 0.0000004,
///     "s3_express": { "put_class": 0.00000113, "get_class": 0.00000003, "gb_put": 0.0032, "gb_got": 0.0006 },
///     "sqs_request": 0.0000004,
///     "sqs_fifo_request": 0.0000005
/// }"#;
/// assert_eq!(cloakroom::observe::prices::Prices::read(text, "`prices.json`", None)?.region(), "us-east-1");
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    region: String,
    dynamodb_write_unit: f64,
    dynamodb_read_unit: f64,
    s3_put_class: f64,
    s3_get_class: f64,
    s3_express: Option<Express>,
    sqs_request: f64,
    sqs_fifo_request: f64,
}

/// The prices of S3 Express One Zone, which also bills bytes.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Express {
    put_class: f64,
    get_class: f64,
    gb_put: f64,
    gb_got: f64,
}

impl Prices {
    /// Returns the list prices of a region, by default of us-east-1.
    ///
    /// # Errors
    /// The list does not have the region.
    pub fn list(region: Option<&str>) -> Result<Self, Error> {
        Self::read(LIST_PRICES, "the list of prices", region.or(Some(REGION)))
    }

    /// Reads the prices of a region, or of the only region of the text. The text is one object, or
    /// a list of objects. `source` names the text in errors.
    ///
    /// # Errors
    /// The text is not JSON. A price is missing, negative, not a number or not known. A region
    /// occurs twice, or does not occur. The error names the problem.
    pub fn read(text: &str, source: &str, region: Option<&str>) -> Result<Self, Error> {
        let wrong = |problem: &dyn fmt::Display| Error::misconfigured(format!("{source} cannot be used: {problem}"));
        // Decoded as a `Value` and not as an untagged enum, because the errors of such an enum do
        // not name the field.
        let value: Value = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        let objects = if let Value::Array(objects) = value { objects } else { vec![value] };
        let mut known = BTreeMap::new();
        for object in objects {
            check(&object).map_err(|problem| wrong(&problem))?;
            let of = object["region"].to_string();
            let prices: Self =
                serde_json::from_value(object).map_err(|error| wrong(&format_args!("{error} (region {of})")))?;
            if known.insert(prices.region.clone(), prices).is_some() {
                return Err(wrong(&format_args!("it has prices of region {of} twice; delete one of them")));
            }
        }
        let regions: Vec<String> = known.keys().cloned().collect();
        let chosen = match region {
            Some(region) => known.remove(region),
            None if known.len() == 1 => known.into_values().next(),
            None => None,
        };
        chosen.ok_or_else(|| {
            let requested =
                region.map_or("no region was named".to_owned(), |region| format!("`{region}` is not among them"));
            let (count, regions) = (regions.len(), regions.join(", "));
            wrong(&format_args!("it has prices of {count} regions ({regions}), and {requested}; name one of these"))
        })
    }

    /// Returns the region of these prices.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Returns the cost by service. Deletions in S3 are free. An unknown S3 operation is priced as
    /// a PUT, and S3 Express as S3 Standard if it has no prices. So a cost may be too high, but not
    /// too low.
    pub fn of(&self, consumption: &Consumption) -> Dollars {
        let units = consumption.total(Service::DynamoDb);
        let requests = |service| consumption.total(service).requests as f64;
        Dollars {
            dynamodb: units.write_units * self.dynamodb_write_unit + units.read_units * self.dynamodb_read_unit,
            s3: consumption.iter().map(|(service, operation, used)| self.s3(service, operation, used)).sum(),
            sqs: requests(Service::Sqs) * self.sqs_request + requests(Service::SqsFifo) * self.sqs_fifo_request,
        }
    }

    fn s3(&self, service: Service, operation: &str, used: Used) -> f64 {
        match service {
            Service::S3 => used.requests as f64 * self.s3_request(operation),
            Service::S3Express => self.express(operation, used),
            Service::DynamoDb | Service::Sqs | Service::SqsFifo => 0.0,
        }
    }

    fn s3_request(&self, operation: &str) -> f64 {
        match Class::of(operation) {
            Class::Put => self.s3_put_class,
            Class::Get => self.s3_get_class,
            Class::Free => 0.0,
        }
    }

    fn express(&self, operation: &str, used: Used) -> f64 {
        let requests = used.requests as f64;
        let Some(express) = self.s3_express else { return requests * self.s3_request(operation) };
        let gb = used.bytes as f64 / f64::from(1 << 30);
        match Class::of(operation) {
            Class::Put => requests * express.put_class + gb * express.gb_put,
            Class::Get => requests * express.get_class + gb * express.gb_got,
            Class::Free => 0.0,
        }
    }

    /// Returns the largest item size, in bytes, at which a payload is cheaper in DynamoDB than in
    /// S3 Standard. The item includes its key and the names of its attributes. The comparison is
    /// one put, one strongly consistent get and one delete against PUT, GET and a free DELETE. The
    /// result is a multiple of 1 KB, because DynamoDB bills started KBs. It is 0 if DynamoDB is
    /// never cheaper.
    ///
    /// ```
    /// assert_eq!(cloakroom::observe::prices::Prices::list(None)?.small_payload_bytes_max(), 4 * 1024);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn small_payload_bytes_max(&self) -> usize {
        let s3 = self.s3_put_class + self.s3_get_class;
        // A put and a delete are billed by size in the same way.
        let dynamodb =
            |kb: usize| 2.0 * kb as f64 * self.dynamodb_write_unit + kb.div_ceil(4) as f64 * self.dynamodb_read_unit;
        let kb_max = Limits::default().item_bytes_max / 1024;
        (1..=kb_max).take_while(|kb| dynamodb(*kb) < s3).last().unwrap_or(0) * 1024
    }
}

/// The price class of an S3 request.
enum Class {
    Put,
    Get,
    Free,
}

impl Class {
    fn of(operation: &str) -> Self {
        match operation {
            _ if operation.starts_with("Delete") || operation.starts_with("Abort") => Self::Free,
            _ if operation.starts_with("Get") || operation.starts_with("Head") => Self::Get,
            _ => Self::Put,
        }
    }
}

/// Checks that each price is a number of at least 0. The names of the fields are checked when the
/// prices are deserialized.
fn check(prices: &Value) -> Result<(), String> {
    let fields = prices.as_object().ok_or_else(|| format!("`{prices}` is no object with prices"))?;
    let wrong = |name: &str, price: &Value| {
        let region = fields.get("region").unwrap_or(&Value::Null);
        Err(format!("`{name}` of region {region} is {price}; it must be a number of dollars that is 0 or more"))
    };
    let is_wrong = |price: &Value| price.as_f64().is_none_or(|price| price < 0.0);
    for (name, price) in fields.iter().filter(|(name, _)| *name != "region") {
        let group = price.as_object().map(|group| group.iter().find(|(_, price)| is_wrong(price)));
        match group {
            Some(Some((inner, price))) => return wrong(&format!("{name}.{inner}"), price),
            Some(None) => {}
            None if is_wrong(price) => return wrong(name, price),
            None => {}
        }
    }
    Ok(())
}

/// The cost by service, in dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields have the names of the services")]
pub struct Dollars {
    pub dynamodb: f64,
    pub s3: f64,
    pub sqs: f64,
}

impl Dollars {
    /// Returns the sum over all services.
    pub fn total(self) -> f64 {
        self.dynamodb + self.s3 + self.sqs
    }

    /// Returns the cost of a million messages if this is the cost of `messages` messages. The
    /// result is not finite if `messages` is 0.
    #[must_use]
    pub fn per_million(self, messages: u64) -> Self {
        let scale = 1e6 / messages as f64;
        Self { dynamodb: self.dynamodb * scale, s3: self.s3 * scale, sqs: self.sqs * scale }
    }

    /// Returns each service and its cost, in the order of reports.
    pub const fn by_service(self) -> [(Service, f64); 3] {
        [(Service::DynamoDb, self.dynamodb), (Service::S3, self.s3), (Service::Sqs, self.sqs)]
    }
}

#[cfg(test)]
mod tests;
