//! The step function against the table at the head of its module: every row, whole paths, and what must hold
//! in everything that can be reached.

use cloakroom::{
    Outcome,
    protocol::{
        CheckIn, Claims, Consistency, Do, Progress, Saw, Version, WhenMissing,
        fold::{self, CommitResult, Verdict},
        next, next_of_fold,
    },
};

use CheckIn::{AfterCommit, BeforeCommit};
use Outcome::{Deferred, Duplicate, Parked, Processed, Resumed};

const V3: Version = Version::new(3);
const V4: Version = Version::new(4);

const READ_STATE: Do = Do::ReadState(Consistency::Any);

/// Follows a path from the delivery on: each pair is what must be done, and what is seen then. After
/// the first time the state is read with strong consistency.
fn follow(check_in: CheckIn, when_missing: WhenMissing, path: &[(Do, Saw)], last: Do) {
    let (mut memory, mut action) = next(Progress::new(check_in, when_missing), Saw::Delivery);
    for (number, (must, saw)) in path.iter().enumerate() {
        let must = if *must == READ_STATE && number > 0 { Do::ReadState(Consistency::Strong) } else { *must };
        assert_eq!(action, must, "step {number} of {path:?}");
        (memory, action) = next(memory, *saw);
    }
    assert_eq!(action, last, "after {path:?}");
}

/// With messages in which nothing is missing.
fn path(check_in: CheckIn, steps: &[&[(Do, Saw)]], last: Do) {
    follow(check_in, WhenMissing::Acknowledge, &steps.concat(), last);
}

/// Steps 1 to 3 of a message that was never committed.
const fn fresh(version: Version) -> [(Do, Saw); 3] {
    [(READ_STATE, Saw::State(version)), (Do::ReadRecord, Saw::NoRecord), (Do::ReadPayload, Saw::NotSettled)]
}

/// Steps 4 to 5 with check-in before the commit.
const fn commit(version: Version, saw: Saw) -> [(Do, Saw); 3] {
    [(Do::Handle, Saw::Accepted), (Do::CheckIn, Saw::CheckedIn), (Do::Commit(version), saw)]
}

/// Steps 6 to 8.
const FINISH: [(Do, Saw); 3] = [(Do::Dispatch, Saw::Dispatched), (Do::Settle, Saw::Settled), (Do::Clear, Saw::Cleared)];

const COMMITTED: Saw = Saw::Committed(Claims::Stored);

#[test]
fn plain() {
    path(BeforeCommit, &[&fresh(V3), &commit(V3, COMMITTED), &FINISH], Do::Acknowledge(Processed));
}

#[test]
fn a_new_entity_is_committed_on_version_0() {
    let absent = Version::ABSENT;
    path(BeforeCommit, &[&fresh(absent), &commit(absent, COMMITTED), &FINISH], Do::Acknowledge(Processed));
}

const STORE: [(Do, Saw); 2] = [(Do::CheckIn, Saw::CheckedIn), (Do::StoreClaims, Saw::ClaimsStored)];

#[test]
fn after_commit() {
    let commit = [(Do::Handle, Saw::Accepted), (Do::Commit(V3), Saw::Committed(Claims::Missing))];
    path(AfterCommit, &[&fresh(V3), &commit, &STORE, &FINISH], Do::Acknowledge(Processed));
}

#[test]
fn after_commit_without_messages_there_are_no_claims_to_store() {
    let commit = [(Do::Handle, Saw::Accepted), (Do::Commit(V3), COMMITTED)];
    path(AfterCommit, &[&fresh(V3), &commit, &FINISH], Do::Acknowledge(Processed));
}

#[test]
fn after_commit_a_record_that_is_gone_was_finished_by_somebody_else() {
    let commit = [(Do::Handle, Saw::Accepted), (Do::Commit(V3), Saw::Committed(Claims::Missing))];
    let gone = [(Do::CheckIn, Saw::CheckedIn), (Do::StoreClaims, Saw::RecordGone)];
    path(AfterCommit, &[&fresh(V3), &commit, &gone], Do::Acknowledge(Duplicate));
}

#[test]
fn resumed_with_claims() {
    for check_in in [BeforeCommit, AfterCommit] {
        let found = [(READ_STATE, Saw::State(V3)), (Do::ReadRecord, Saw::Record(Claims::Stored))];
        path(check_in, &[&found, &FINISH], Do::Acknowledge(Resumed));
    }
}

#[test]
fn resumed_without_claims() {
    // Also by a worker that has been set to the other timing in between.
    for check_in in [BeforeCommit, AfterCommit] {
        let found = [(READ_STATE, Saw::State(V3)), (Do::ReadRecord, Saw::Record(Claims::Missing))];
        path(check_in, &[&found, &STORE, &FINISH], Do::Acknowledge(Resumed));
    }
}

const MISSING: [(Do, Saw); 3] =
    [(READ_STATE, Saw::State(V3)), (Do::ReadRecord, Saw::NoRecord), (Do::ReadPayload, Saw::PossiblySettled)];

#[test]
fn a_duplicate_looks_for_the_record_twice() {
    path(BeforeCommit, &[&MISSING, &[(Do::ReadRecord, Saw::NoRecord)]], Do::Acknowledge(Duplicate));
}

#[test]
fn a_payload_that_is_missing_while_there_is_a_record_was_settled_and_not_cleared() {
    let record = [(Do::ReadRecord, Saw::Record(Claims::Stored))];
    path(BeforeCommit, &[&MISSING, &record, &FINISH], Do::Acknowledge(Resumed));
    follow(BeforeCommit, WhenMissing::Park, &[&MISSING[..], &record, &FINISH].concat(), Do::Acknowledge(Resumed));
    let record = [(Do::ReadRecord, Saw::Record(Claims::Missing))];
    path(AfterCommit, &[&MISSING, &record, &STORE, &FINISH], Do::Acknowledge(Resumed));
}

#[test]
fn a_payload_that_cannot_be_missing_parks_the_message() {
    let steps = [&MISSING[..], &[(Do::ReadRecord, Saw::NoRecord), (Do::Park, Saw::Parked)]].concat();
    follow(BeforeCommit, WhenMissing::Park, &steps, Do::Acknowledge(Parked));
}

#[test]
fn after_a_commit_was_tried_a_missing_payload_is_a_duplicate_under_any_policy() {
    for tried in [Saw::Lost, Saw::Unknown] {
        let missing = [&MISSING[..], &[(Do::ReadRecord, Saw::NoRecord)]].concat();
        let steps = [&fresh(V3)[..], &commit(V3, tried), &missing].concat();
        follow(BeforeCommit, WhenMissing::Park, &steps, Do::Acknowledge(Duplicate));
    }
}

#[test]
fn a_rejected_message_is_parked_and_not_settled() {
    for check_in in [BeforeCommit, AfterCommit] {
        let rejected = [(Do::Handle, Saw::Rejected), (Do::Park, Saw::Parked)];
        path(check_in, &[&fresh(V3), &rejected], Do::Acknowledge(Parked));
    }
}

#[test]
fn a_deferred_message_is_sent_again_and_not_settled() {
    let deferred = [(Do::Handle, Saw::Deferred), (Do::SendAgain, Saw::SentAgain)];
    for check_in in [BeforeCommit, AfterCommit] {
        path(check_in, &[&fresh(V3), &deferred], Do::Acknowledge(Deferred));
    }
    // A commit of unknown outcome is no reason to keep the message: if it applies, the copy finds its record.
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Unknown), &fresh(V3), &deferred], Do::Acknowledge(Deferred));
}

#[test]
fn a_commit_that_is_too_large_is_parked_and_not_settled() {
    let parked = [(Do::Park, Saw::Parked)];
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Rejected), &parked], Do::Acknowledge(Parked));
}

#[test]
fn after_a_commit_that_did_not_apply_everything_is_read_again() {
    for (check_in, handled) in [(BeforeCommit, 2), (AfterCommit, 1)] {
        for saw in [Saw::Lost, Saw::Unknown, Saw::NotTried] {
            let tried = commit(V3, saw);
            // Without the check-in, if that comes after the commit.
            let tried = [&tried[..1], &tried[3 - handled..]].concat();
            path(check_in, &[&fresh(V3), &tried, &fresh(V4)], Do::Handle);
        }
    }
}

#[test]
fn a_message_is_rejected_by_the_handler_that_saw_another_state() {
    let rejected = [(Do::Handle, Saw::Rejected), (Do::Park, Saw::Parked)];
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Lost), &fresh(V4), &rejected], Do::Acknowledge(Parked));
}

#[test]
fn lost_then_the_record_shows_that_it_was_won() {
    let found = [(READ_STATE, Saw::State(V4)), (Do::ReadRecord, Saw::Record(Claims::Stored))];
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Lost), &found, &FINISH], Do::Acknowledge(Resumed));
}

#[test]
fn lost_then_the_payload_shows_that_somebody_finished() {
    let done = [&MISSING[..], &[(Do::ReadRecord, Saw::NoRecord)]].concat();
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Lost), &done], Do::Acknowledge(Duplicate));
}

#[test]
fn unknown_then_the_record_shows_that_it_was_won() {
    let found = [(READ_STATE, Saw::State(V4)), (Do::ReadRecord, Saw::Record(Claims::Stored))];
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Unknown), &found, &FINISH], Do::Acknowledge(Resumed));
}

const EMBEDDED: [(Do, Saw); 2] = [(READ_STATE, Saw::State(V3)), (Do::ReadRecord, Saw::Embedded)];

#[test]
fn an_embedded_record_is_resumed_if_the_payload_is_there() {
    for check_in in [BeforeCommit, AfterCommit] {
        path(check_in, &[&EMBEDDED, &[(Do::ReadPayload, Saw::NotSettled)], &FINISH], Do::Acknowledge(Resumed));
    }
}

#[test]
fn an_embedded_record_without_its_payload_is_settled() {
    path(BeforeCommit, &[&EMBEDDED, &[(Do::ReadPayload, Saw::PossiblySettled)]], Do::Acknowledge(Duplicate));
    // Even where a missing payload parks: the record tells that it was processed.
    let steps = [&EMBEDDED[..], &[(Do::ReadPayload, Saw::PossiblySettled)]].concat();
    follow(BeforeCommit, WhenMissing::Park, &steps, Do::Acknowledge(Duplicate));
    path(BeforeCommit, &[&MISSING, &[(Do::ReadRecord, Saw::Embedded)]], Do::Acknowledge(Duplicate));
}

#[test]
fn a_retained_record_is_the_proof_of_a_duplicate() {
    let retained = [(READ_STATE, Saw::State(V3)), (Do::ReadRecord, Saw::Retained)];
    path(BeforeCommit, &[&retained], Do::Acknowledge(Duplicate));
}

#[test]
fn a_fold_goes_at_the_pace_of_its_slowest() {
    let order = [
        READ_STATE,
        Do::ReadState(Consistency::Strong),
        Do::ReadRecord,
        Do::ReadPayload,
        Do::Handle,
        Do::Park,
        Do::SendAgain,
        Do::CheckIn,
        Do::Commit(V3),
        Do::StoreClaims,
        Do::Dispatch,
        Do::Settle,
        Do::Clear,
    ];
    for (number, step) in order.iter().enumerate() {
        assert_eq!(next_of_fold(order[number..].iter().rev().copied()), Some(*step));
    }
    assert_eq!(next_of_fold([Do::Acknowledge(Processed), Do::Leave]), None);
}

#[test]
fn a_group_has_each_message_once_and_one_message_when_narrowed() {
    assert_eq!(fold::group(&["a", "b", "a", "c", "b"], false), [0, 1, 3]);
    assert_eq!(fold::group(&["a", "b"], true), [0]);
    assert_eq!(fold::group::<&str>(&[], true), [0; 0]);
}

#[test]
fn only_acceptance_counts_on_a_state_that_is_not_current() {
    for verdict in [Verdict::Rejected, Verdict::Deferred] {
        assert!(fold::counts(verdict, true) && !fold::counts(verdict, false), "{verdict:?}");
    }
    assert!(fold::counts(Verdict::Accepted, true) && fold::counts(Verdict::Accepted, false));
}

#[test]
fn the_result_of_a_commit_means_something_else_for_one_message_than_for_several() {
    use CommitResult::{Applied, ItemConflict, NotTried, Overtaken, Refused, Unknown};
    for (result, alone, in_a_group, is_narrowed) in [
        (NotTried, Saw::NotTried, Saw::NotTried, false),
        (Applied, COMMITTED, COMMITTED, false),
        (Overtaken, Saw::Lost, Saw::Lost, false),
        (ItemConflict, Saw::Unknown, Saw::Unknown, true),
        (Refused, Saw::Rejected, Saw::NotTried, true),
        (Unknown, Saw::Unknown, Saw::Unknown, false),
    ] {
        assert_eq!(fold::after_commit(result, Claims::Stored, 1, true), alone);
        assert_eq!(fold::after_commit(result, Claims::Stored, 2, true), in_a_group);
        assert_eq!((fold::narrows(result, 1), fold::narrows(result, 2)), (false, is_narrowed));
    }
    let missing = fold::after_commit(Applied, Claims::Missing, 2, true);
    assert_eq!(missing, Saw::Committed(Claims::Missing), "each member has its own claims");
}

#[test]
fn of_a_narrowed_group_the_first_that_starts_again_goes_on() {
    let again = Some(Do::ReadState(Consistency::Strong));
    let wants = [Some(Do::Dispatch), again, None, again, again];
    assert_eq!(fold::set_aside(&wants), [3, 4]);
}
