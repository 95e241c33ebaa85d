//! The ownership of handlers' own items: which endpoints may write them.

use serde_dynamo::{AttributeValue, Item};

use crate::{format::schema::attribute, ports::commit::Sharing};

/// The endpoint that writes an item, and whether it shares the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name of the endpoint.
    pub endpoint: String,
    /// Whether only this endpoint may write the item.
    pub sharing: Sharing,
}

impl Owner {
    /// Returns the mark, which is the value of the item's attribute [`attribute::OWNER`].
    pub fn mark(&self) -> &str {
        match self.sharing {
            Sharing::Owned => &self.endpoint,
            Sharing::Shared => attribute::SHARED,
        }
    }

    /// Returns the marks of the items that this owner may write. It may also write items without a
    /// mark. An endpoint that shares an item may find its own mark there, because an owned item
    /// becomes shared when its owner writes it as shared.
    pub fn marks(&self) -> Vec<&str> {
        match self.sharing {
            Sharing::Owned => vec![&self.endpoint],
            Sharing::Shared => vec![&self.endpoint, attribute::SHARED],
        }
    }

    /// Returns whether the endpoint may write an existing item. Items without a mark were written
    /// by a version without marks. They belong to the first endpoint that writes them again.
    pub(crate) fn may_write(&self, item: &Item) -> bool {
        match item.get(attribute::OWNER) {
            None => true,
            Some(AttributeValue::S(mark)) => self.marks().contains(&mark.as_str()),
            Some(_) => false,
        }
    }

    /// Returns the reason why the endpoint may not write the item, and what to do.
    pub(crate) fn refusal(&self, item: &Item) -> String {
        let endpoint = &self.endpoint;
        match item.get(attribute::OWNER) {
            Some(AttributeValue::S(mark)) if mark == attribute::SHARED => format!(
                "is shared by several endpoints, but endpoint `{endpoint}` does not write it as shared: write it with \
                 `tx.shared()`, or use another sort key"
            ),
            Some(AttributeValue::S(mark)) => format!(
                "belongs to endpoint `{mark}`, not to `{endpoint}`: choose another sort key, or let both endpoints \
                 write it with `tx.shared()`"
            ),
            _ => format!("has no endpoint name in attribute `{}`: choose another sort key", attribute::OWNER),
        }
    }
}
