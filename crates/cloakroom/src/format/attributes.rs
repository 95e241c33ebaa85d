//! States and handlers' items as attributes, and back.
//!
//! `serde_dynamo` does all of it but for integers of 128 bits, which it knows neither to write nor to read: a number of DynamoDB
//! has room for 38 digits of them. What is not about them is handed on to it.

mod reading;
mod writing;

use reading::Attribute;
use serde::{Serialize, de::DeserializeOwned, ser::Error as _};
use serde_dynamo::{AttributeValue, Error, Item};
use writing::Writer;

/// Writes a struct or a map.
pub(crate) fn write(value: &impl Serialize) -> Result<Item, Error> {
    let AttributeValue::M(map) = value.serialize(Writer)? else {
        return Err(Error::custom("it must be a struct or a map"));
    };
    Ok(Item::from(map))
}

/// Reads what [`write`] has written.
pub(crate) fn read<T: DeserializeOwned>(item: Item) -> Result<T, Error> {
    T::deserialize(Attribute(AttributeValue::M(item.into_inner())))
}

#[cfg(test)]
mod tests;
