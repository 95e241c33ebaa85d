//! Records in a DynamoDB table, found by a scan.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, ReturnConsumedCapacity},
};
use cloakroom::{
    Partition, PortError,
    format::{
        Item,
        schema::{RECORDS, attribute},
    },
    ports::{Found, RecordPage, Records, Segment},
};

use crate::{
    client::failure::Operation,
    dynamodb::{attributes::item_from_sdk, target, transaction},
};

const SCAN: Operation = Operation::read("Scan", "dynamodb:Scan");
const QUERY: Operation = Operation::read("Query", "dynamodb:Query");

type SdkItem = HashMap<String, AttributeValue>;

/// The records of a table, found by a strongly consistent parallel scan, page by page.
///
/// **A scan reads the whole table**: 1 read unit for each 4 KB of its items, however many records
/// there are. A page has 1 MB and costs up to 256 units. There is no index of records: it would
/// cost write units for every message, and records are rarely searched.
///
/// ```no_run
/// # fn example(aws: cloakroom_aws::Aws) -> Result<(), cloakroom::Error> {
/// use std::sync::Arc;
/// use cloakroom::recovery::{Sweep, SweepSettings};
///
/// let sweep = Sweep::new(Arc::new(aws.records()), aws.ports(), SweepSettings::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DynamoRecords {
    client: Client,
    table: String,
}

impl DynamoRecords {
    /// Creates the records of this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    fn failed(&self, operation: &Operation, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PortError {
        PortError::new(operation.on(&target(&self.table)), cause).without_effect().permanent()
    }

    /// Returns the key of an item, and the item.
    fn read(&self, operation: &Operation, item: SdkItem) -> Result<((String, String), Item), PortError> {
        let key = key_of(&item).ok_or_else(|| self.failed(operation, "an item has no string in `pk` or `sk`"))?;
        Ok((key, item_from_sdk(item).map_err(|error| self.failed(operation, error))?))
    }
}

fn key_of(item: &SdkItem) -> Option<(String, String)> {
    let text = |name| Some(item.get(name)?.as_s().ok()?.clone());
    Some((text(attribute::PARTITION)?, text(attribute::SORT)?))
}

#[async_trait]
impl Records for DynamoRecords {
    fn target(&self) -> String {
        target(&self.table)
    }

    async fn page(&self, segment: Segment, after: Option<&str>) -> Result<RecordPage, PortError> {
        let wrong = |error: serde_json::Error| self.failed(&SCAN, error);
        let after: Option<(Partition, String)> = after.map(serde_json::from_str).transpose().map_err(wrong)?;
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let scan = self.client.scan().table_name(&self.table).consistent_read(true);
        let scan = scan
            .segment(number(segment.number))
            .total_segments(number(segment.of))
            .set_exclusive_start_key(after.map(|(partition, sort_key)| transaction::key(&partition, &sort_key)))
            .filter_expression("begins_with(sk, :record) OR attribute_exists(cloakroom_records)")
            .expression_attribute_values(":record", AttributeValue::S(RECORDS.to_owned()))
            .projection_expression("pk, sk, cloakroom_record, cloakroom_records")
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = scan.send().await.map_err(|error| SCAN.failed(&target(&self.table), error))?;
        let mut records = Vec::new();
        for item in output.items.unwrap_or_default() {
            let ((partition, sort_key), item) = self.read(&SCAN, item)?;
            records.extend(Found::read(&Partition::new(partition), &sort_key, &item));
        }
        let next = output.last_evaluated_key.as_ref().and_then(key_of);
        Ok(RecordPage {
            records,
            next: next.map(|key| serde_json::to_string(&key)).transpose().map_err(wrong)?,
            items: u64::try_from(output.scanned_count).unwrap_or(0),
            units: output.consumed_capacity.and_then(|capacity| capacity.capacity_units).unwrap_or(0.0),
        })
    }

    async fn items_of(&self, partition: &Partition) -> Result<BTreeMap<String, Item>, PortError> {
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :partition")
            .expression_attribute_values(":partition", AttributeValue::S(partition.as_str().to_owned()));
        let mut pages = query.into_paginator().items().send();
        let mut items = BTreeMap::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| QUERY.failed(&target(&self.table), error))?;
            let ((_, sort_key), item) = self.read(&QUERY, item)?;
            items.insert(sort_key, item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests;
