//! The handlers of an endpoint, and the destinations of its messages.

use std::{collections::BTreeMap, sync::Arc};

use crate::handler::{
    tx::{Replies, Routes},
    typed::AnyHandler,
};

/// The parts of an endpoint that the engine uses to run handlers: handlers by message type, routes,
/// and queues for replies.
pub(crate) struct Handlers {
    pub(crate) by_type: BTreeMap<&'static str, Box<dyn AnyHandler>>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) replies: Arc<Replies>,
}

impl Handlers {
    /// Returns whether a route leads to this queue.
    pub(crate) fn have_route_to(&self, queue: &str) -> bool {
        self.routes.values().flatten().any(|routed| routed == queue)
    }
}
