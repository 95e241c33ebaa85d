//! The protocol: what to do next, given what was just seen. Nothing else in this project
//! decides the order of steps: whatever processes a message asks [`next`].
//!
//! For an incoming message `m` in partition `p`:
//!
//! | # | [`Do`] | how | what is [`Saw`]n, and what follows |
//! |---|---|---|---|
//! | 1 | `ReadState` | as [`Consistency`] says; with the state come the records that are embedded in its item | `State(version)` → 2; absent is version 0 |
//! | 2 | `ReadRecord` | among those just read; else, unless these are [all there are](crate::Embedded::is_complete), beside the state: strongly consistent, **not earlier than 1** | `Record(Stored)` → 6; `Record(Missing)` → 5b; `Embedded` → 3, which tells whether it is settled; `Retained` → duplicate, 9; `NoRecord` → 3 |
//! | 3 | `ReadPayload` | linearizable, **not earlier than 2** | `Payload` → 4, or, with an embedded record, 6; `PayloadMissing` → 2 once more, **the state's item read anew, strongly consistent**: a record → resume, none → duplicate, 9 (or `Park`, see [`WhenMissing`]); with an embedded record → duplicate |
//! | 3b | `Withdraw` | only after a *lost* commit: with no record and the payload still there it is proven that it never will apply | `Withdrawn` → 4 |
//! | 4 | `Handle` | the user's handler, on the state of 1 and the payload of 3 | `Accepted` → 4b or 5; `Rejected` → `Park`, then 9, settling nothing |
//! | 4b | `CheckIn` | timing *before commit*: outgoing payloads under fresh random claims | `CheckedIn` → 5 |
//! | 5 | `Commit` | one atomic write of state, record and the handler's items, **if the version is unchanged and `m` has no record**; it moves the version | `Committed` → 6 or 5b; `Lost`, `Unknown` → 1, after a pause; `Rejected` (the store refuses its size or content) → `Park` |
//! | 5b | `CheckIn`, `StoreClaims` | timing *after commit*: **if the record exists and has no claims yet** | `CheckedIn` → store; `ClaimsStored` (ours or those found) → 6; `RecordGone` → 9 |
//! | 6 | `Dispatch` | send every outgoing message: its id and its claim | `Dispatched` → 7 |
//! | 7 | `Settle` | delete payload `m` (or write its dedupe entry, or mark the record as retained) | `Settled` → 8 |
//! | 8 | `Clear` | delete the outbox record of `m`, if it lies beside the state. An embedded one is left to a later commit | `Cleared` → 9 |
//! | 9 | `Acknowledge` | delete `m` from its queue | the end |
//!
//! A message is identified by its claim or, if it carries none, by its id. For the latter read
//! "payload missing" as "dedupe entry present": the entry is the payload's mirror image, and
//! the order of steps is the same. What failed in between is not seen: whoever performs a step tries it again,
//! or gives the message back and begins anew with the next delivery.
//!
//! A worker that only [finishes](Memory::finishing), for messages in a dead-letter queue, goes the same way, but never
//! beyond step 2 without a record: then it `Leave`s the message where it is.
//!
//! **Embedded records.** Every commit writes the state's item, and carries on in it the embedded records of other messages,
//! also when the state is deleted. It may leave out one of which this worker has seen that it is settled (payload missing, entry
//! present) at any time before, or which it has settled itself; never another. Nothing else drops an embedded record, and
//! nothing changes one: so whoever had read it would overwrite the change. That is why with check-in *after commit* the record always
//! lies beside. A commit that puts a record beside says so in the state's item, for good: those embedded are not all there are.
//!
//! **Folding.** Messages of one partition can be committed together. Each has a memory of its own and goes by the table; of what
//! they want, [`next_of_fold`] is done next, for all who want it: so they share the reading of the state and the commit, which moves the
//! version by one for each of them. Handlers run one after the other, each on the state that the one before it left. A fold has no message twice.
//!
//! `cloakroom-sim` has a model that visits every state this can lead to, and a test for each order that looks right and
//! is not; comments marked SUBTLE name them. Why this order and no other is told in [`docs::protocol`](crate::docs::protocol), wrong order by wrong order.

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
}

/// The next action. The driver performs it and answers with what it [`Saw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table at the head of the module is their documentation")]
pub enum Do {
    ReadState(Consistency),
    ReadRecord,
    ReadPayload,
    Withdraw,
    Handle,
    Park,
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
    Withdrawn,
    Accepted,
    Rejected,
    Parked,
    CheckedIn,
    Committed(Claims),
    /// Somebody else has moved the version. It may have been an earlier try of this very commit, whose
    /// answer was lost.
    Lost,
    /// The commit was tried, and may or may not take effect, now or later.
    Unknown,
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
    /// The previous attempt's commit was lost, and its claims are still in hand.
    lost: bool,
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
            lost: false,
            claims_missing: false,
            outcome: Outcome::Processed,
        }
    }

    /// Whether a record is sought once more, because the payload is missing: then the state's item is read anew, too.
    pub const fn looks_again(&self) -> bool {
        self.missing
    }

    /// The same, for what is begun anew: a payload that may be missing by rights may be so from then on.
    pub(crate) const fn as_suspicious_as(self, earlier: Self) -> Self {
        match earlier.when_missing {
            WhenMissing::Acknowledge => Self { when_missing: WhenMissing::Acknowledge, ..self },
            WhenMissing::Park => self,
        }
    }

    /// The memory of whoever has taken a message from a dead-letter queue, to finish it if it was committed.
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
        // Lost, no record, payload still there: the attempt before did not commit and cannot any more.
        Saw::Payload if m.lost => (Memory { lost: false, ..m }, Do::Withdraw),
        Saw::Payload | Saw::Withdrawn => (m, Do::Handle),

        // 4. A message without effect is accepted too: it must move the version.
        Saw::Accepted => match m.check_in {
            CheckIn::BeforeCommit => (m, Do::CheckIn),
            CheckIn::AfterCommit => (m, Do::Commit(m.version)),
        },
        Saw::Rejected => (m, Do::Park),
        Saw::Parked => (m, Do::Acknowledge(Outcome::Parked)),

        // 4b and 5b.
        Saw::CheckedIn if m.claims_missing => (m, Do::StoreClaims),
        Saw::CheckedIn => (m, Do::Commit(m.version)),

        // 5. SUBTLE: after a lost commit a late read would show no record and the payload, and the claims of a commit that did
        // apply would be withdrawn (`withdraw_after_stale_read`). An unknown outcome may still take effect, so its claims are never withdrawn
        // (`withdraw_after_unknown`). After either a payload may be missing by rights:
        // whoever was faster has collected it.
        Saw::Committed(Claims::Stored) => (m, Do::Dispatch),
        Saw::Committed(Claims::Missing) => (Memory { claims_missing: true, ..m }, Do::CheckIn),
        Saw::Lost => {
            (Memory { lost: true, when_missing: WhenMissing::Acknowledge, ..m }, Do::ReadState(Consistency::Strong))
        }
        Saw::Unknown => (Memory { when_missing: WhenMissing::Acknowledge, ..m }, Do::ReadState(Consistency::Strong)),

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

/// What a fold does next, given what its members want: the earliest step of the table. All who want it take it together, the others
/// wait. None if all have come to their end.
///
/// So after one reading of the state each member is classified by its own record and payload; those without either go on to
/// one commit together; and if that is lost, they are classified anew.
///
/// ```
/// use cloakroom::{Version, protocol::{next_of_fold, Do}};
///
/// let wants = [Do::Dispatch, Do::Commit(Version::new(7)), Do::ReadPayload, Do::Leave];
/// assert_eq!(next_of_fold(wants), Some(Do::ReadPayload));
/// ```
pub fn next_of_fold(wants: impl IntoIterator<Item = Do>) -> Option<Do> {
    // `Do` is in the order of the table.
    wants.into_iter().filter(|want| !matches!(want, Do::Acknowledge(_) | Do::Leave)).min()
}
