//! What is explored: the messages there are, what their handlers do, and how much trouble there may be.

use cloakroom::protocol::{CheckIn, WhenMissing};

/// How a message is identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// By the claim of its payload.
    Claim,
    /// By its id alone, as a message of a stranger is: a dedupe entry tells that it was processed.
    Id,
    /// By its id alone; its record stays beside the state, and tells that it was processed.
    Retained,
}

/// Where commits put records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Separate the state, each an item of its own.
    Separate,
    /// In the state's item, as far as nothing has to be changed in them.
    Embedded,
}

/// What the handler of a message does. What it depends on is the state that its worker has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Changes the state and sends.
    Sends,
    /// Sends only if that message was applied to the state before; otherwise it has no effect.
    SendsAfter(usize),
    /// Rejects, unless that message was applied to the state before.
    RejectsUnlessAfter(usize),
    /// Deletes the state.
    Deletes,
    /// Changes the state and sends, or fails for good, for no reason that the model knows.
    MayReject,
    /// Defers the message, unless that message was applied to the state before.
    DefersUnlessAfter(usize),
}

/// A logical message: it keeps its identity however often it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// What it is called in timelines.
    pub name: &'static str,
    /// The number of the entity, that is partition, that processes it.
    pub entity: u8,
    /// How it is identified.
    pub identity: Identity,
    /// What its handler does.
    pub handler: Handler,
    /// The numbers of the messages that its handler sends; up to two.
    pub sends: &'static [usize],
    /// Whether it lies on its queue at the beginning; all others are sent by handlers.
    pub is_first: bool,
    /// How often it is delivered at most: each delivery is a worker, and any worker may stop, or wait, anywhere.
    pub deliveries: u8,
    /// The number of an earlier message that has the same id under another claim.
    pub namesake: Option<usize>,
}

/// A model to explore.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub shows: &'static str,
    /// The messages.
    pub messages: &'static [Message],
    /// When payloads are checked in. Several: each worker may do it in another way, as during a deployment.
    pub timings: &'static [CheckIn],
    /// Where records are put. Several: each commit may do it in another way, as during a deployment, or when an item grows too large.
    pub placements: &'static [Placement],
    /// How many messages of one entity are processed together at most, in any combination and order.
    pub fold_max: usize,
    /// What a delivery does about a missing payload. Several: each of them.
    pub when_missing: &'static [WhenMissing],
    /// How many times a state is read as it was at any time before: with eventual consistency.
    pub stale_reads: u8,
    /// How many commits get an answer other than the true one.
    pub faults: u8,
    /// How often a message is moved to the dead-letter queue by the queue itself.
    pub dead_letters: u8,
    /// How often a message is put back from the dead-letter queue.
    pub redrives: u8,
    /// How often somebody tries to finish a message from the dead-letter queue.
    pub finishes: u8,
    /// How often a message that was committed is deleted from its queue by a hand.
    pub purges: u8,
    /// How often an id comes again, as another message, when everything that remembers the first one has expired.
    pub renewals: u8,
    /// How often the tombstone of a deleted state expires.
    pub expired_tombstones: u8,
    /// How often somebody finds a record, and finishes it without having its message. If at all, somebody comes again and again.
    pub sweeps: u8,
    /// How often a worker gives up a message, wherever it is in its work, and sends it to its queue again.
    pub given_up: u8,
    /// How often a sweep drops the embedded record of a message that cannot come any more.
    pub drops: u8,
    /// What has to come up at some time, or the scenario does not show what it is meant to.
    pub reaches: &'static [&'static str],
    /// The number of states there are: a change of it is a change of the protocol, or of the model.
    pub states: usize,
}
