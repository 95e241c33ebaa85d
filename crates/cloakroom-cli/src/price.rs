//! Which prices are taken, and what embedded AWS has metered in the form that is priced.

use std::{io::Read as _, path::Path};

use cloakroom::observe::{Consumed, Consumption, Service, Used, prices::Prices};
use cloakroom_local::Usage;

use crate::site::Failure;

/// Which prices to take.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PriceOptions {
    /// Prices in place of the list prices: {"region":"…","dynamodb_write_unit":…,"dynamodb_read_unit":…,"s3_put_class":…,
    /// "s3_get_class":…,"sqs_request":…,"sqs_fifo_request":…} in dollars a piece, or a list of these for several regions
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<String>,
    /// The region whose prices to take; of the list prices us-east-1 if none is named
    #[arg(long)]
    pub(crate) region: Option<String>,
}

impl PriceOptions {
    pub(crate) fn prices(&self) -> Result<Prices, Failure> {
        let region = self.region.as_deref();
        Ok(match &self.prices {
            Some(file) => Prices::read(&read(file)?, &told(file), region)?,
            None => Prices::list(region)?,
        })
    }
}

/// What errors call this file.
pub(crate) fn told(file: &str) -> String {
    if file == "-" { "standard input".to_owned() } else { format!("`{file}`") }
}

/// Reads a file, or standard input if it is called `-`.
pub(crate) fn read(file: &str) -> Result<String, Failure> {
    let text = if file == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(Path::new(file))
    };
    text.map_err(|error| Failure::new(format!("{} cannot be read: {error}", told(file))))
}

/// What was used, as a client would have metered it. Where the services tell less than a client, it stands under the operation
/// that is priced alike.
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
    // Among them is what was billed for messages beyond the first 64 KB of a request.
    add(Service::Sqs, "other", Used { requests: others, ..Used::default() });
    consumption
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

    #[test]
    fn a_use_keeps_everything_that_is_priced() {
        let usage: Usage = serde_json::from_value(serde_json::json!({
            "dynamodb": { "requests": { "GetItem": 2, "PutItem": 3 }, "units": { "write": 6.0, "read": 4.0 } },
            "s3": { "put_class": 10, "get_class": 20, "deletes": 30, "requests": { "PutObject": 10 } },
            "sqs": { "billed_requests": 17, "requests": { "GetQueueAttributes": 2, "ReceiveMessage": 4 },
                     "messages_received": 30 },
        }))
        .unwrap();
        let (all, worked) = (consumption(&usage), consumption(&without_looks(&usage)));
        let units = Used { requests: 5, write_units: 6.0, read_units: 4.0, ..Used::default() };
        assert_eq!(all.total(Service::DynamoDb), units);
        let s3 = ["PutObject", "GetObject", "DeleteObject"].map(|name| all.of(Service::S3, name).requests);
        assert_eq!(s3, [10, 20, 30]);
        assert_eq!((all.total(Service::Sqs).requests, worked.total(Service::Sqs).requests), (17, 15));
        assert_eq!((all.fill("ReceiveMessage"), all.fill("SendMessageBatch")), (Some(7.5), None));
    }
}
