//! Values of a handler as attributes of an item.

use serde_dynamo::Item;

use crate::{
    format::{attributes, schema::attribute, values},
    handler::error::HandlerError,
};

/// Attributes of a state or of a handler's own item.
pub(crate) fn to_item(what: &str, value: &impl serde::Serialize) -> Result<Item, HandlerError> {
    let item = attributes::write(value)
        .map_err(|error| HandlerError::reject(format!("{what} cannot be written as attributes: {error}")))?;
    if let Some(name) = item.keys().find(|name| attribute::RESERVED.contains(&&***name)) {
        let text = format!("{what} has an attribute `{name}`, a name that is reserved: rename it");
        return Err(HandlerError::reject(text));
    }
    match values::check(&item) {
        Ok(()) => Ok(item),
        Err(fault) => Err(HandlerError::reject(format!("{what} has {fault}"))),
    }
}
