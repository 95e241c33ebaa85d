//! Consumers as a competent engineer writes them first, what goes wrong with each of them, and that
//! the same faults do no harm to Cloakroom. Both use the same backend and meet the same faults.

#![expect(clippy::unwrap_used, reason = "a scenario that cannot go on has failed")]

#[path = "naive_comparison/audit.rs"]
mod audit;
#[path = "naive_comparison/cart.rs"]
mod cart;
#[path = "naive_comparison/claims.rs"]
mod claims;
#[path = "naive_comparison/failures.rs"]
mod failures;
#[path = "naive_comparison/naive.rs"]
mod naive;
#[path = "naive_comparison/process.rs"]
mod process;
#[path = "naive_comparison/repeated.rs"]
mod repeated;
#[path = "naive_comparison/stock.rs"]
mod stock;
#[path = "naive_comparison/stopped.rs"]
mod stopped;
