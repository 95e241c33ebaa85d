//! The order of steps for one message: the table, and [`next`], the function that follows it.
//!
//! For an incoming message `m` in partition `p`:
//!
//! | # | [`Do`] | how | what the driver [`Saw`], and what follows |
//! |---|---|---|---|
//! | 1 | `ReadState` | as [`Consistency`] says; the state's item also holds the embedded records | `State(version)` → 2; an absent state is version 0 |
//! | 2 | `ReadRecord` | first among the embedded records; then, unless these are [all there are](super::embedding::is_complete), as an item of its own: strongly consistent, **not earlier than 1** | `Record(Stored)` → 6; `Record(Missing)` → 5b; `Embedded` → 3, which shows whether it is settled; `Retained` → duplicate, 9; `NoRecord` → 3 |
//! | 3 | `ReadPayload` | linearizable, **not earlier than 2** | `Payload` → 4, or 6 with an embedded record; `PayloadMissing` → 2 once more, **with the state's item read again, strongly consistent**: a record → resume, none → duplicate, 9 (or `Park`, see [`WhenMissing`]); with an embedded record → duplicate |
//! | 4 | `Handle` | the user's handler, on the state of 1 and the payload of 3 | `Accepted` → 4b or 5; `Rejected` → `Park`, then 9, settling nothing; `Deferred` → 4a |
//! | 4a | `SendAgain` | send the same message to its own queue, with the same identity and a delay | `SentAgain` → 9, settling nothing |
//! | 4b | `CheckIn` | timing *before commit*: outgoing payloads under fresh random claims | `CheckedIn` → 5 |
//! | 5 | `Commit` | one atomic write of state, record and the handler's items, **if the version is unchanged and `m` has no record**; it moves the version | `Committed` → 6 or 5b; `Lost`, `Unknown`, `NotTried` → 1, after a pause; `Rejected` (the store refuses its size or content) → `Park` |
//! | 5b | `CheckIn`, `StoreClaims` | timing *after commit*: **if the record exists and has no claims yet** | `CheckedIn` → store; `ClaimsStored` (ours or those found) → 6; `RecordGone` → 9 |
//! | 6 | `Dispatch` | send every outgoing message: its id and its claim | `Dispatched` → 7 |
//! | 7 | `Settle` | delete payload `m` (or write its dedupe entry, or mark the record as retained) | `Settled` → 8 |
//! | 8 | `Clear` | delete the outbox record of `m`, if it is an item of its own. A later commit drops an embedded one | `Cleared` → 9 |
//! | 9 | `Acknowledge` | delete `m` from its queue | the end |
//!
//! A message is identified by its claim or, if it carries none, by its source, partition, type and id. For a message
//! without a claim read "payload missing" as "dedupe entry present": the entry is the payload's mirror image, and the
//! order of steps is the same. The step function does not see failed calls: the driver repeats the step, or gives the
//! message back and starts again with the next delivery.
//!
//! A worker that only [finishes](Memory::finishing) messages of a dead-letter queue takes the same steps, but without a
//! record it never goes beyond step 2: it `Leave`s the message where it is.
//!
//! The claims of an attempt that did not commit are never deleted: the commit may still apply, and a payload that no
//! message refers to expires.

use crate::Version;

/// When outgoing payloads are checked in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckIn {
    /// The record holds claims only, so what is sent is not bounded by the size of an item,
    /// and the record is written once. A lost commit costs the payloads written for it.
    #[default]
    BeforeCommit,
    /// Nothing is written outside the partition before the commit is durable. The record
    /// carries the bodies until their claims are stored, at the price of a second write.
    AfterCommit,
}

/// What to do with a message whose payload is missing although no record tells that it was processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenMissing {
    /// It is a duplicate: acknowledge it.
    #[default]
    Acknowledge,
    /// As far as can be told it was never received before, so somebody else may have removed the payload: park it.
    /// Queues now and then deliver a duplicate as if it were the first, and a slow worker may be overtaken by the next
    /// receiver; then a message is parked that was processed, which does no harm but for the alarm.
    Park,
}

/// Whether a record already tells under which claims its messages' payloads are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claims {
    /// Every outgoing message has its claim; the record can be dispatched.
    Stored,
    /// The record still carries bodies; they have to be checked in first.
    Missing,
}

/// How current a read has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// A late answer costs a lost commit, and nothing else.
    Any,
    /// A read that begins after a write was answered sees it.
    Strong,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Committed and finished in this run.
    Processed,
    /// Committed by an earlier run that did not finish; finished by this one.
    Resumed,
    /// Had been processed before: nothing was changed.
    Duplicate,
    /// Moved to the dead-letter queue with a reason; this worker has touched neither payload nor state. Another one, or a commit of
    /// this one that was given up, may have committed it all the same: before it is deleted there, it should be
    /// [finished](crate::Endpoint::finish).
    Parked,
    /// Its handler deferred it: the same message was sent to its queue again, with a delay. This worker has touched neither
    /// payload nor state.
    Deferred,
}

/// The next action. The driver performs it and answers with what it [`Saw`].
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
    /// The end, too, without an acknowledgement: the message stays in its dead-letter queue.
    Leave,
}

/// What the driver saw when it performed an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table at the head of the module is their documentation")]
pub enum Saw {
    /// The message came from its queue: the first thing that is ever seen.
    Delivery,
    State(Version),
    Record(Claims),
    /// A record in the state's item, which stays there for a while after its message was settled.
    Embedded,
    /// A record that is kept as the proof that its message was processed.
    Retained,
    NoRecord,
    Payload,
    PayloadMissing,
    Accepted,
    Rejected,
    Parked,
    Deferred,
    SentAgain,
    CheckedIn,
    Committed(Claims),
    /// The version has moved, or the message has a record. An earlier try of this very commit, whose answer did not
    /// arrive, may have done it.
    Lost,
    /// The commit was tried, and may or may not take effect, now or later.
    Unknown,
    /// The commit was not tried: what its handler made of the state cannot be committed any more.
    NotTried,
    ClaimsStored,
    RecordGone,
    Dispatched,
    Settled,
    Cleared,
}

/// All that has to be remembered between two steps; it starts anew with every delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Memory {
    check_in: CheckIn,
    when_missing: WhenMissing,
    /// What was committed is finished, and nothing is committed.
    finishes_only: bool,
    version: Version,
    /// The payload was missing once already.
    missing: bool,
    /// There is an embedded record; the payload tells whether it is settled.
    embedded: bool,
    /// The commit is durable, and its claims are still to be stored.
    claims_missing: bool,
    /// How the message will have ended once it is cleared.
    outcome: Outcome,
}

impl Memory {
    /// The memory of a worker that has just received a message.
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

    /// Whether a record is sought once more, because the payload is missing: then the state's item is read anew, too.
    pub const fn looks_again(&self) -> bool {
        self.missing
    }

    /// The memory of a worker that takes the message up again. Once a payload may legitimately be missing, it stays so.
    pub const fn restarted(self) -> Self {
        Self { finishes_only: self.finishes_only, ..Self::new(self.check_in, self.when_missing) }
    }

    /// The memory of a worker that has taken a message from a dead-letter queue, to finish it if it was committed.
    pub const fn finishing() -> Self {
        Self { finishes_only: true, ..Self::new(CheckIn::BeforeCommit, WhenMissing::Acknowledge) }
    }
}

/// The step function: pure, total, and the only copy of the protocol.
///
/// ```
/// use cloakroom::{Version, protocol::{next, CheckIn, Consistency, Do, Memory, Saw, WhenMissing}};
///
/// let received = Memory::new(CheckIn::BeforeCommit, WhenMissing::Acknowledge);
/// let (memory, first) = next(received, Saw::Delivery);
/// assert_eq!(first, Do::ReadState(Consistency::Any));
/// let (_, second) = next(memory, Saw::State(Version::ABSENT));
/// assert_eq!(second, Do::ReadRecord);
/// ```
pub const fn next(m: Memory, saw: Saw) -> (Memory, Do) {
    match saw {
        // 1. The version comes first: whatever commits after this read makes our commit lose.
        Saw::Delivery => (m, Do::ReadState(Consistency::Any)),
        Saw::State(version) => (Memory { version, ..m }, Do::ReadRecord),

        // 2. SUBTLE: not earlier than 1. A record that is written and cleared between the two reads
        // has moved the version; one that was cleared before left no payload for step 3 to find
        // (the wrong orders `record_before_state` and `payload_before_state`).
        Saw::Record(Claims::Stored) => (Memory { outcome: Outcome::Resumed, ..m }, Do::Dispatch),
        Saw::Record(Claims::Missing) => (Memory { claims_missing: true, outcome: Outcome::Resumed, ..m }, Do::CheckIn),
        // SUBTLE: an embedded record outlives its message. Without the payload it was dispatched, and it is not sent again; with it,
        // maybe not. At the second look it is known already.
        Saw::Embedded if m.missing => (m, Do::Acknowledge(Outcome::Duplicate)),
        Saw::Embedded => (Memory { embedded: true, outcome: Outcome::Resumed, ..m }, Do::ReadPayload),
        Saw::Retained => (m, Do::Acknowledge(Outcome::Duplicate)),
        // Its outgoing messages, if it ever had any, are sent; whether to process it is for its owner to say.
        Saw::NoRecord if m.finishes_only => (m, Do::Leave),
        Saw::NoRecord if m.missing => match m.when_missing {
            WhenMissing::Acknowledge => (m, Do::Acknowledge(Outcome::Duplicate)),
            WhenMissing::Park => (m, Do::Park),
        },
        Saw::NoRecord => (m, Do::ReadPayload),

        // 3. SUBTLE: a missing payload proves that the message was processed, not that it was cleared.
        // Its first worker may have died in between, so the record is read once more
        // (`no_second_look`).
        Saw::PayloadMissing if m.embedded => (m, Do::Acknowledge(Outcome::Duplicate)),
        Saw::PayloadMissing => (Memory { missing: true, ..m }, Do::ReadRecord),
        Saw::Payload if m.embedded => (m, Do::Dispatch),
        Saw::Payload => (m, Do::Handle),

        // 4. A message without effect is accepted too: it must move the version.
        Saw::Accepted => match m.check_in {
            CheckIn::BeforeCommit => (m, Do::CheckIn),
            CheckIn::AfterCommit => (m, Do::Commit(m.version)),
        },
        Saw::Rejected => (m, Do::Park),
        Saw::Parked => (m, Do::Acknowledge(Outcome::Parked)),
        // 4a. SUBTLE: sent again before it is acknowledged, under the identity that it has. A worker that stops in between leaves
        // two copies, of which one turns out to be a duplicate (`acknowledge_before_deferral`, `defer_as_another_message`).
        Saw::Deferred => (m, Do::SendAgain),
        Saw::SentAgain => (m, Do::Acknowledge(Outcome::Deferred)),

        // 4b and 5b.
        Saw::CheckedIn if m.claims_missing => (m, Do::StoreClaims),
        Saw::CheckedIn => (m, Do::Commit(m.version)),

        // 5. SUBTLE: whatever a failed commit answers, an earlier try of it may have applied or may still apply. The record
        // tells, so everything is read again; from here on the payload may be missing because another worker was faster.
        Saw::Committed(Claims::Stored) => (m, Do::Dispatch),
        Saw::Committed(Claims::Missing) => (Memory { claims_missing: true, ..m }, Do::CheckIn),
        Saw::Lost | Saw::Unknown | Saw::NotTried => {
            (Memory { when_missing: WhenMissing::Acknowledge, ..m }, Do::ReadState(Consistency::Strong))
        }

        // 5b. Whoever stored claims first decides which are sent; no record: somebody else has finished.
        Saw::ClaimsStored => (m, Do::Dispatch),
        Saw::RecordGone => (m, Do::Acknowledge(Outcome::Duplicate)),

        // 6 to 9. SUBTLE: settle before clear. The record is what a redelivery finds while the payload lives
        // (`clear_before_settle`).
        Saw::Dispatched => (m, Do::Settle),
        Saw::Settled => (m, Do::Clear),
        Saw::Cleared => (m, Do::Acknowledge(m.outcome)),
    }
}
