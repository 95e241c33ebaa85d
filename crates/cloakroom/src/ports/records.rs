//! The port of operators: it finds records wherever they are. Apart from `PartitionStore`, so that whoever only processes
//! messages needs neither the code nor the permission to read everything.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use serde_dynamo::Item;

use crate::{
    error::PortError,
    format::{
        name::{MessageId, Partition},
        record::Record,
        schema::{Kept, Key},
        timestamp::Timestamp,
    },
    ports::{commit::Placement, placement},
};

/// A part of all partitions, so that several can be read at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number, from 0.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

/// An outbox record, and where it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The partition it lives in.
    pub partition: Partition,
    /// The endpoint that processes its message.
    pub endpoint: String,
    /// The incoming message.
    pub message: MessageId,
    /// The record; or why it cannot be read.
    pub record: Result<Record, String>,
    /// Where it lies. One that is embedded may be of a message that was settled.
    pub placement: Placement,
}

impl Found {
    /// Reads the records of an item: that which it is, or those that are embedded in it, if it is a state.
    pub fn read(partition: &Partition, sort_key: &str, item: &Item) -> Vec<Self> {
        let found = |endpoint: &str, message, record, placement| Self {
            partition: partition.clone(),
            endpoint: endpoint.to_owned(),
            message,
            record,
            placement,
        };
        match Key::kept(sort_key) {
            None | Some(Kept::Failures { .. }) => Vec::new(),
            Some(Kept::Record { endpoint, message }) => {
                let record = placement::read_record_item("reading the record", item);
                vec![found(endpoint, message, record.map_err(|error| error.to_string()), Placement::Separate)]
            }
            Some(Kept::State { endpoint }) => {
                // What cannot be told apart the workers report.
                let texts = placement::read_embedded_records("reading the embedded records", item).unwrap_or_default();
                let read = |text: &String| Record::decode(text).map_err(|error| error.to_string());
                let embedded = texts.into_iter().map(|(message, text)| (message, read(&text)));
                embedded.map(|(message, record)| found(endpoint, message, record, Placement::Embedded)).collect()
            }
        }
    }

    /// How long ago its commit was tried; none if the record does not tell.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.record.as_ref().ok()?.age(now)
    }
}

/// What one request has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordPage {
    /// The records among the items that were read.
    pub records: Vec<Found>,
    /// Where the segment goes on; none at its end.
    pub next: Option<String>,
    /// How many items were read.
    pub items: u64,
    /// What that has cost, in read units.
    pub units: f64,
}

/// Finds records.
///
/// - The pages of all segments together MUST have every record that was there when the first of them was read, and was not cleared
///   before the last.
/// - `next` MUST remain good for hours, also in another process.
#[async_trait]
pub trait Records: Send + Sync + fmt::Debug {
    /// The store's name in error texts, such as ``table `orders` ``.
    fn target(&self) -> String {
        "the partition store".to_owned()
    }

    /// Reads one page of a segment, from its beginning or from the `next` of the page before.
    async fn page(&self, segment: Segment, after: Option<&str>) -> Result<RecordPage, PortError>;

    /// All items of a partition, by sort key.
    async fn items_of(&self, partition: &Partition) -> Result<BTreeMap<String, Item>, PortError>;
}
