//! What a measured use of DynamoDB, S3 and SQS costs.

use std::{collections::BTreeMap, fmt};

use cloakroom_local::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::site::Failure;

/// The list prices; the only place with prices in it.
const LIST_PRICES: &str = include_str!("../data/prices.json");

/// Dollars a piece, in one region.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prices {
    pub(crate) region: String,
    dynamodb_write_unit: f64,
    dynamodb_read_unit: f64,
    s3_put_class: f64,
    s3_get_class: f64,
    sqs_request: f64,
}

impl Prices {
    /// The list prices that this program comes with: of this region, or of the only one.
    pub(crate) fn list(region: Option<&str>) -> Result<Self, Failure> {
        Self::read(LIST_PRICES, "the list of prices", region)
    }

    /// Reads the prices of a region, or of the only region that there is: one object, or a list of them. `source` is
    /// what to call the text in errors.
    pub(crate) fn read(text: &str, source: &str, region: Option<&str>) -> Result<Self, Failure> {
        let wrong = |problem: &dyn fmt::Display| Failure::new(format!("{source} cannot be used: {problem}"));
        // By hand and not by an untagged enum, whose errors name no field.
        let value: Value = serde_json::from_str(text).map_err(|error| wrong(&error))?;
        let objects = if let Value::Array(objects) = value { objects } else { vec![value] };
        let mut known = BTreeMap::new();
        for object in objects {
            check(&object).map_err(|problem| wrong(&problem))?;
            let prices: Self = serde_json::from_value(object).map_err(|error| wrong(&error))?;
            known.insert(prices.region.clone(), prices);
        }
        let regions: Vec<String> = known.keys().cloned().collect();
        let chosen = match region {
            Some(region) => known.remove(region),
            None if known.len() == 1 => known.into_values().next(),
            None => None,
        };
        chosen.ok_or_else(|| {
            let asked =
                region.map_or("no region was named".to_owned(), |region| format!("`{region}` is not among them"));
            wrong(&format!(
                "it has prices of {} regions ({}), and {asked}; give `--region`",
                regions.len(),
                regions.join(", ")
            ))
        })
    }

    /// Dollars by service.
    pub(crate) fn of(&self, usage: &Usage) -> Dollars {
        let units = usage.dynamodb.units;
        Dollars {
            dynamodb: units.write * self.dynamodb_write_unit + units.read * self.dynamodb_read_unit,
            s3: usage.s3.put_class as f64 * self.s3_put_class + usage.s3.get_class as f64 * self.s3_get_class,
            sqs: usage.sqs.billed_requests as f64 * self.sqs_request,
        }
    }
}

/// Demands that what is there of prices can be one. The names are checked by whoever reads them.
fn check(prices: &Value) -> Result<(), String> {
    let fields = prices.as_object().ok_or_else(|| format!("`{prices}` is no object with prices"))?;
    let wrong = |(name, price): &(&String, &Value)| *name != "region" && price.as_f64().is_none_or(|price| price < 0.0);
    fields.iter().find(wrong).map_or(Ok(()), |(name, price)| {
        let region = fields.get("region").unwrap_or(&Value::Null);
        Err(format!("`{name}` of region {region} is {price}; it must be 0 or more dollars"))
    })
}

/// What was spent on each service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Dollars {
    pub(crate) dynamodb: f64,
    pub(crate) s3: f64,
    pub(crate) sqs: f64,
}

impl Dollars {
    pub(crate) fn total(self) -> f64 {
        self.dynamodb + self.s3 + self.sqs
    }

    /// As much again for each of a million messages, if it was for so many.
    pub(crate) fn per_million(self, messages: u64) -> Self {
        let scale = 1e6 / messages as f64;
        Self { dynamodb: self.dynamodb * scale, s3: self.s3 * scale, sqs: self.sqs * scale }
    }
}

/// The use without the demonstration's own looks at the depth of its queues.
pub(crate) fn without_looks(usage: &Usage) -> Usage {
    let mut usage = usage.clone();
    let looks = usage.sqs.requests.remove("GetQueueAttributes").unwrap_or(0);
    usage.sqs.billed_requests = usage.sqs.billed_requests.saturating_sub(looks);
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{ "region": "here", "dynamodb_write_unit": 1, "dynamodb_read_unit": 0.5, "s3_put_class": 3,
                          "s3_get_class": 0, "sqs_request": 2 }"#;

    fn refusal(text: &str, region: Option<&str>) -> String {
        Prices::read(text, "`prices.json`", region).unwrap_err().to_string()
    }

    #[test]
    fn every_service_is_priced() {
        let usage: Usage = serde_json::from_value(serde_json::json!({
            "dynamodb": { "units": { "write": 6.0, "read": 4.0 } },
            "s3": { "put_class": 10, "get_class": 1000, "deletes": 1000 },
            "sqs": { "billed_requests": 7, "requests": { "GetQueueAttributes": 2 } },
        }))
        .unwrap();
        let prices = Prices::read(ONE, "one", None).unwrap();
        let dollars = prices.of(&usage);
        assert_eq!(dollars, Dollars { dynamodb: 8.0, s3: 30.0, sqs: 14.0 });
        assert_eq!(prices.of(&without_looks(&usage)).sqs, 10.0);
        assert_eq!(dollars.per_million(1_000).total(), 52_000.0);
    }

    #[test]
    fn the_price_at_fault_is_named() {
        assert!(refusal(&ONE.replace(", \"sqs_request\": 2", ""), None).contains("`sqs_request`"));
        assert!(refusal(&ONE.replace(": 0,", ": -1,"), None).contains("`s3_get_class` of region \"here\" is -1"));
        assert!(refusal(&ONE.replace(": 0,", ": \"x\","), None).contains("`s3_get_class` of region \"here\" is \"x\""));
        assert!(refusal("7", None).contains("`7` is no object"));
        assert!(refusal(&ONE.replace("sqs_request", "sqs_requests"), None).contains("`sqs_requests`"));
        assert!(refusal("{", None).contains("`prices.json` cannot be used"));
        assert!(refusal(ONE, Some("there")).contains("(here), and `there` is not among them"));
    }

    #[test]
    fn a_file_may_have_several_regions() {
        let two = format!("[{ONE}, {}]", ONE.replace("here", "there"));
        assert_eq!(Prices::read(&two, "two", Some("there")).unwrap().region, "there");
        assert!(refusal(&two, None).contains("2 regions (here, there)"));
    }

    #[test]
    fn the_list_prices_can_be_read() {
        assert!(Prices::list(None).is_ok());
    }
}
