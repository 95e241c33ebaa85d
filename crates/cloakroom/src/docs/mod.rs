//! Documentation that is about more than one item.

#[doc = include_str!("PROTOCOL.md")]
pub mod protocol {}

#[doc = include_str!("GUARANTEES.md")]
pub mod guarantees {}

#[doc = include_str!("OPERATIONS.md")]
pub mod operations {}

#[doc = include_str!("METRICS.md")]
pub mod metrics {}

#[doc = include_str!("TESTING.md")]
pub mod testing {}

#[doc = include_str!("COSTS.md")]
pub mod costs {}

#[doc = include_str!("PROOF.md")]
pub mod proof {}

#[doc = include_str!("DECISIONS.md")]
pub mod decisions {}

#[doc = include_str!("CHANGELOG.md")]
pub mod changelog {}
