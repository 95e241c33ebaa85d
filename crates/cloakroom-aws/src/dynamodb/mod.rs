//! The ports on DynamoDB: partitions, records for recovery, and the table for small payloads.
//!
//! This module reads and writes items. `cloakroom::ports::placement`, which all backends share,
//! decides which items a commit writes.

pub(crate) mod attributes;
pub(crate) mod items;
pub(crate) mod payload_table;
pub(crate) mod records;
pub(crate) mod store;
pub(crate) mod transaction;

pub(crate) fn target(table: &str) -> String {
    format!("table `{table}`")
}
