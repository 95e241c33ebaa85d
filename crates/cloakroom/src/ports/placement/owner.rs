//! Which endpoints may write a handler's own item.

use serde_dynamo::{AttributeValue, Item};

use crate::{format::schema::attribute, ports::commit::Sharing};

/// The endpoint that writes an item, and whether it shares the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The endpoint.
    pub endpoint: String,
    /// Whether the item belongs to it alone.
    pub sharing: Sharing,
}

impl Owner {
    /// What the item carries in [`attribute::OWNER`].
    pub fn mark(&self) -> &str {
        match self.sharing {
            Sharing::Owned => &self.endpoint,
            Sharing::Shared => attribute::SHARED,
        }
    }

    /// The marks of items that it may write, besides items without a mark. Who shares an item may still own it: it becomes
    /// shared when its owner says so.
    pub fn marks(&self) -> Vec<&str> {
        match self.sharing {
            Sharing::Owned => vec![&self.endpoint],
            Sharing::Shared => vec![&self.endpoint, attribute::SHARED],
        }
    }

    /// Whether the endpoint may write an item that is there. Items without a mark are from before there were marks: they
    /// belong to the first endpoint that writes them.
    pub(crate) fn may_write(&self, item: &Item) -> bool {
        match item.get(attribute::OWNER) {
            None => true,
            Some(AttributeValue::S(mark)) => self.marks().contains(&mark.as_str()),
            Some(_) => false,
        }
    }

    /// Why it may not, and what to do.
    pub(crate) fn refusal(&self, item: &Item) -> String {
        let endpoint = &self.endpoint;
        match item.get(attribute::OWNER) {
            Some(AttributeValue::S(mark)) if mark == attribute::SHARED => format!(
                "is shared by several endpoints, and endpoint `{endpoint}` does not share it: write it with \
                 `tx.shared()`, or under another sort key"
            ),
            Some(AttributeValue::S(mark)) => format!(
                "belongs to endpoint `{mark}`, not to `{endpoint}`: choose another sort key, or let both endpoints \
                 write it with `tx.shared()`"
            ),
            _ => format!("has something else than an endpoint in `{}`: choose another sort key", attribute::OWNER),
        }
    }
}
