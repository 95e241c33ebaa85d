//! The place of the state-space model, the simulation and the crash kit of Cloakroom.
//!
//! They will drive [`cloakroom::protocol::next`] and the real engine. Until then, crashes and faults are tested in
//! `crates/cloakroom/tests`, and on the wire by the demonstration.
