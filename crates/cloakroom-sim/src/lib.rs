//! Tools that test Cloakroom and your own services: the state-space model, the simulation, the
//! fleet and the crash kit.
//!
//! All of them drive the production code: [`cloakroom::protocol::next`], the engine and the worker.

#[cfg(feature = "full")]
pub mod crash_kit;
#[cfg(feature = "full")]
pub mod fleet;
#[cfg(feature = "full")]
mod leftover_records;
#[cfg(feature = "full")]
pub mod model;
#[cfg(feature = "full")]
pub mod simulation;
pub mod wire;

#[cfg(feature = "full")]
pub use crash_kit::CrashKit;
