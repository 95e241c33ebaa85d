//! The limits of AWS. They are checked before a request is sent, so that the error can name the
//! item that exceeds a limit.

use serde::{Deserialize, Serialize};
use serde_dynamo::Item;

use crate::{
    error::{Error, LimitError, within},
    format::{
        item_size::item_bytes,
        name::{Claim, shortened},
        record::{Outgoing, Record},
    },
    ports::{fifo::check_delay, queue::QueueMessage},
};

/// The limits of an account. The defaults are the limits of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The number of items in a transaction: state, record and the handler's own items.
    pub transaction_items_max: usize,
    /// The size of all items of a transaction.
    pub transaction_bytes_max: usize,
    /// The size of an item, including attribute names.
    pub item_bytes_max: usize,
    /// The size of a message on a queue, including attributes. Some queues have a limit of 262,144.
    pub message_bytes_max: usize,
    /// The number of attributes of a message on a queue.
    pub message_attributes_max: usize,
    /// The size of a partition key.
    pub partition_key_bytes_max: usize,
    /// The size of a sort key, which contains the names of endpoint and message. The limit for
    /// object keys is the same.
    pub sort_key_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transaction_items_max: 100,
            transaction_bytes_max: 4 * 1024 * 1024,
            item_bytes_max: 400 * 1024,
            message_bytes_max: 1024 * 1024,
            message_attributes_max: 10,
            partition_key_bytes_max: 2048,
            sort_key_bytes_max: 1024,
        }
    }
}

impl Limits {
    /// Checks that every limit is at least 2 and at most the limit of AWS.
    ///
    /// # Errors
    /// If a limit is out of range. The error names the first such field, for example
    /// `limits.item_bytes_max`.
    pub fn validate(&self) -> Result<(), Error> {
        let aws = Self::default();
        for (field, value, max) in [
            ("limits.transaction_items_max", self.transaction_items_max, aws.transaction_items_max),
            ("limits.transaction_bytes_max", self.transaction_bytes_max, aws.transaction_bytes_max),
            ("limits.item_bytes_max", self.item_bytes_max, aws.item_bytes_max),
            ("limits.message_bytes_max", self.message_bytes_max, aws.message_bytes_max),
            ("limits.message_attributes_max", self.message_attributes_max, aws.message_attributes_max),
            ("limits.partition_key_bytes_max", self.partition_key_bytes_max, aws.partition_key_bytes_max),
            ("limits.sort_key_bytes_max", self.sort_key_bytes_max, aws.sort_key_bytes_max),
        ] {
            within(field, value as u64, 2, max as u64)?;
        }
        Ok(())
    }

    /// Checks the number, the keys and the sizes of the items of one transaction. Each item comes
    /// with its sort key.
    ///
    /// # Errors
    /// If a limit is exceeded. The error names the first item or key that exceeds a limit.
    pub fn check_transaction<'a>(
        &self,
        partition: &str,
        items: impl IntoIterator<Item = (&'a str, Option<&'a Item>)>,
    ) -> Result<(), LimitError> {
        let what = || format!("partition key `{}`", shortened(partition));
        check(what, partition.len(), self.partition_key_bytes_max, "bytes")?;
        let (mut count, mut bytes) = (0, 0);
        for (sort_key, item) in items {
            let what = || format!("sort key `{}`", shortened(sort_key));
            check(what, sort_key.len(), self.sort_key_bytes_max, "bytes")?;
            let keys = partition.len() + sort_key.len() + "pksk".len();
            let size = keys + item.map_or(0, item_bytes);
            let what = || format!("item `{}` of partition `{}`", shortened(sort_key), shortened(partition));
            check(what, size, self.item_bytes_max, "bytes")?;
            count += 1;
            bytes += size;
        }
        let what = || format!("the commit on partition `{}`", shortened(partition));
        check(what, count, self.transaction_items_max, "items")?;
        check(what, bytes, self.transaction_bytes_max, "bytes")
    }

    /// Checks the size and the number of attributes of a message before it is sent. `what` names
    /// the message in errors.
    ///
    /// # Errors
    /// If a limit is exceeded.
    pub fn check_message(&self, what: &str, message: &QueueMessage) -> Result<(), LimitError> {
        let attribute = |(name, value): (&String, &String)| name.len() + value.len() + "String".len();
        let bytes = message.body.len() + message.attributes.iter().map(attribute).sum::<usize>();
        let what = || what.to_owned();
        check(what, bytes, self.message_bytes_max, "bytes")?;
        check(what, message.attributes.len(), self.message_attributes_max, "attributes")
    }
}

fn check(what: impl Fn() -> String, size: usize, size_max: usize, unit: &'static str) -> Result<(), LimitError> {
    if size <= size_max {
        return Ok(());
    }
    Err(LimitError { what: what(), size, size_max, unit })
}

/// The maximum delay of a message on SQS, in seconds.
pub(crate) const DELAY_S_MAX: u64 = 900;

/// A payload store name of the maximum length.
const LONGEST_STORE_NAME: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The maximum length of a claim, which begins with 32 digits and a dot.
const CLAIM_BYTES_MAX: usize = 33 + LONGEST_STORE_NAME.len();

/// Checks, before anything is written, that the queue of every outgoing message can accept the
/// message.
///
/// # Errors
/// A text that names the message, the limit, and what to do.
pub(crate) fn check_limits(limits: &Limits, record: &Record) -> Result<(), String> {
    record.messages.iter().try_for_each(|Outgoing { envelope, queue, delay_s, .. }| {
        limits.check_transaction(envelope.partition.as_str(), []).map_err(|error| error.to_string())?;
        let what = format!("message `{}` to queue `{queue}`", envelope.kind);
        check_delay(&what, queue, *delay_s)?;
        // For most messages the upper bound is below the limit, so they need not be encoded.
        let claim_bytes = envelope.dataref.as_ref().map_or(CLAIM_BYTES_MAX, |claim| claim.as_str().len());
        if envelope.encoded_bytes_max(claim_bytes).is_some_and(|bytes| bytes <= limits.message_bytes_max) {
            return Ok(());
        }
        let longest = || Claim::from_random(0, LONGEST_STORE_NAME);
        let claim = envelope.dataref.clone().unwrap_or_else(longest);
        let body = envelope.encode_with(Some(&claim), true);
        check_size(limits, &what, &QueueMessage { body, ..QueueMessage::default() })
    })
}

/// Checks the size of a message. The error names the setting of the limit.
pub(crate) fn check_size(limits: &Limits, what: &str, message: &QueueMessage) -> Result<(), String> {
    limits.check_message(what, message).map_err(|error| match error.unit {
        "bytes" => format!("{error} (`limits.message_bytes_max`)"),
        _ => error.to_string(),
    })
}
