//! Names that nothing else has.

/// A new random identifier in the form of a UUID.
#[allow(clippy::disallowed_methods, reason = "the one place that asks the system for randomness")]
pub(crate) fn unique() -> String {
    uuid::Uuid::new_v4().to_string()
}
