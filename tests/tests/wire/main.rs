//! The adapters, with the SDK and its HTTP client, against the embedded AWS.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

#[path = "../../../crates/cloakroom/tests/core/capture/mod.rs"]
mod capture;
mod cost;
mod diagnosis;
#[path = "../embedded/mod.rs"]
mod embedded;
mod faults;
mod function;
mod groups;
mod intake;
mod laws;
mod lease;
mod missing;
mod observed;
mod order;
mod owners;
mod payloads;
mod provisioning;
mod queues;
mod resend;
#[path = "../shared/mod.rs"]
mod shared;
