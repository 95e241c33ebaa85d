//! Batches of which a part is given back: how DynamoDB throttles them.

use bytes::Bytes;
use serde_json::{Value, json};

/// A batch that is done in part.
pub(super) struct Part {
    /// The request for what is done.
    pub(super) body: Bytes,
    /// What is given back, as the answer has it.
    name: &'static str,
    rest: Value,
}

impl Part {
    /// A part of a batch: what is drawn, but not all of it. `None` if this is no batch of several items.
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

    /// The answer to what is done, with what is given back.
    pub(super) fn answer(self, done: &[u8]) -> Option<String> {
        let mut answer: Value = serde_json::from_slice(done).ok()?;
        answer.as_object_mut()?.insert(self.name.to_owned(), self.rest);
        Some(answer.to_string())
    }
}
