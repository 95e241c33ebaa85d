//! What proves Cloakroom, and with what you can prove your own services: the state-space model, the simulation, and the crash kit.
//!
//! All three drive the code that ships: [`cloakroom::protocol::next`], the engine and the worker.

pub mod crash_kit;
pub mod fleet;
pub mod model;
mod residue;
pub mod simulation;
pub mod wire;

pub use crash_kit::CrashKit;
