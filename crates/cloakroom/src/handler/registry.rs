//! The handlers of an endpoint, and where its messages may go.

use std::{collections::BTreeMap, sync::Arc};

use crate::handler::{
    tx::{Replies, Routes},
    typed::AnyHandler,
};

/// What an endpoint was built with for the engine to call: handlers by message type, routes, and queues for replies.
pub(crate) struct Handlers {
    pub(crate) by_type: BTreeMap<&'static str, Box<dyn AnyHandler>>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) replies: Arc<Replies>,
}

impl Handlers {
    /// Whether a route ends at this queue.
    pub(crate) fn have_route_to(&self, queue: &str) -> bool {
        self.routes.values().flatten().any(|routed| routed == queue)
    }
}
