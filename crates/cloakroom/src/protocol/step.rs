//! The order of steps for one message: the table, and [`next`], the function that follows it.
//!
//! A *driver* performs the steps: the engine, the model or the simulation. For an incoming message
//! `m` in partition `p`:
//!
//! | # | [`Do`] | how the driver performs it | what it [`Saw`], and the next step |
//! |---|---|---|---|
//! | 1 | `ReadState` | as [`Consistency`] says; the state's item also holds the embedded records | `State(version)` → 2; an absent state is version 0 |
//! | 2 | `ReadRecord` | first among the embedded records; then, unless these are [complete](super::embedding::is_complete), as an item of its own: strongly consistent, **not earlier than 1** | `Record(Stored)` → 6; `Record(Missing)` → 5b; `Embedded` → 3, which shows whether it is settled; `Retained` → duplicate, 9; `NoRecord` → 3 |
//! | 3 | `ReadPayload` | linearizable, **not earlier than 2**: the payload of the claim, or the dedupe entry of a message without a claim | `NotSettled` (the payload exists, or there is no entry) → 4, or 6 with an embedded record; `PossiblySettled` (the payload is missing, or there is an entry) → 2 once more, **with the state's item read again, strongly consistent**: a record → resume, none → duplicate, 9 (or `Park`, see [`WhenMissing`]); with an embedded record → duplicate |
//! | 4 | `Handle` | the user's handler, on the state of 1 and the payload of 3 | `Accepted` → 4b or 5; `Rejected` → `Park`, then 9, settling nothing; `Deferred` → 4a |
//! | 4a | `SendAgain` | send the same message to its own queue, with the same identity and a delay | `SentAgain` → 9, settling nothing |
//! | 4b | `CheckIn` | timing *before commit*: write outgoing payloads under fresh random claims | `CheckedIn` → 5 |
//! | 5 | `Commit` | one atomic write of state, record and the handler's items, **if the version is unchanged and `m` has no record**; it increases the version | `Committed` → 6 or 5b; `Lost`, `Unknown`, `NotTried` → 1, after a pause; `Rejected` (the store refuses its size or content) → `Park` |
//! | 5b | `CheckIn`, `StoreClaims` | timing *after commit*: **if the record exists and has no claims yet** | `CheckedIn` → store; `ClaimsStored` (by this driver or another one) → 6; `RecordGone` → 9 |
//! | 6 | `Dispatch` | send every outgoing message: its id and its claim | `Dispatched` → 7 |
//! | 7 | `Settle` | delete the payload of `m` (or write its dedupe entry, or mark the record as retained) | `Settled` → 8 |
//! | 8 | `Clear` | delete the outbox record of `m`, if it is an item of its own. A later commit drops an embedded one | `Cleared` → 9 |
//! | 9 | `Acknowledge` | delete `m` from its queue | the end |
//!
//! A message is identified by its claim or, if it carries none, by its source, partition, type and
//! id. For a message without a claim read "payload missing" as "dedupe entry present": the entry is
//! the payload's mirror image, and the order of steps is the same. The step function does not see
//! failed calls: the driver repeats the step, or gives the message back and starts again with the
//! next delivery.
//!
//! A worker that only [finishes](Progress::finishing) messages of a dead-letter queue takes the
//! same steps, but without a record it never goes beyond step 2: it `Leave`s the message where it
//! is.
//!
//! The claims of an attempt that did not commit are never deleted: the commit may still apply, and
//! a payload that no message refers to expires.

use crate::protocol::version::Version;

/// When outgoing payloads are checked in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckIn {
    /// The record holds only claims, so the size of an item does not limit the size of messages.
    /// The record is written once. A lost commit leaves its payloads behind; they expire.
    #[default]
    BeforeCommit,
    /// Nothing is written outside the partition before the commit is durable. The record
    /// carries the bodies until their claims are stored, at the price of a second write.
    AfterCommit,
}

/// What to do with a message whose payload is missing although it has no record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenMissing {
    /// It is a duplicate: acknowledge it.
    #[default]
    Acknowledge,
    /// Park it: this seems to be its first receive, so something other than Cloakroom may have
    /// deleted the payload. A queue sometimes delivers a duplicate as a first receive, and another
    /// worker may finish the message first. Then a processed message is parked. That raises an
    /// alarm and does no other harm.
    Park,
}

/// Whether a record has the claims of its outgoing messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claims {
    /// Every outgoing message has its claim; the record can be dispatched.
    Stored,
    /// The record still holds the bodies. They must be checked in first.
    Missing,
}

/// How current a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// The read may return an older state. A commit on an older state is lost, and nothing else
    /// happens.
    Any,
    /// A read that begins after a write has returned sees that write.
    Strong,
}

/// How the processing of a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Committed and finished in this run.
    Processed,
    /// An earlier run committed the message and did not finish; this run finished it.
    Resumed,
    /// The message was processed before. This run changed nothing.
    Duplicate,
    /// Moved to the dead-letter queue with a reason. This run changed neither payload nor state.
    /// Another worker, or an earlier commit whose outcome is unknown, may still have committed the
    /// message: [finish](crate::Endpoint::finish) it before you delete it from the dead-letter
    /// queue.
    Parked,
    /// The handler deferred the message, and it was sent to its queue again with a delay. This run
    /// changed neither payload nor state.
    Deferred,
}

/// The next step. The driver performs it and reports what it [`Saw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table at the head of the module is their documentation")]
pub enum Do {
    ReadState(Consistency),
    ReadRecord,
    ReadPayload,
    Handle,
    Park,
    SendAgain,
    CheckIn,
    /// Only if the state is still at this version, and `m` has no record.
    Commit(Version),
    StoreClaims,
    Dispatch,
    Settle,
    Clear,
    Acknowledge(Outcome),
    /// The end without an acknowledgement: the message stays in its dead-letter queue.
    Leave,
}

/// What the driver saw when it performed a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table at the head of the module is their documentation")]
pub enum Saw {
    /// The message came from its queue. This is the first observation.
    Delivery,
    State(Version),
    Record(Claims),
    /// A record in the state's item. It may stay there after its message was settled.
    Embedded,
    /// A record that is kept as the proof that its message was processed.
    Retained,
    NoRecord,
    /// The payload exists; for a message without a claim: there is no dedupe entry.
    NotSettled,
    /// The payload is missing; for a message without a claim: there is a dedupe entry.
    PossiblySettled,
    Accepted,
    Rejected,
    Parked,
    Deferred,
    SentAgain,
    CheckedIn,
    Committed(Claims),
    /// The version has changed, or the message has a record. An earlier try of this commit may be
    /// the cause, if its response was lost.
    Lost,
    /// The commit was tried. It may take effect, now or later, or not at all.
    Unknown,
    /// The commit was not tried, because the new state depends on a message that left the group.
    NotTried,
    ClaimsStored,
    RecordGone,
    Dispatched,
    Settled,
    Cleared,
}

/// Everything that the step function remembers between two steps. Each delivery starts with a new
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Progress {
    check_in: CheckIn,
    when_missing: WhenMissing,
    /// Only finish what is committed; commit nothing.
    finishes_only: bool,
    version: Version,
    /// Step 3 has seen `PossiblySettled` once.
    missing: bool,
    /// There is an embedded record; step 3 shows whether it is settled.
    embedded: bool,
    /// The commit is durable, and its claims are not stored yet.
    claims_missing: bool,
    /// The outcome to report when the message is cleared.
    outcome: Outcome,
}

impl Progress {
    /// Progress on a message that was just received.
    pub const fn new(check_in: CheckIn, when_missing: WhenMissing) -> Self {
        Self {
            check_in,
            when_missing,
            finishes_only: false,
            version: Version::ABSENT,
            missing: false,
            embedded: false,
            claims_missing: false,
            outcome: Outcome::Processed,
        }
    }

    /// Whether the next `ReadRecord` is the second one. Then the state's item is read again, too.
    pub const fn looks_again(&self) -> bool {
        self.missing
    }

    /// Progress for a new start on the same delivery. Keeps [`WhenMissing`]: once a payload may
    /// legitimately be missing, it stays so.
    pub const fn restarted(self) -> Self {
        Self { finishes_only: self.finishes_only, ..Self::new(self.check_in, self.when_missing) }
    }

    /// Progress on a message that is to be finished if it is committed, and left otherwise.
    pub const fn finishing() -> Self {
        Self { finishes_only: true, ..Self::new(CheckIn::BeforeCommit, WhenMissing::Acknowledge) }
    }
}

/// Returns the next step, given the progress so far and what the last step saw. It is pure and
/// total, and the only copy of the protocol.
///
/// ```
/// use cloakroom::protocol::{CheckIn, Consistency, Do, Progress, Saw, Version, WhenMissing, next};
///
/// let received = Progress::new(CheckIn::BeforeCommit, WhenMissing::Acknowledge);
/// let (progress, first) = next(received, Saw::Delivery);
/// assert_eq!(first, Do::ReadState(Consistency::Any));
/// let (_, second) = next(progress, Saw::State(Version::ABSENT));
/// assert_eq!(second, Do::ReadRecord);
/// ```
pub const fn next(m: Progress, saw: Saw) -> (Progress, Do) {
    match saw {
        // 1. The version comes first: any commit after this read makes our commit lose.
        Saw::Delivery => (m, Do::ReadState(Consistency::Any)),
        Saw::State(version) => (Progress { version, ..m }, Do::ReadRecord),

        // 2. SUBTLE: not earlier than 1. A record that is written and cleared between the two reads
        // has moved the version; one that was cleared before left no payload for step 3 to find
        // (the wrong orders `record_before_state` and `payload_before_state`).
        Saw::Record(Claims::Stored) => (Progress { outcome: Outcome::Resumed, ..m }, Do::Dispatch),
        Saw::Record(Claims::Missing) => {
            (Progress { claims_missing: true, outcome: Outcome::Resumed, ..m }, Do::CheckIn)
        }
        // SUBTLE: an embedded record outlives its message. If the payload is missing, the record
        // was dispatched, so it is not sent again. If the payload exists, it may not have been. In
        // the second read step 3 has shown it already.
        Saw::Embedded if m.missing => (m, Do::Acknowledge(Outcome::Duplicate)),
        Saw::Embedded => (Progress { embedded: true, outcome: Outcome::Resumed, ..m }, Do::ReadPayload),
        Saw::Retained => (m, Do::Acknowledge(Outcome::Duplicate)),
        // If the message was ever committed, its outgoing messages are sent. The operator decides
        // whether to process it.
        Saw::NoRecord if m.finishes_only => (m, Do::Leave),
        Saw::NoRecord if m.missing => match m.when_missing {
            WhenMissing::Acknowledge => (m, Do::Acknowledge(Outcome::Duplicate)),
            WhenMissing::Park => (m, Do::Park),
        },
        Saw::NoRecord => (m, Do::ReadPayload),

        // 3. SUBTLE: a missing payload proves that the message was processed, not that it was
        // cleared. Its first worker may have died in between, so the record is read once more
        // (`no_second_look`).
        Saw::PossiblySettled if m.embedded => (m, Do::Acknowledge(Outcome::Duplicate)),
        Saw::PossiblySettled => (Progress { missing: true, ..m }, Do::ReadRecord),
        Saw::NotSettled if m.embedded => (m, Do::Dispatch),
        Saw::NotSettled => (m, Do::Handle),

        // 4. A message without effect is committed, too: it must increase the version.
        Saw::Accepted => match m.check_in {
            CheckIn::BeforeCommit => (m, Do::CheckIn),
            CheckIn::AfterCommit => (m, Do::Commit(m.version)),
        },
        Saw::Rejected => (m, Do::Park),
        Saw::Parked => (m, Do::Acknowledge(Outcome::Parked)),
        // 4a. SUBTLE: sent again before it is acknowledged, with the same identity. If the worker
        // stops in between there are two copies, and one of them is found to be a duplicate
        // (`acknowledge_before_deferral`, `defer_as_another_message`).
        Saw::Deferred => (m, Do::SendAgain),
        Saw::SentAgain => (m, Do::Acknowledge(Outcome::Deferred)),

        // 4b and 5b.
        Saw::CheckedIn if m.claims_missing => (m, Do::StoreClaims),
        Saw::CheckedIn => (m, Do::Commit(m.version)),

        // 5. SUBTLE: after a failed commit, an earlier try of it may have applied or may still
        // apply. The record shows it, so everything is read again. From here on the payload may
        // be missing because another worker was faster.
        Saw::Committed(Claims::Stored) => (m, Do::Dispatch),
        Saw::Committed(Claims::Missing) => (Progress { claims_missing: true, ..m }, Do::CheckIn),
        Saw::Lost | Saw::Unknown | Saw::NotTried => {
            (Progress { when_missing: WhenMissing::Acknowledge, ..m }, Do::ReadState(Consistency::Strong))
        }

        // 5b. The first driver to store claims decides which are sent. Without a record another
        // driver has finished.
        Saw::ClaimsStored => (m, Do::Dispatch),
        Saw::RecordGone => (m, Do::Acknowledge(Outcome::Duplicate)),

        // 6 to 9. SUBTLE: settle before clear. The record is what a redelivery finds while the
        // payload lives (`clear_before_settle`).
        Saw::Dispatched => (m, Do::Settle),
        Saw::Settled => (m, Do::Clear),
        Saw::Cleared => (m, Do::Acknowledge(m.outcome)),
    }
}
