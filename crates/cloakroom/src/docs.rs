//! Documentation that is about more than one item.

#[doc = include_str!("docs/PROTOCOL.md")]
pub mod protocol {}

#[doc = include_str!("docs/GUARANTEES.md")]
pub mod guarantees {}

#[doc = include_str!("docs/OPERATIONS.md")]
pub mod operations {}

#[doc = include_str!("docs/METRICS.md")]
pub mod metrics {}

#[doc = include_str!("docs/TESTING.md")]
pub mod testing {}

#[doc = include_str!("docs/COSTS.md")]
pub mod costs {}

#[doc = include_str!("docs/PROOF.md")]
pub mod proof {}

#[doc = include_str!("docs/DECISIONS.md")]
pub mod decisions {}

#[doc = include_str!("docs/CHANGELOG.md")]
pub mod changelog {}
