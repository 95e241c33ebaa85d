//! Conversion of attributes between the core crate and the SDK. The core crate does not link the
//! SDK.

use std::collections::HashMap;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue as Sdk};
use cloakroom::format::{AttributeValue as Core, Item};

/// The error for an attribute of a type that this version of the SDK does not know.
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownType;

impl std::fmt::Display for UnknownType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an attribute of the item has a type that this version of the AWS SDK does not know")
    }
}

cloakroom::debug_is_display!(UnknownType);

impl std::error::Error for UnknownType {}

/// Converts an item of a response, for callers that read the table themselves.
///
/// # Errors
/// An attribute has a type that the SDK does not know.
pub fn item_from_sdk(item: HashMap<String, Sdk>) -> Result<Item, UnknownType> {
    map_from_sdk(item).map(Item::from)
}

/// Converts an item for a request, and adds its key. The key is added last, so that an attribute of
/// the item cannot replace it.
pub(crate) fn to_sdk<const N: usize>(key: [(String, Sdk); N], item: Item) -> HashMap<String, Sdk> {
    let mut whole = HashMap::with_capacity(item.len() + N);
    whole.extend(HashMap::from(item).into_iter().map(|(name, value)| (name, value_to_sdk(value))));
    whole.extend(key);
    whole
}

fn map_to_sdk(map: HashMap<String, Core>) -> HashMap<String, Sdk> {
    map.into_iter().map(|(name, value)| (name, value_to_sdk(value))).collect()
}

fn value_to_sdk(value: Core) -> Sdk {
    match value {
        Core::N(digits) => Sdk::N(digits),
        Core::S(text) => Sdk::S(text),
        Core::Bool(value) => Sdk::Bool(value),
        Core::B(bytes) => Sdk::B(Blob::new(bytes)),
        Core::Null(value) => Sdk::Null(value),
        Core::M(map) => Sdk::M(map_to_sdk(map)),
        Core::L(list) => Sdk::L(list.into_iter().map(value_to_sdk).collect()),
        Core::Ss(set) => Sdk::Ss(set),
        Core::Ns(set) => Sdk::Ns(set),
        Core::Bs(set) => Sdk::Bs(set.into_iter().map(Blob::new).collect()),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the SDK asks not to match on its `Unknown`")]
fn value_from_sdk(value: Sdk) -> Result<Core, UnknownType> {
    Ok(match value {
        Sdk::N(digits) => Core::N(digits),
        Sdk::S(text) => Core::S(text),
        Sdk::Bool(value) => Core::Bool(value),
        Sdk::B(bytes) => Core::B(bytes.into_inner()),
        Sdk::Null(value) => Core::Null(value),
        Sdk::M(map) => Core::M(map_from_sdk(map)?),
        Sdk::L(list) => Core::L(list.into_iter().map(value_from_sdk).collect::<Result<_, _>>()?),
        Sdk::Ss(set) => Core::Ss(set),
        Sdk::Ns(set) => Core::Ns(set),
        Sdk::Bs(set) => Core::Bs(set.into_iter().map(Blob::into_inner).collect()),
        _ => return Err(UnknownType),
    })
}

fn map_from_sdk(map: HashMap<String, Sdk>) -> Result<HashMap<String, Core>, UnknownType> {
    map.into_iter().map(|(name, value)| Ok((name, value_from_sdk(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_type() -> Item {
        let big = "12345678901234567890123456789012345678";
        let inner = HashMap::from([
            ("none".to_owned(), Core::Null(true)),
            ("list".to_owned(), Core::L(vec![Core::N("-1e-130".to_owned()), Core::M(HashMap::new())])),
        ]);
        Item::from(HashMap::from([
            ("number".to_owned(), Core::N(big.to_owned())),
            ("text".to_owned(), Core::S("grün\u{0}".to_owned())),
            ("yes".to_owned(), Core::Bool(true)),
            ("bytes".to_owned(), Core::B(vec![0, 255, 10])),
            ("map".to_owned(), Core::M(inner)),
            ("texts".to_owned(), Core::Ss(vec!["b".to_owned(), "a".to_owned()])),
            ("numbers".to_owned(), Core::Ns(vec![big.to_owned(), "0.1".to_owned()])),
            ("blobs".to_owned(), Core::Bs(vec![vec![], vec![1]])),
        ]))
    }

    #[test]
    fn attribute_of_every_type_survives_conversion_to_the_sdk_and_back() {
        let item = every_type();
        assert_eq!(item_from_sdk(to_sdk([], item.clone())), Ok(item));
    }

    #[test]
    fn attributes_keep_their_type_in_the_sdk() {
        let sdk = to_sdk([], every_type());
        assert!(sdk["number"].is_n() && sdk["bytes"].is_b() && sdk["map"].is_m() && sdk["blobs"].is_bs());
        assert!(sdk["texts"].is_ss() && sdk["numbers"].is_ns() && sdk["yes"].is_bool() && sdk["text"].is_s());
    }
}
