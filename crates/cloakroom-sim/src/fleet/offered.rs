//! What the simulation knows about a message that was offered.

use cloakroom::Timestamp;

/// The partition of the hottest entity: the first one by Zipf's law. If messages are spread evenly,
/// it is one of all.
pub(crate) const HOTTEST: &str = "entity#0";

/// The data about a message that is not in the message itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfferedMessage {
    pub(crate) offered_at: Timestamp,
    pub(crate) is_hottest: bool,
}
