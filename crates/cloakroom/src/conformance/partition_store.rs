//! Laws of [`PartitionStore`].

mod claims;
mod embedded;
mod failures;
mod items;
mod subject;
mod values;

use std::sync::atomic::AtomicU32;

use futures::future::join_all;
use serde_dynamo::Item;

use crate::{
    conformance::{
        law::laws,
        partition_store::subject::{Subject, TOMBSTONE, TrialCommit, text_item},
    },
    format::name::Partition,
    ports::{
        commit::{Committed, Conflict, StateWrite},
        partition_store::PartitionStore,
    },
};

use claims::*;
use embedded::*;
use failures::*;
use items::*;
use values::*;

/// Runs all laws of [`PartitionStore`].
///
/// # Panics
/// With the name of the first law that is broken, and what was seen.
pub async fn partition_store(store: &dyn PartitionStore, scope: &str) {
    let subject = |law| Subject { law, store, attempts: AtomicU32::new(0) };
    laws!(scope, subject;
        a_partition_never_written_is_at_version_0,
        what_was_committed_is_read,
        every_commit_moves_the_version_by_one,
        a_tombstone_hides_the_state_and_keeps_the_version,
        any_other_version_conflicts,
        a_record_conflicts_at_the_right_version,
        a_cleared_record_does_not_conflict,
        a_repeated_commit_is_not_applied_twice,
        of_concurrent_commits_on_one_version_one_is_applied,
        of_concurrent_commits_of_one_message_one_is_applied,
        a_clear_can_be_repeated,
        a_clear_touches_nothing_else,
        failures_are_kept_apart_from_state_and_record,
        endpoints_in_one_partition_are_apart,
        partitions_are_apart,
        claims_are_stored_once,
        claims_are_not_stored_where_there_are_some,
        claims_are_not_stored_without_a_record,
        of_concurrent_claims_the_first_are_kept,
        an_embedded_record_is_read_with_the_state,
        an_embedding_commit_demands_its_version,
        embedded_records_are_kept_as_they_are_given,
        a_commit_of_no_message_drops_records_and_keeps_the_version,
        what_does_not_fit_lies_beside,
        records_beside_the_state_are_known_to_be_there,
        many_embedded_records_come_back,
        several_messages_are_committed_together,
        a_record_is_retained_where_there_is_one,
        items_are_written_and_deleted_with_the_commit,
        a_conflict_writes_nothing,
        an_item_not_as_demanded_conflicts_by_name,
        item_of_another_endpoint_is_refused_by_name,
        shared_item_is_written_by_the_endpoints_that_share_it,
        every_type_of_attribute_survives,
        odd_keys_are_kept_apart,
        long_keys_are_kept_apart,
        a_hundred_items_are_written,
        too_many_items_are_refused_by_number,
        a_large_state_is_written,
        a_state_that_is_too_large_is_refused_by_name,
        an_item_that_is_too_large_is_refused_by_name,
        a_commit_that_is_too_large_is_refused,
        keys_that_are_too_long_are_refused_by_name,
        value_that_is_not_stored_is_refused_by_its_path,
        value_at_the_limits_is_stored,
        empty_key_is_refused,
    );
}

/// Nothing was ever written: version 0, no state, no record.
async fn a_partition_never_written_is_at_version_0(s: &Subject<'_>) {
    s.must_be_at(&s.attempt("m"), 0, None).await;
    s.must_have(&s.attempt("m"), None).await;
}

/// Reads that begin after the answer see state and record as they were given, and no other message's record.
async fn what_was_committed_is_read(s: &Subject<'_>) {
    let attempt = s.attempt("m");
    s.must_apply(&attempt).await;
    s.must_be_at(&attempt, 1, attempt.state()).await;
    s.must_have(&attempt, Some(&attempt.record)).await;
    s.must_have(&s.attempt("other"), None).await;
}

/// By exactly one, whatever the state becomes: another, the same, none, none again, one again.
async fn every_commit_moves_the_version_by_one(s: &Subject<'_>) {
    let same = StateWrite::Put(text_item("same"));
    let states = [same.clone(), same.clone(), TOMBSTONE, TOMBSTONE, same, StateWrite::Put(Item::default())];
    for (state, version) in states.into_iter().zip(0_u64..) {
        let attempt = TrialCommit { state, ..s.attempt(&version.to_string()) }.at(version);
        s.must_apply(&attempt).await;
        s.must_be_at(&attempt, version + 1, attempt.state()).await;
    }
}

/// Who read "absent" before the state was made and deleted must not commit on it.
async fn a_tombstone_hides_the_state_and_keeps_the_version(s: &Subject<'_>) {
    s.must_apply(&s.attempt("make")).await;
    let delete = TrialCommit { state: TOMBSTONE, ..s.attempt("delete") }.at(1);
    s.must_apply(&delete).await;
    s.must_be_at(&delete, 2, None).await;
    s.must_have(&delete, Some(&delete.record)).await;
    s.must_be_overtaken(&s.attempt("stale")).await;
    s.must_be_overtaken(&s.attempt("stale").at(1)).await;
    let again = s.attempt("make again").at(2);
    s.must_apply(&again).await;
    s.must_be_at(&again, 3, again.state()).await;
}

/// A version that is older, newer or absent conflicts, and then nothing is written.
async fn any_other_version_conflicts(s: &Subject<'_>) {
    s.must_be_overtaken(&s.attempt("never written").at(1)).await;
    s.must_be_at(&s.attempt("never written"), 0, None).await;
    let (first, second) = (s.attempt("1"), s.attempt("2").at(1));
    s.must_apply(&first).await;
    s.must_apply(&second).await;
    for version in [0, 1, 3, u64::MAX - 1] {
        let other = s.attempt("other").at(version);
        s.must_be_overtaken(&other).await;
        s.must_be_at(&second, 2, second.state()).await;
        s.must_have(&other, None).await;
    }
}

/// A message with a record has committed; it must not again, although its version is right.
async fn a_record_conflicts_at_the_right_version(s: &Subject<'_>) {
    let first = s.attempt("m");
    s.must_apply(&first).await;
    s.must_be_overtaken(&s.attempt("m").at(1)).await;
    s.must_be_at(&first, 1, first.state()).await;
    s.must_have(&first, Some(&first.record)).await;
}

/// Only records that are there count: what keeps a cleared message from committing is its payload.
async fn a_cleared_record_does_not_conflict(s: &Subject<'_>) {
    s.must_apply(&s.attempt("m")).await;
    s.clear(&s.attempt("m")).await;
    let again = s.attempt("m").at(1);
    s.must_apply(&again).await;
    s.must_be_at(&again, 2, again.state()).await;
}

/// The same commit with the same token may be answered either way, but counts once; also when its record was
/// cleared in between.
async fn a_repeated_commit_is_not_applied_twice(s: &Subject<'_>) {
    let attempt = s.attempt("m");
    s.must_apply(&attempt).await;
    for cleared in [false, true] {
        let again = s.commit(&attempt).await;
        let may_be = matches!(again, Committed::Applied(_) | Committed::Conflict(Conflict::Overtaken));
        s.law.check("the repeated commit", may_be, &again);
        s.must_be_at(&attempt, 1, attempt.state()).await;
        s.must_have(&attempt, Some(&attempt.record).filter(|_| !cleared)).await;
        if !cleared {
            s.clear(&attempt).await;
        }
    }
}

async fn one_of(s: &Subject<'_>, attempts: &[TrialCommit]) {
    let answers = join_all(attempts.iter().map(|attempt| s.commit(attempt))).await;
    let applied: Vec<_> = (0..attempts.len()).filter(|n| matches!(answers[*n], Committed::Applied(_))).collect();
    s.law.same("the number of commits applied", &applied.len(), &1);
    let winner = &attempts[applied[0]];
    s.must_be_at(winner, 1, winner.state()).await;
    s.must_have(winner, Some(&winner.record)).await;
    for loser in attempts.iter().filter(|attempt| attempt.message != winner.message) {
        s.must_have(loser, None).await;
    }
}

/// However many try: one is applied, the others leave nothing.
async fn of_concurrent_commits_on_one_version_one_is_applied(s: &Subject<'_>) {
    let attempts: Vec<_> = (0..8).map(|number| s.attempt(&number.to_string())).collect();
    one_of(s, &attempts).await;
}

/// So it is with attempts at one message: record and state are of the same attempt.
async fn of_concurrent_commits_of_one_message_one_is_applied(s: &Subject<'_>) {
    let attempts: Vec<_> = (0..8).map(|_| s.attempt("m")).collect();
    one_of(s, &attempts).await;
}

/// Clearing what is not there, or not there any more, is a success.
async fn a_clear_can_be_repeated(s: &Subject<'_>) {
    let attempt = s.attempt("m");
    s.clear(&attempt).await;
    s.must_be_at(&attempt, 0, None).await;
    s.must_apply(&attempt).await;
    s.clear(&attempt).await;
    s.clear(&attempt).await;
    s.must_have(&attempt, None).await;
}

/// Version, state and other records stay as they are.
async fn a_clear_touches_nothing_else(s: &Subject<'_>) {
    let (first, second) = (s.attempt("1"), s.attempt("2").at(1));
    s.must_apply(&first).await;
    s.must_apply(&second).await;
    s.clear(&first).await;
    s.must_have(&first, None).await;
    s.must_have(&second, Some(&second.record)).await;
    s.must_be_at(&second, 2, second.state()).await;
}

/// Two endpoints may share a table, partition keys, and even message ids.
async fn endpoints_in_one_partition_are_apart(s: &Subject<'_>) {
    let orders = s.attempt("m");
    let stock = TrialCommit { endpoint: "stock".to_owned(), ..s.attempt("m") };
    s.must_apply(&orders).await;
    s.must_be_at(&stock, 0, None).await;
    s.must_have(&stock, None).await;
    s.must_apply(&stock).await;
    s.must_be_at(&orders, 1, orders.state()).await;
    s.must_have(&orders, Some(&orders.record)).await;
    s.clear(&stock).await;
    s.must_have(&orders, Some(&orders.record)).await;
}

/// What is committed in one partition is not seen in another.
async fn partitions_are_apart(s: &Subject<'_>) {
    let here = s.attempt("m");
    let there = TrialCommit { partition: Partition::new(s.law.key("p2")), ..s.attempt("m") };
    s.must_apply(&here).await;
    s.must_be_at(&there, 0, None).await;
    s.must_have(&there, None).await;
    s.must_apply(&there).await;
    s.must_be_at(&here, 1, here.state()).await;
}
