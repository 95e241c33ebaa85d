//! The port for operators, which finds the records of all partitions. It is not part of
//! `PartitionStore`. So a service that only processes messages needs neither the code nor the
//! permission to read all partitions.

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

/// A part of all partitions. Several segments can be read at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The number of this segment, from 0.
    pub number: u32,
    /// The number of all segments.
    pub of: u32,
}

/// An outbox record, and the place where it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The partition of the record.
    pub partition: Partition,
    /// The endpoint that processes the incoming message.
    pub endpoint: String,
    /// The incoming message.
    pub message: MessageId,
    /// The record, or the reason why it cannot be read.
    pub record: Result<Record, String>,
    /// The placement of the record. The message of an embedded record may already be settled.
    pub placement: Placement,
}

impl Found {
    /// Reads the records of an item. These are the item itself if it is a separate record, and its
    /// embedded records if it is a state.
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
                // If the attribute cannot be read, this returns no records. The workers report that
                // error.
                let texts = placement::read_embedded_records("reading the embedded records", item).unwrap_or_default();
                let read = |text: &String| Record::decode(text).map_err(|error| error.to_string());
                let embedded = texts.into_iter().map(|(message, text)| (message, read(&text)));
                embedded.map(|(message, record)| found(endpoint, message, record, Placement::Embedded)).collect()
            }
        }
    }

    /// Returns the time since the commit was tried. `None` if the record cannot be read or does not
    /// contain the time.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.record.as_ref().ok()?.age(now)
    }
}

/// One page of found records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordPage {
    /// The records among the items that were read.
    pub records: Vec<Found>,
    /// The position of the next page. `None` at the end of the segment.
    pub next: Option<String>,
    /// The number of items that were read.
    pub items: u64,
    /// The cost of the request, in read units.
    pub units: f64,
}

/// The port that finds records.
///
/// - The pages of all segments together MUST contain every record that exists when the first page
///   is read and is not cleared before the last page is read.
/// - `next` MUST stay valid for hours, also in another process.
#[async_trait]
pub trait Records: Send + Sync + fmt::Debug {
    /// Returns the name of the store in error texts, such as ``table `orders` ``.
    fn target(&self) -> String {
        "the partition store".to_owned()
    }

    /// Reads one page of a segment, from its start or from `next` of the previous page.
    async fn page(&self, segment: Segment, after: Option<&str>) -> Result<RecordPage, PortError>;

    /// Returns all items of a partition, by sort key.
    async fn items_of(&self, partition: &Partition) -> Result<BTreeMap<String, Item>, PortError>;
}
