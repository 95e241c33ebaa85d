//! What a function answers about a batch.

use std::collections::BTreeSet;

use serde_json::Value;

/// The messages that are to be received again; or why they all are.
///
/// `null` and an object without failures mean success of the whole batch. Other fields of
/// the object do not matter: Lambda ignores fields that it does not know. Every other answer means failure of the whole
/// batch: one that is no object, and one whose failures do not name messages of the batch.
pub(super) fn failures<'r>(response: &'r Value, batch: &BTreeSet<&str>) -> Result<BTreeSet<&'r str>, String> {
    if !response.is_object() && !response.is_null() {
        return Err(format!("it is neither an object nor null, but {response}"));
    }
    let failures = &response["batchItemFailures"];
    if failures.is_null() {
        return Ok(BTreeSet::new());
    }
    let failures = failures.as_array().ok_or_else(|| format!("`batchItemFailures` is no list, but {failures}"))?;
    let identifier = |failure: &'r Value| match failure["itemIdentifier"].as_str() {
        Some(id) if batch.contains(id) => Ok(id),
        Some(id) => Err(format!("`itemIdentifier` is `{id}`, and no message of the batch is")),
        None => Err(format!("an entry has no `itemIdentifier` that is a text: {failure}")),
    };
    failures.iter().map(identifier).collect()
}
