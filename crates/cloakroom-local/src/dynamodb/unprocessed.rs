//! Throttled batches: DynamoDB performs a part, and returns the rest as unprocessed.

use bytes::Bytes;
use serde_json::{Value, json};

/// A batch of which a part is performed.
pub(super) struct PartialBatch {
    /// The request for the part that is performed.
    pub(super) body: Bytes,
    /// The field of the response for the unprocessed rest.
    name: &'static str,
    rest: Value,
}

impl PartialBatch {
    /// Returns a random part of a batch, at least one item and not all items. `None` if the request
    /// is not a batch of several items.
    pub(super) fn of(operation: &str, body: &[u8], pick: u64) -> Option<Self> {
        let name = match operation {
            "BatchGetItem" => "UnprocessedKeys",
            "BatchWriteItem" => "UnprocessedItems",
            _ => return None,
        };
        let mut request: Value = serde_json::from_slice(body).ok()?;
        let (table, entries) = request.get_mut("RequestItems")?.as_object_mut()?.iter_mut().next()?;
        let table = table.clone();
        let list = if operation == "BatchGetItem" { entries.get_mut("Keys")? } else { &mut *entries };
        let items = list.as_array_mut().filter(|items| items.len() > 1)?;
        let done = 1 + pick as usize % (items.len() - 1);
        let rest = Value::Array(items.split_off(done));
        let rest = if operation == "BatchGetItem" {
            let mut wanted = entries.clone();
            wanted["Keys"] = rest;
            wanted
        } else {
            rest
        };
        Some(Self { body: request.to_string().into(), name, rest: json!({ table: rest }) })
    }

    /// Returns the response to the performed part, with the unprocessed rest added.
    pub(super) fn complete(self, done: &[u8]) -> Option<String> {
        let mut answer: Value = serde_json::from_slice(done).ok()?;
        answer.as_object_mut()?.insert(self.name.to_owned(), self.rest);
        Some(answer.to_string())
    }
}
