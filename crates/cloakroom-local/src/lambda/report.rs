//! What a function answers about a batch.

use std::collections::BTreeSet;

use serde_json::Value;

/// The messages that are to be received again; or why they all are.
///
/// Lambda takes every answer that it does not understand for a failure of the whole batch, but an empty one, or none,
/// for its success.
pub(super) fn failures<'r>(response: &'r Value, batch: &BTreeSet<&str>) -> Result<BTreeSet<&'r str>, String> {
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
