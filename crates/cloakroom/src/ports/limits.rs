//! What AWS takes, checked before it is asked, so that the error can name the culprit.

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

/// The limits of an account; the defaults are those of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Items in a transaction: state, record and the handler's own.
    pub transaction_items_max: usize,
    /// Size of all items of a transaction.
    pub transaction_bytes_max: usize,
    /// Size of an item, attribute names included.
    pub item_bytes_max: usize,
    /// Size of a message on a queue, attributes included. Some queues are set to 262,144.
    pub message_bytes_max: usize,
    /// Attributes of a message on a queue.
    pub message_attributes_max: usize,
    /// Size of a partition key.
    pub partition_key_bytes_max: usize,
    /// Size of a sort key, which contains the ids of endpoint and message. Object keys are as long.
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
    /// Checks that no limit is above that of AWS, or below what makes sense.
    ///
    /// # Errors
    /// The first field that is, such as `limits.item_bytes_max`.
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

    /// Checks the items of one transaction: their number, keys and sizes. Each comes with its sort key.
    ///
    /// # Errors
    /// The first that is over a limit, named.
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

    /// Checks a message before it is sent.
    ///
    /// # Errors
    /// What is over a limit, named.
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

/// The longest delay that SQS knows.
pub(crate) const DELAY_S_MAX: u64 = 900;

/// As long as the name of a payload store may be.
const LONGEST_STORE_NAME: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// As long as a claim may be: it begins with 32 digits and a dot.
const CLAIM_BYTES_MAX: usize = 33 + LONGEST_STORE_NAME.len();

/// Checks, before anything is written, that its queue will take every message.
///
/// # Errors
/// What it will not take, and what to do.
pub(crate) fn check_limits(limits: &Limits, record: &Record) -> Result<(), String> {
    record.messages.iter().try_for_each(|Outgoing { envelope, queue, delay_s, .. }| {
        limits.check_transaction(envelope.partition.as_str(), []).map_err(|error| error.to_string())?;
        let what = format!("message `{}` to queue `{queue}`", envelope.kind);
        check_delay(&what, queue, *delay_s)?;
        // Most are far too small to be written for that.
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

/// A message's size; the error says which limit it is.
pub(crate) fn check_size(limits: &Limits, what: &str, message: &QueueMessage) -> Result<(), String> {
    limits.check_message(what, message).map_err(|error| match error.unit {
        "bytes" => format!("{error} (`limits.message_bytes_max`)"),
        _ => error.to_string(),
    })
}
