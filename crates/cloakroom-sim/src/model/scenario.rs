//! Scenarios: the messages, what their handlers do, and how many faults may occur.

use cloakroom::protocol::{CheckIn, WhenMissing};

/// How a message is identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// By the claim of its payload.
    Claim,
    /// By its id alone, as a message of a foreign producer is. A dedupe entry shows that it was
    /// processed.
    Id,
    /// By its id alone. Its record stays as a separate item and shows that it was processed.
    Retained,
}

/// Where commits write records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// As items of their own.
    Separate,
    /// In the state's item, unless the record must be changed later.
    Embedded,
}

/// What the handler of a message does. It depends on the state that its worker has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Changes the state and sends.
    Sends,
    /// Sends only if the given message was applied to the state before. Otherwise it has no effect.
    SendsAfter(usize),
    /// Rejects the message unless the given message was applied to the state before.
    RejectsUnlessAfter(usize),
    /// Deletes the state.
    Deletes,
    /// Either changes the state and sends, or rejects the message. The model tries both.
    MayReject,
    /// Defers the message unless the given message was applied to the state before.
    DefersUnlessAfter(usize),
}

/// A logical message. It keeps its identity however often it is sent.
#[derive(Clone, Copy, Debug)]
pub struct MessageSpec {
    /// The name in counterexamples.
    pub name: &'static str,
    /// The number of the entity (the partition) that processes it.
    pub entity: u8,
    /// How it is identified.
    pub identity: Identity,
    /// What its handler does.
    pub handler: Handler,
    /// The numbers of the messages that its handler sends, at most two.
    pub sends: &'static [usize],
    /// Whether it is in its queue at the beginning. Handlers send all other messages.
    pub is_first: bool,
    /// The maximum number of deliveries. Each delivery is a worker, and any worker may stop or
    /// pause at any step.
    pub deliveries: u8,
    /// The number of an earlier message that has the same id under another claim.
    pub namesake: Option<usize>,
}

/// A model to explore.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The name.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub shows: &'static str,
    /// The messages.
    pub messages: &'static [MessageSpec],
    /// When payloads are checked in. If there are several, each worker may use any of them, as
    /// during a deployment.
    pub timings: &'static [CheckIn],
    /// Where records are written. If there are several, each commit may use any of them, as during
    /// a deployment or when an item grows too large.
    pub placements: &'static [Placement],
    /// How many messages of one entity are processed together at most, in any combination and
    /// order.
    pub fold_max: usize,
    /// What a delivery does if the payload is missing. If there are several, all of them are tried.
    pub when_missing: &'static [WhenMissing],
    /// How many reads of a state, with eventual consistency, may return any earlier state.
    pub stale_reads: u8,
    /// How many commits may get a response that is not the true one.
    pub faults: u8,
    /// How often the queue itself moves a message to the dead-letter queue.
    pub dead_letters: u8,
    /// How often a message is moved back from the dead-letter queue.
    pub redrives: u8,
    /// How often an operator tries to finish a message in the dead-letter queue.
    pub finishes: u8,
    /// How often an operator deletes a committed message from its queue.
    pub purges: u8,
    /// How often an id is used again for another message, after every trace of the first one has
    /// expired.
    pub renewals: u8,
    /// How often the tombstone of a deleted state expires.
    pub expired_tombstones: u8,
    /// How often a sweep finds a record and finishes it without its message. If this is not 0,
    /// sweeps are repeated until no record is left.
    pub sweeps: u8,
    /// How often a worker gives up a message at any step and sends it to its queue again.
    pub given_up: u8,
    /// How often a sweep drops the embedded record of a message that can no longer be delivered.
    pub drops: u8,
    /// The properties that at least one state must have. Otherwise the scenario does not show what
    /// it should.
    pub reaches: &'static [&'static str],
    /// The number of states. It changes only if the protocol or the model changes.
    pub states: usize,
}
