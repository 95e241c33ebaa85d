//! The road that everybody walks: consumers as a competent engineer writes them first, what happens to each of them, and
//! that the same happens to Cloakroom without harm. Both stand on the same backend, and meet the same trouble.

#![expect(clippy::unwrap_used, reason = "a scenario that cannot go on has failed")]

#[path = "road/audit.rs"]
mod audit;
#[path = "road/cart.rs"]
mod cart;
#[path = "road/claims.rs"]
mod claims;
#[path = "road/failures.rs"]
mod failures;
#[path = "road/naive.rs"]
mod naive;
#[path = "road/repeated.rs"]
mod repeated;
#[path = "road/site.rs"]
mod site;
#[path = "road/stock.rs"]
mod stock;
#[path = "road/stopped.rs"]
mod stopped;
