//! What AWS takes, checked before it is asked, so that the error can name the culprit.

use serde::{Deserialize, Serialize};
use serde_dynamo::{AttributeValue, Item};

use crate::{Error, LimitError, QueueMessage, settings::within};

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

/// Keys may be as long as what an attacker sends; errors are not.
pub(crate) fn shortened(key: &str) -> &str {
    let end = key.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 100).last();
    &key[..end.unwrap_or(0)]
}

/// The size of an item by DynamoDB's rules, without its keys.
pub fn item_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::N(digits) => number_bytes(digits),
        AttributeValue::S(text) => text.len(),
        AttributeValue::Bool(_) | AttributeValue::Null(_) => 1,
        AttributeValue::B(bytes) => bytes.len(),
        AttributeValue::M(map) => {
            3 + map.iter().map(|(name, value)| 1 + name.len() + value_bytes(value)).sum::<usize>()
        }
        AttributeValue::L(list) => 3 + list.iter().map(|value| 1 + value_bytes(value)).sum::<usize>(),
        AttributeValue::Ss(set) => set.iter().map(String::len).sum(),
        AttributeValue::Ns(set) => set.iter().map(|digits| number_bytes(digits)).sum(),
        AttributeValue::Bs(set) => set.iter().map(Vec::len).sum(),
    }
}

/// Two digits a byte, one byte more, and one for a sign: an upper bound, since zeros at the ends are not stored.
fn number_bytes(digits: &str) -> usize {
    digits.len().div_ceil(2) + 1 + usize::from(digits.starts_with('-'))
}
