//! The response of a function to a batch.

use std::collections::BTreeSet;

use serde_json::Value;

/// Returns the ids of the failed messages, or the reason why the whole batch fails.
///
/// `null` and an object without failures mean success of the whole batch. Lambda ignores other
/// fields of the object. Every other response fails the whole batch: one that is not an object, and
/// one whose failures do not name messages of the batch.
pub(super) fn failures<'r>(response: &'r Value, batch: &BTreeSet<&str>) -> Result<BTreeSet<&'r str>, String> {
    if !response.is_object() && !response.is_null() {
        return Err(format!("the response is neither an object nor null, but {response}"));
    }
    let failures = &response["batchItemFailures"];
    if failures.is_null() {
        return Ok(BTreeSet::new());
    }
    let failures = failures.as_array().ok_or_else(|| format!("`batchItemFailures` is not a list, but {failures}"))?;
    let identifier = |failure: &'r Value| match failure["itemIdentifier"].as_str() {
        Some(id) if batch.contains(id) => Ok(id),
        Some(id) => Err(format!("`itemIdentifier` is `{id}`, which is not a message of the batch")),
        None => Err(format!("an entry has no `itemIdentifier` that is a string: {failure}")),
    };
    failures.iter().map(identifier).collect()
}
