//! The configuration of the kit.

use cloakroom::{Endpoint, EndpointSettings, Error, Ports, memory::Memory, ports::Placement};

use crate::crash_kit::kit_message::KitMessage;

/// The source of the messages that are given to the kit.
pub(super) const SOURCE: &str = "crash-kit";
/// The queue that receives replies to them.
pub(super) const REPLIES: &str = "replies";

/// Builds an endpoint from the ports for handlers, the ports for the engine, and settings. If there
/// are no settings, the endpoint keeps those of its builder.
pub(super) type Build = dyn Fn(&Ports, Ports, Option<EndpointSettings>) -> Result<Endpoint, Error>;

pub(super) struct Setup {
    pub(super) build: Box<Build>,
    pub(super) backend: Box<dyn Fn(&Memory) -> Ports>,
    pub(super) settings: EndpointSettings,
    /// If set, the only placement that is tried.
    pub(super) placement: Option<Placement>,
    pub(super) given: Vec<KitMessage>,
    pub(super) kit_messages: Vec<KitMessage>,
    pub(super) runs_max: usize,
}
