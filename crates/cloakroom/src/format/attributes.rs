//! The conversion of states and handlers' items to attributes, and back.
//!
//! `serde_dynamo` converts all types except integers of 128 bits, which it can neither write nor
//! read. This module converts these integers to DynamoDB numbers, which have up to 38 digits. It
//! passes all other values to `serde_dynamo`.

mod reading;
mod writing;

use reading::Attribute;
use serde::{Serialize, de::DeserializeOwned, ser::Error as _};
use serde_dynamo::{AttributeValue, Error, Item};
use writing::Writer;

/// Returns a struct or a map as attributes.
pub(crate) fn write(value: &impl Serialize) -> Result<Item, Error> {
    let AttributeValue::M(map) = value.serialize(Writer)? else {
        return Err(Error::custom("the value must be a struct or a map"));
    };
    Ok(Item::from(map))
}

/// Reads a value from attributes that [`write`] has written.
pub(crate) fn read<T: DeserializeOwned>(item: Item) -> Result<T, Error> {
    T::deserialize(Attribute(AttributeValue::M(item.into_inner())))
}

#[cfg(test)]
mod tests;
