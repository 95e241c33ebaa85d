//! Conversion of a handler's values to the attributes of an item.

use serde_dynamo::Item;

use crate::{
    format::{attributes, schema::attribute, values},
    handler::error::HandlerError,
};

/// Returns the attributes of a state, or of a handler's own item. `what` names the value in errors.
pub(crate) fn to_item(what: &str, value: &impl serde::Serialize) -> Result<Item, HandlerError> {
    let item = attributes::write(value)
        .map_err(|error| HandlerError::reject(format!("{what} cannot be written as attributes: {error}")))?;
    if let Some(name) = item.keys().find(|name| attribute::RESERVED.contains(&&***name)) {
        let text = format!("{what} has an attribute `{name}`, which is a reserved name: rename it");
        return Err(HandlerError::reject(text));
    }
    match values::check(&item) {
        Ok(()) => Ok(item),
        Err(fault) => Err(HandlerError::reject(format!("{what} has {fault}"))),
    }
}
