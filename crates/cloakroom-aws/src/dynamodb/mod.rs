//! The ports on DynamoDB: partitions, records for recovery, and the table of small payloads.
//!
//! This module performs reads and writes. How a commit becomes items is decided by `cloakroom::ports::placement`, which all
//! backends share.

pub(crate) mod attributes;
pub(crate) mod items;
pub(crate) mod payload_table;
pub(crate) mod records;
pub(crate) mod store;
pub(crate) mod transaction;

pub(crate) fn target(table: &str) -> String {
    format!("table `{table}`")
}
