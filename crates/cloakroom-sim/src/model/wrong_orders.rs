//! Orders that look right and are not: each breaks the protocol in one place, and the model finds out.
//!
//! Nothing of this is linked into what processes messages. Broken is either the order of steps, by a detour around the step
//! function, or how a step is performed.

use cloakroom::{
    Outcome,
    protocol::{self, Consistency, Do, Progress, Saw, Version},
};

use super::{Model, scenario::Handler, worker::Worker};

macro_rules! wrong_orders {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A way to break the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum WrongOrder {
            $($(#[doc = $doc])+ $name,)+
        }

        impl WrongOrder {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What is broken, in words.
            pub const fn tells(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                }
            }
        }
    };
}

wrong_orders! {
    /// The payload is read before the state.
    PayloadBeforeState,
    /// The payload, or the entry, is read after the state and before the record.
    PayloadBeforeRecord,
    /// A record lies under the message's id, although another message may have the same id under another claim.
    RecordKeyedById,
    /// Claims are derived from the message's id, and payloads checked in after the commit.
    DerivedClaimsAfterCommit,
    /// Claims are derived from the message's id, and payloads checked in before the commit.
    DerivedClaimsBeforeCommit,
    /// Claims are stored even in a record that has some.
    ClaimsStoredTwice,
    /// The record is read before the state, or both in one query that is taken for a snapshot.
    RecordBeforeState,
    /// The record is not read; that there is none is only a condition of the commit.
    RecordNotRead,
    /// The record is cleared before the payload is deleted.
    ClearBeforeSettle,
    /// The payload is looked at first, and if it is missing the message is acknowledged.
    PayloadFirst,
    /// The record is read with eventual consistency.
    StaleRecord,
    /// The payload, or the dedupe entry, is read with eventual consistency.
    StalePayload,
    /// Messages are sent before the commit.
    DispatchBeforeCommit,
    /// The message is acknowledged before its outgoing messages are sent.
    AcknowledgeBeforeDispatch,
    /// The payload is deleted, or the entry written, before the outgoing messages are sent.
    SettleBeforeDispatch,
    /// The entry is written before the outgoing messages are sent, and looked at first.
    EntryFirst,
    /// A message without an effect is settled and acknowledged without a commit.
    NoCommitWithoutEffect,
    /// The commit demands that there is no record, and not that the version is unchanged.
    NoVersionCondition,
    /// The commit demands that the version is unchanged, and not that there is no record: this one does no harm.
    NoRecordCondition,
    /// A deleted state leaves no version behind.
    TrueDelete,
    /// A message whose payload is missing is acknowledged without a second look at the record.
    NoSecondLook,
    /// The claims of a commit whose outcome is unknown are deleted.
    DeleteClaimsAfterUnknown,
    /// The claims of a lost commit are deleted.
    DeleteClaimsAfterLost,
    /// A sweep, which does not have the message in hand, clears its record without settling it.
    SweepWithoutSettling,
    /// After a lost commit the state is read anew, and neither the record nor the payload: a message stays what it was taken for.
    KeepClassification,
    /// A missing payload is followed by a second look at the record, for which the state is read with eventual consistency.
    StaleSecondLook,
    /// The commit of an embedded record leaves the version as it is.
    EmbedWithoutVersion,
    /// Claims are stored in an embedded record, and the version stays as it is.
    EditEmbedded,
    /// A commit drops the embedded records of other messages, settled or not.
    DropBlindly,
    /// A commit drops the embedded record of another message whose payload a read with eventual consistency did not find.
    DropAfterStaleLook,
    /// A commit drops the embedded record of an id that was settled once, and came again after its entry had expired.
    DropRemembered,
    /// A sweep drops the embedded record of a message that may still come.
    DropWhatMayCome,
    /// The record of an id that came again after its entry had expired is taken for the record of the new message.
    ResumeExpired,
    /// A sweep finishes the record of an id whose entry has expired, and so writes the entry anew.
    SweepExpired,
    /// A worker that embeds its record takes an absent state for a proof that no record lies beside it.
    TrustAbsentState,
    /// A deleted state leaves its version behind, and not the records that were embedded in it.
    TombstoneWithoutMap,
    /// Whoever finds no record embedded does not look beside, although records have been put there.
    TrustIncomplete,
    /// A commit that puts its record beside the state drops the embedded ones.
    BesideWithoutMap,
    /// A deferred message is acknowledged before it is sent again.
    AcknowledgeBeforeDeferral,
    /// A deferred message is settled, as one that was processed.
    SettleDeferred,
    /// A deferred message that carries only its id is sent again with another id.
    DeferAsAnotherMessage,
    /// Of messages that are processed together all are acknowledged, because one is a duplicate.
    FoldAcknowledgesAll,
    /// Of messages that are processed together all are committed, because one is fresh.
    FoldCommitsAll,
    /// Messages that are processed together are not classified anew after their commit was lost.
    FoldKeepsClassification,
    /// Two copies of a message are processed together.
    FoldTwice,
    /// A group commits although a member has left it after its handler ran.
    CommitWithoutAMember,
    /// What is committed together is written in two parts: the state as the last handler left it with the first record, then the others.
    FoldInTwoPuts,
}

/// Where a worker is that does not go the right way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Detour {
    #[default]
    None,
    /// Does something before its time.
    Early,
    /// Has done something before its time, or will not do it any more.
    Done,
    /// Has found something missing before its time.
    Missing,
    /// Does something before a commit.
    Before(Version),
}

type Next = (Progress, Detour, Do);

/// The production step function, or the way around it.
pub(super) fn next(order: Option<WrongOrder>, m: Progress, detour: Detour, saw: Saw) -> Next {
    let Some(order) = order else { return on(protocol::next(m, saw), detour) };
    if let Some(next) = seen(order, m, detour, saw) {
        return next;
    }
    let (m, todo) = protocol::next(m, saw);
    instead(order, m, detour, todo)
}

const fn on((memory, todo): (Progress, Do), detour: Detour) -> Next {
    (memory, detour, todo)
}

/// What is seen on a detour, and where that leads.
fn seen(order: WrongOrder, m: Progress, detour: Detour, saw: Saw) -> Option<Next> {
    let duplicate = Do::Acknowledge(Outcome::Duplicate);
    Some(match (order, detour, saw) {
        (WrongOrder::PayloadBeforeState, Detour::Early, Saw::NotSettled) => {
            (m, Detour::Done, Do::ReadState(Consistency::Any))
        }
        (WrongOrder::PayloadBeforeState, Detour::Early, Saw::PossiblySettled) => {
            (m, Detour::Missing, Do::ReadState(Consistency::Any))
        }
        (WrongOrder::PayloadBeforeRecord, Detour::Early, Saw::NotSettled) => (m, Detour::Done, Do::ReadRecord),
        (WrongOrder::PayloadBeforeRecord, Detour::Early, Saw::PossiblySettled) => (m, Detour::Missing, Do::ReadRecord),
        (WrongOrder::PayloadFirst | WrongOrder::EntryFirst, Detour::Early, Saw::NotSettled) => {
            (m, Detour::None, Do::ReadState(Consistency::Any))
        }
        (WrongOrder::PayloadFirst | WrongOrder::EntryFirst, Detour::Early, Saw::PossiblySettled)
        | (WrongOrder::NoSecondLook, Detour::None, Saw::PossiblySettled) => (m, Detour::None, duplicate),
        (WrongOrder::RecordBeforeState, Detour::Early, Saw::NoRecord) => {
            (m, Detour::Done, Do::ReadState(Consistency::Any))
        }
        (WrongOrder::RecordNotRead, _, Saw::PossiblySettled) => on(protocol::next(m, saw), Detour::Missing),
        (WrongOrder::ClearBeforeSettle, Detour::None, Saw::Dispatched) => (m, Detour::Early, Do::Clear),
        (WrongOrder::ClearBeforeSettle, Detour::Early, Saw::Cleared) => (m, Detour::Done, Do::Settle),
        (WrongOrder::ClearBeforeSettle, Detour::Done, Saw::Settled) => on(protocol::next(m, Saw::Cleared), detour),
        (WrongOrder::DispatchBeforeCommit, Detour::Before(version), Saw::Dispatched) => {
            (m, Detour::Done, Do::Commit(version))
        }
        (WrongOrder::SettleBeforeDispatch | WrongOrder::EntryFirst, Detour::Early, Saw::Settled) => {
            (m, Detour::Done, Do::Dispatch)
        }
        (WrongOrder::SettleBeforeDispatch | WrongOrder::EntryFirst, Detour::Done, Saw::Dispatched) => {
            on(protocol::next(m, Saw::Settled), Detour::None)
        }
        (WrongOrder::SettleDeferred, Detour::Early, Saw::Settled) => {
            (m, Detour::Done, Do::Acknowledge(Outcome::Deferred))
        }
        (WrongOrder::NoCommitWithoutEffect, Detour::Early, Saw::Settled) => {
            (m, Detour::None, Do::Acknowledge(Outcome::Processed))
        }
        (WrongOrder::KeepClassification, _, Saw::Lost) => on(protocol::next(m, saw), Detour::Done),
        (WrongOrder::KeepClassification | WrongOrder::FoldKeepsClassification, Detour::Done, Saw::State(_)) => {
            let (read, _) = protocol::next(m, saw);
            on(fresh(read), Detour::None)
        }
        _ => return None,
    })
}

/// What follows for a message that is taken for fresh.
fn fresh(m: Progress) -> (Progress, Do) {
    let (m, _) = protocol::next(m, Saw::NoRecord);
    protocol::next(m, Saw::NotSettled)
}

/// What follows for the member that has just seen something, and for the others, where what is broken is about them, too.
pub(super) fn go_astray(model: &Model, worker: &mut Worker, place: usize, saw: Saw) {
    let one = worker.members[place];
    let is_fold = worker.members.len() > 1;
    let others = worker.members.iter_mut().filter(|other| other.message != one.message && !other.leaves);
    match (model.order, saw) {
        (Some(WrongOrder::NoCommitWithoutEffect), Saw::Accepted)
            if matches!(one.spec(model).handler, Handler::SendsAfter(_)) && !one.sends =>
        {
            (worker.members[place].detour, worker.members[place].todo) = (Detour::Early, Do::Settle);
        }
        (Some(WrongOrder::FoldKeepsClassification), Saw::Lost) if is_fold => {
            worker.members[place].detour = Detour::Done;
        }
        (Some(WrongOrder::FoldAcknowledgesAll), Saw::PossiblySettled) => others.for_each(|other| {
            (other.todo, other.leaves) = (Do::Acknowledge(Outcome::Duplicate), true);
        }),
        (Some(WrongOrder::FoldCommitsAll), Saw::NotSettled) if one.todo == Do::Handle => others.for_each(|other| {
            if matches!(other.todo, Do::ReadRecord | Do::ReadPayload) {
                (other.memory, other.todo) = fresh(other.memory);
            }
        }),
        _ => {}
    }
}

/// What would be done, and what is done instead.
fn instead(order: WrongOrder, m: Progress, detour: Detour, todo: Do) -> Next {
    match (order, detour, todo) {
        (WrongOrder::PayloadBeforeState | WrongOrder::PayloadFirst | WrongOrder::EntryFirst, _, Do::ReadState(_)) => {
            (m, Detour::Early, Do::ReadPayload)
        }
        (WrongOrder::PayloadBeforeRecord, Detour::None, Do::ReadRecord) if !m.looks_again() => {
            (m, Detour::Early, Do::ReadPayload)
        }
        (WrongOrder::PayloadBeforeState | WrongOrder::PayloadBeforeRecord, Detour::Done, Do::ReadPayload) => {
            on(protocol::next(m, Saw::NotSettled), Detour::None)
        }
        (WrongOrder::PayloadBeforeState | WrongOrder::PayloadBeforeRecord, Detour::Missing, Do::ReadPayload) => {
            on(protocol::next(m, Saw::PossiblySettled), Detour::None)
        }
        (WrongOrder::RecordBeforeState, _, Do::ReadState(_)) => (m, Detour::Early, Do::ReadRecord),
        (WrongOrder::RecordBeforeState, Detour::Done, Do::ReadRecord)
        | (WrongOrder::RecordNotRead, Detour::None, Do::ReadRecord) => {
            on(protocol::next(m, Saw::NoRecord), Detour::None)
        }
        (WrongOrder::DispatchBeforeCommit, Detour::None, Do::Commit(version)) => {
            (m, Detour::Before(version), Do::Dispatch)
        }
        (WrongOrder::AcknowledgeBeforeDispatch, Detour::None, Do::Dispatch) => {
            (m, Detour::Early, Do::Acknowledge(Outcome::Processed))
        }
        (WrongOrder::AcknowledgeBeforeDeferral, Detour::None, Do::SendAgain) => {
            (m, Detour::Early, Do::Acknowledge(Outcome::Deferred))
        }
        (WrongOrder::SettleBeforeDispatch | WrongOrder::EntryFirst, Detour::None, Do::Dispatch)
        | (WrongOrder::SettleDeferred, Detour::None, Do::Acknowledge(Outcome::Deferred)) => {
            (m, Detour::Early, Do::Settle)
        }
        _ => (m, detour, todo),
    }
}
