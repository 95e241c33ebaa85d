//! Documentation that is more than one item's.
pub mod protocol {}
