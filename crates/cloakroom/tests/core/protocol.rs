//! The step function against the table at the head of its module: every row, and whole paths.

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

/// Follows a path from the delivery to its last step. Each pair is the expected step and what that
/// step saw. A `READ_STATE` after the first step stands for a strongly consistent read.
fn follow(check_in: CheckIn, when_missing: WhenMissing, path: &[(Do, Saw)], last: Do) {
    let (mut progress, mut action) = next(Progress::new(check_in, when_missing), Saw::Delivery);
    for (number, (expected, saw)) in path.iter().enumerate() {
        let expected =
            if *expected == READ_STATE && number > 0 { Do::ReadState(Consistency::Strong) } else { *expected };
        assert_eq!(action, expected, "step {number} of {path:?}");
        (progress, action) = next(progress, *saw);
    }
    assert_eq!(action, last, "after {path:?}");
}

/// Follows a path under [`WhenMissing::Acknowledge`].
fn path(check_in: CheckIn, steps: &[&[(Do, Saw)]], last: Do) {
    follow(check_in, WhenMissing::Acknowledge, &steps.concat(), last);
}

/// Steps 1 to 3 of a message that was never committed.
const fn fresh(version: Version) -> [(Do, Saw); 3] {
    [(READ_STATE, Saw::State(version)), (Do::ReadRecord, Saw::NoRecord), (Do::ReadPayload, Saw::NotSettled)]
}

/// Steps 4 and 5 with the check-in before the commit.
const fn commit(version: Version, saw: Saw) -> [(Do, Saw); 3] {
    [(Do::Handle, Saw::Accepted), (Do::CheckIn, Saw::CheckedIn), (Do::Commit(version), saw)]
}

/// Steps 6 to 8.
const FINISH: [(Do, Saw); 3] = [(Do::Dispatch, Saw::Dispatched), (Do::Settle, Saw::Settled), (Do::Clear, Saw::Cleared)];

const COMMITTED: Saw = Saw::Committed(Claims::Stored);

#[test]
fn new_message_takes_every_step_in_order() {
    path(BeforeCommit, &[&fresh(V3), &commit(V3, COMMITTED), &FINISH], Do::Acknowledge(Processed));
}

#[test]
fn a_new_entity_is_committed_on_version_0() {
    let absent = Version::ABSENT;
    path(BeforeCommit, &[&fresh(absent), &commit(absent, COMMITTED), &FINISH], Do::Acknowledge(Processed));
}

const STORE: [(Do, Saw); 2] = [(Do::CheckIn, Saw::CheckedIn), (Do::StoreClaims, Saw::ClaimsStored)];

#[test]
fn message_with_check_in_after_commit_stores_its_claims() {
    let commit = [(Do::Handle, Saw::Accepted), (Do::Commit(V3), Saw::Committed(Claims::Missing))];
    path(AfterCommit, &[&fresh(V3), &commit, &STORE, &FINISH], Do::Acknowledge(Processed));
}

#[test]
fn commit_without_messages_stores_no_claims() {
    let commit = [(Do::Handle, Saw::Accepted), (Do::Commit(V3), COMMITTED)];
    path(AfterCommit, &[&fresh(V3), &commit, &FINISH], Do::Acknowledge(Processed));
}

#[test]
fn missing_record_at_store_claims_was_finished_by_another_worker() {
    let commit = [(Do::Handle, Saw::Accepted), (Do::Commit(V3), Saw::Committed(Claims::Missing))];
    let gone = [(Do::CheckIn, Saw::CheckedIn), (Do::StoreClaims, Saw::RecordGone)];
    path(AfterCommit, &[&fresh(V3), &commit, &gone], Do::Acknowledge(Duplicate));
}

#[test]
fn message_with_a_complete_record_is_resumed() {
    for check_in in [BeforeCommit, AfterCommit] {
        let found = [(READ_STATE, Saw::State(V3)), (Do::ReadRecord, Saw::Record(Claims::Stored))];
        path(check_in, &[&found, &FINISH], Do::Acknowledge(Resumed));
    }
}

#[test]
fn message_whose_record_lacks_claims_is_resumed() {
    // Also by a worker whose settings have the other timing.
    for check_in in [BeforeCommit, AfterCommit] {
        let found = [(READ_STATE, Saw::State(V3)), (Do::ReadRecord, Saw::Record(Claims::Missing))];
        path(check_in, &[&found, &STORE, &FINISH], Do::Acknowledge(Resumed));
    }
}

const MISSING: [(Do, Saw); 3] =
    [(READ_STATE, Saw::State(V3)), (Do::ReadRecord, Saw::NoRecord), (Do::ReadPayload, Saw::PossiblySettled)];

#[test]
fn duplicate_is_recognised_after_two_reads_of_the_record() {
    path(BeforeCommit, &[&MISSING, &[(Do::ReadRecord, Saw::NoRecord)]], Do::Acknowledge(Duplicate));
}

#[test]
fn message_with_a_record_and_no_payload_is_resumed() {
    let record = [(Do::ReadRecord, Saw::Record(Claims::Stored))];
    path(BeforeCommit, &[&MISSING, &record, &FINISH], Do::Acknowledge(Resumed));
    follow(BeforeCommit, WhenMissing::Park, &[&MISSING[..], &record, &FINISH].concat(), Do::Acknowledge(Resumed));
    let record = [(Do::ReadRecord, Saw::Record(Claims::Missing))];
    path(AfterCommit, &[&MISSING, &record, &STORE, &FINISH], Do::Acknowledge(Resumed));
}

#[test]
fn payload_missing_at_a_first_receive_parks_the_message() {
    let steps = [&MISSING[..], &[(Do::ReadRecord, Saw::NoRecord), (Do::Park, Saw::Parked)]].concat();
    follow(BeforeCommit, WhenMissing::Park, &steps, Do::Acknowledge(Parked));
}

#[test]
fn missing_payload_after_a_tried_commit_is_a_duplicate_under_any_policy() {
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
    // A message may be deferred after a commit of unknown outcome. If that commit applies, the copy
    // finds its record.
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Unknown), &fresh(V3), &deferred], Do::Acknowledge(Deferred));
}

#[test]
fn a_commit_that_is_too_large_is_parked_and_not_settled() {
    let parked = [(Do::Park, Saw::Parked)];
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Rejected), &parked], Do::Acknowledge(Parked));
}

#[test]
fn commit_that_did_not_apply_is_followed_by_new_reads() {
    for (check_in, handled) in [(BeforeCommit, 2), (AfterCommit, 1)] {
        for saw in [Saw::Lost, Saw::Unknown, Saw::NotTried] {
            let tried = commit(V3, saw);
            // With the check-in after the commit, the path to the commit has no check-in.
            let tried = [&tried[..1], &tried[3 - handled..]].concat();
            path(check_in, &[&fresh(V3), &tried, &fresh(V4)], Do::Handle);
        }
    }
}

#[test]
fn message_can_be_rejected_on_the_state_after_a_lost_commit() {
    let rejected = [(Do::Handle, Saw::Rejected), (Do::Park, Saw::Parked)];
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Lost), &fresh(V4), &rejected], Do::Acknowledge(Parked));
}

#[test]
fn lost_commit_and_a_record_mean_the_commit_had_applied() {
    let found = [(READ_STATE, Saw::State(V4)), (Do::ReadRecord, Saw::Record(Claims::Stored))];
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Lost), &found, &FINISH], Do::Acknowledge(Resumed));
}

#[test]
fn lost_commit_and_a_missing_payload_mean_another_worker_finished() {
    let done = [&MISSING[..], &[(Do::ReadRecord, Saw::NoRecord)]].concat();
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Lost), &done], Do::Acknowledge(Duplicate));
}

#[test]
fn unknown_commit_and_a_record_mean_the_commit_had_applied() {
    let found = [(READ_STATE, Saw::State(V4)), (Do::ReadRecord, Saw::Record(Claims::Stored))];
    path(BeforeCommit, &[&fresh(V3), &commit(V3, Saw::Unknown), &found, &FINISH], Do::Acknowledge(Resumed));
}

const EMBEDDED: [(Do, Saw); 2] = [(READ_STATE, Saw::State(V3)), (Do::ReadRecord, Saw::Embedded)];

#[test]
fn message_with_an_embedded_record_and_a_payload_is_resumed() {
    for check_in in [BeforeCommit, AfterCommit] {
        path(check_in, &[&EMBEDDED, &[(Do::ReadPayload, Saw::NotSettled)], &FINISH], Do::Acknowledge(Resumed));
    }
}

#[test]
fn message_with_an_embedded_record_and_no_payload_is_a_duplicate() {
    path(BeforeCommit, &[&EMBEDDED, &[(Do::ReadPayload, Saw::PossiblySettled)]], Do::Acknowledge(Duplicate));
    // Also where a missing payload parks, because the record proves that the message was processed.
    let steps = [&EMBEDDED[..], &[(Do::ReadPayload, Saw::PossiblySettled)]].concat();
    follow(BeforeCommit, WhenMissing::Park, &steps, Do::Acknowledge(Duplicate));
    path(BeforeCommit, &[&MISSING, &[(Do::ReadRecord, Saw::Embedded)]], Do::Acknowledge(Duplicate));
}

#[test]
fn message_with_a_retained_record_is_a_duplicate() {
    let retained = [(READ_STATE, Saw::State(V3)), (Do::ReadRecord, Saw::Retained)];
    path(BeforeCommit, &[&retained], Do::Acknowledge(Duplicate));
}

#[test]
fn next_step_of_a_fold_is_the_earliest_of_its_messages() {
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
fn only_acceptance_counts_on_a_stale_state() {
    for verdict in [Verdict::Rejected, Verdict::Deferred] {
        assert!(fold::counts(verdict, true) && !fold::counts(verdict, false), "{verdict:?}");
    }
    assert!(fold::counts(Verdict::Accepted, true) && fold::counts(Verdict::Accepted, false));
}

#[test]
fn result_of_a_commit_depends_on_the_size_of_its_group() {
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
    assert_eq!(missing, Saw::Committed(Claims::Missing), "each message of a group has its own claims");
}

#[test]
fn narrowed_group_continues_with_its_first_restarted_message() {
    let again = Some(Do::ReadState(Consistency::Strong));
    let wants = [Some(Do::Dispatch), again, None, again, again];
    assert_eq!(fold::set_aside(&wants), [3, 4]);
}
