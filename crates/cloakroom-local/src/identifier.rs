//! Unique identifiers.

/// Returns a new random identifier in the form of a UUID.
#[allow(clippy::disallowed_methods, reason = "the only place that reads randomness from the system")]
pub(crate) fn unique() -> String {
    uuid::Uuid::new_v4().to_string()
}
