//! The size of items according to the rules of DynamoDB.

use serde_dynamo::{AttributeValue, Item};

/// Returns the size of an item in bytes according to the rules of DynamoDB, without its keys.
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

/// Returns an upper bound of the size of a number: one byte for two digits, one more byte, and one
/// byte for a minus sign. The size is smaller if the number has leading or trailing zeros, which
/// are not stored.
fn number_bytes(digits: &str) -> usize {
    digits.len().div_ceil(2) + 1 + usize::from(digits.starts_with('-'))
}
