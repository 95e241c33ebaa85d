//! The order of steps in a broken protocol: a detour around the step function.

use cloakroom::{
    Outcome,
    protocol::{self, Consistency, Do, Progress, Saw, Version},
};

use crate::model::wrong_orders::WrongOrder;

/// How far a member is on a detour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Detour {
    #[default]
    None,
    /// It performs a step too early.
    Early,
    /// It has performed a step too early, or will not perform it any more.
    Done,
    /// It found too early that something is missing.
    Missing,
    /// It performs a step before a commit.
    Before(Version),
}

type Next = (Progress, Detour, Do);

/// The production step function, or the detour around it.
pub(super) fn next(order: Option<WrongOrder>, m: Progress, detour: Detour, saw: Saw) -> Next {
    let Some(order) = order else { return unchanged(protocol::next(m, saw), detour) };
    if let Some(next) = replaced_observation(order, m, detour, saw) {
        return next;
    }
    let (m, todo) = protocol::next(m, saw);
    replaced_step(order, m, detour, todo)
}

const fn unchanged((progress, todo): (Progress, Do), detour: Detour) -> Next {
    (progress, detour, todo)
}

/// The next step after an observation on a detour.
fn replaced_observation(order: WrongOrder, m: Progress, detour: Detour, saw: Saw) -> Option<Next> {
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
        (WrongOrder::RecordNotRead, _, Saw::PossiblySettled) => unchanged(protocol::next(m, saw), Detour::Missing),
        (WrongOrder::ClearBeforeSettle, Detour::None, Saw::Dispatched) => (m, Detour::Early, Do::Clear),
        (WrongOrder::ClearBeforeSettle, Detour::Early, Saw::Cleared) => (m, Detour::Done, Do::Settle),
        (WrongOrder::ClearBeforeSettle, Detour::Done, Saw::Settled) => {
            unchanged(protocol::next(m, Saw::Cleared), detour)
        }
        (WrongOrder::DispatchBeforeCommit, Detour::Before(version), Saw::Dispatched) => {
            (m, Detour::Done, Do::Commit(version))
        }
        (WrongOrder::SettleBeforeDispatch | WrongOrder::EntryFirst, Detour::Early, Saw::Settled) => {
            (m, Detour::Done, Do::Dispatch)
        }
        (WrongOrder::SettleBeforeDispatch | WrongOrder::EntryFirst, Detour::Done, Saw::Dispatched) => {
            unchanged(protocol::next(m, Saw::Settled), Detour::None)
        }
        (WrongOrder::SettleDeferred, Detour::Early, Saw::Settled) => {
            (m, Detour::Done, Do::Acknowledge(Outcome::Deferred))
        }
        (WrongOrder::NoCommitWithoutEffect, Detour::Early, Saw::Settled) => {
            (m, Detour::None, Do::Acknowledge(Outcome::Processed))
        }
        (WrongOrder::KeepClassification, _, Saw::Lost) => unchanged(protocol::next(m, saw), Detour::Done),
        (WrongOrder::KeepClassification | WrongOrder::FoldKeepsClassification, Detour::Done, Saw::State(_)) => {
            let (read, _) = protocol::next(m, saw);
            unchanged(fresh(read), Detour::None)
        }
        _ => return None,
    })
}

/// The next step for a message that is classified as new.
pub(super) fn fresh(m: Progress) -> (Progress, Do) {
    let (m, _) = protocol::next(m, Saw::NoRecord);
    protocol::next(m, Saw::NotSettled)
}

/// Replaces the next step if the wrong order says so.
fn replaced_step(order: WrongOrder, m: Progress, detour: Detour, todo: Do) -> Next {
    match (order, detour, todo) {
        (WrongOrder::PayloadBeforeState | WrongOrder::PayloadFirst | WrongOrder::EntryFirst, _, Do::ReadState(_)) => {
            (m, Detour::Early, Do::ReadPayload)
        }
        (WrongOrder::PayloadBeforeRecord, Detour::None, Do::ReadRecord) if !m.looks_again() => {
            (m, Detour::Early, Do::ReadPayload)
        }
        (WrongOrder::PayloadBeforeState | WrongOrder::PayloadBeforeRecord, Detour::Done, Do::ReadPayload) => {
            unchanged(protocol::next(m, Saw::NotSettled), Detour::None)
        }
        (WrongOrder::PayloadBeforeState | WrongOrder::PayloadBeforeRecord, Detour::Missing, Do::ReadPayload) => {
            unchanged(protocol::next(m, Saw::PossiblySettled), Detour::None)
        }
        (WrongOrder::RecordBeforeState, _, Do::ReadState(_)) => (m, Detour::Early, Do::ReadRecord),
        (WrongOrder::RecordBeforeState, Detour::Done, Do::ReadRecord)
        | (WrongOrder::RecordNotRead, Detour::None, Do::ReadRecord) => {
            unchanged(protocol::next(m, Saw::NoRecord), Detour::None)
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
