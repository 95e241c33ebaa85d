//! The steps of a worker, and the ways to perform them.

use crate::model::scenario::Placement;

/// How a step is performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepMode {
    /// Without a fault.
    Normal,
    /// A commit whose worker gets no response. It may apply at any time, or never.
    Late,
    /// A commit that applies. The client library repeats it, and the response says that a condition
    /// failed.
    Hidden,
    /// A read that returns what was stored before anything happened.
    Stale,
    /// A read that returns the state before this change of it, counted from 0.
    Past(usize),
    /// The payload is read, and the handler will reject the message later.
    Failing,
    /// The store rejects a commit of several messages.
    Refused,
    /// A member fails after its handler has run, and leaves the others.
    Failed,
    /// The step is not performed. The worker gives up the message and will send it to its queue
    /// again.
    GivenUp,
    /// The commit is not performed. The worker sees that this message, whose record the commit
    /// would carry over, is settled, and omits the record.
    Without(u8),
}

/// One step of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerStep {
    /// The position of the member that performs it. It has no meaning if all members perform it
    /// together.
    pub(super) position: usize,
    pub(super) mode: StepMode,
    /// Where the commit writes the records that can be embedded.
    pub(super) placement: Placement,
}
