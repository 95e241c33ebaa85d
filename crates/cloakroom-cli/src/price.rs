//! The choice of prices, and the metered use of embedded AWS in the form that can be priced.

use std::{io::Read as _, path::Path};

use cloakroom::observe::{Consumed, Consumption, Service, Used, prices::Prices};
use cloakroom_local::Usage;

use crate::site::Failure;

/// The options that choose the prices.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PriceOptions {
    /// Prices instead of the list prices:
    /// {"region":"…","dynamodb_write_unit":…,"dynamodb_read_unit":…,"s3_put_class":…,
    /// "s3_get_class":…,"sqs_request":…,"sqs_fifo_request":…} in dollars each, or a list of these
    /// for several regions
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<String>,
    /// The region whose prices are used; by default us-east-1 in the list prices
    #[arg(long)]
    pub(crate) region: Option<String>,
}

impl PriceOptions {
    pub(crate) fn prices(&self) -> Result<Prices, Failure> {
        let region = self.region.as_deref();
        Ok(match &self.prices {
            Some(file) => Prices::read(&read(file)?, &source_name(file), region)?,
            None => Prices::list(region)?,
        })
    }
}

/// Returns the name of a file for error texts.
pub(crate) fn source_name(file: &str) -> String {
    if file == "-" { "standard input".to_owned() } else { format!("`{file}`") }
}

/// Reads a file, or standard input if the name is `-`.
pub(crate) fn read(file: &str) -> Result<String, Failure> {
    let text = if file == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(Path::new(file))
    };
    text.map_err(|error| Failure::new(format!("{} cannot be read: {error}", source_name(file))))
}

/// Converts the metered use of the services into what a client would have metered. If the services
/// meter less detail than a client, the use is under an operation with the same price.
pub(crate) fn consumption(usage: &Usage) -> Consumption {
    let Usage { dynamodb, s3, sqs, .. } = usage;
    let mut consumption = Consumption::default();
    let mut add = |service, operation, used| consumption.add(Consumed { service, operation, used });
    let requests = dynamodb.requests.values().sum();
    let (read_units, write_units) = (dynamodb.units.read, dynamodb.units.write);
    add(Service::DynamoDb, "all", Used { requests, read_units, write_units, ..Used::default() });
    for (operation, requests, bytes) in [
        ("PutObject", s3.put_class, s3.bytes_in),
        ("GetObject", s3.get_class, s3.bytes_out),
        ("DeleteObject", s3.deletes, 0),
    ] {
        add(Service::S3, operation, Used { requests, bytes, ..Used::default() });
    }
    let mut others = sqs.billed_requests;
    for (operation, messages) in [
        ("ReceiveMessage", sqs.messages_received),
        ("SendMessageBatch", sqs.messages_sent),
        ("DeleteMessageBatch", sqs.messages_deleted),
    ] {
        let requests = sqs.requests.get(operation).copied().unwrap_or(0);
        others = others.saturating_sub(requests);
        add(Service::Sqs, operation, Used { requests, messages, ..Used::default() });
    }
    // These include the requests billed for each further 64 KB of a request.
    add(Service::Sqs, "other", Used { requests: others, ..Used::default() });
    consumption
}

/// Returns the use without the demonstration's own reads of the queue depths.
pub(crate) fn without_depth_reads(usage: &Usage) -> Usage {
    let mut usage = usage.clone();
    let depth_reads = usage.sqs.requests.remove("GetQueueAttributes").unwrap_or(0);
    usage.sqs.billed_requests = usage.sqs.billed_requests.saturating_sub(depth_reads);
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversion_of_usage_keeps_everything_that_is_priced() {
        let usage: Usage = serde_json::from_value(serde_json::json!({
            "dynamodb": { "requests": { "GetItem": 2, "PutItem": 3 }, "units": { "write": 6.0, "read": 4.0 } },
            "s3": { "put_class": 10, "get_class": 20, "deletes": 30, "requests": { "PutObject": 10 } },
            "sqs": { "billed_requests": 17, "requests": { "GetQueueAttributes": 2, "ReceiveMessage": 4 },
                     "messages_received": 30 },
        }))
        .unwrap();
        let (all, without_reads) = (consumption(&usage), consumption(&without_depth_reads(&usage)));
        let units = Used { requests: 5, write_units: 6.0, read_units: 4.0, ..Used::default() };
        assert_eq!(all.total(Service::DynamoDb), units);
        let s3 = ["PutObject", "GetObject", "DeleteObject"].map(|name| all.of(Service::S3, name).requests);
        assert_eq!(s3, [10, 20, 30]);
        assert_eq!((all.total(Service::Sqs).requests, without_reads.total(Service::Sqs).requests), (17, 15));
        assert_eq!((all.fill("ReceiveMessage"), all.fill("SendMessageBatch")), (Some(7.5), None));
    }
}
