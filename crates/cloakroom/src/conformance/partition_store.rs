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
/// A law is broken. The message has its name and the value that it found.
pub async fn partition_store(store: &dyn PartitionStore, scope: &str) {
    let subject = |law| Subject { law, store, attempts: AtomicU32::new(0) };
    laws!(scope, subject;
        a_partition_never_written_is_at_version_0,
        committed_state_and_record_are_read,
        every_commit_increases_the_version_by_one,
        a_tombstone_hides_the_state_and_keeps_the_version,
        commit_on_another_version_conflicts,
        commit_of_a_message_with_a_record_conflicts,
        a_cleared_record_does_not_conflict,
        a_repeated_commit_is_not_applied_twice,
        only_one_of_concurrent_commits_on_one_version_is_applied,
        only_one_of_concurrent_commits_of_one_message_is_applied,
        a_clear_can_be_repeated,
        clear_changes_only_its_record,
        failures_are_independent_of_state_and_record,
        endpoints_in_one_partition_are_independent,
        partitions_are_independent,
        claims_are_stored_once,
        existing_claims_are_not_replaced,
        claims_are_not_stored_without_a_record,
        only_the_first_of_concurrent_claims_are_stored,
        an_embedded_record_is_read_with_the_state,
        embedding_commit_on_another_version_conflicts,
        commit_keeps_the_embedded_records_that_it_is_given,
        commit_without_a_message_drops_records_and_keeps_the_version,
        record_that_does_not_fit_is_stored_separately,
        separate_records_of_an_endpoint_are_reported,
        many_embedded_records_are_read_unchanged,
        several_messages_are_committed_together,
        only_an_existing_record_is_retained,
        items_are_written_and_deleted_with_the_commit,
        a_conflict_writes_nothing,
        failed_item_condition_conflicts_and_names_the_item,
        refusal_of_the_item_of_another_endpoint_names_both,
        shared_item_is_written_by_the_endpoints_that_share_it,
        every_type_of_attribute_is_read_unchanged,
        unusual_keys_are_distinct,
        long_keys_are_distinct,
        a_hundred_items_are_written,
        refusal_of_too_many_items_names_their_number,
        a_large_state_is_written,
        refusal_of_a_too_large_state_names_its_key,
        refusal_of_a_too_large_item_names_its_key,
        a_commit_that_is_too_large_is_refused,
        refusal_of_a_too_long_key_names_the_key,
        refusal_of_an_unsupported_value_names_its_path,
        value_at_the_limits_is_stored,
        empty_key_is_refused,
    );
}

/// A partition that was never written has version 0, no state and no record.
async fn a_partition_never_written_is_at_version_0(s: &Subject<'_>) {
    s.must_have_state(&s.attempt("m"), 0, None).await;
    s.must_have_record(&s.attempt("m"), None).await;
}

/// A read that begins after the commit returned finds the state and the record unchanged, and no
/// record of another message.
async fn committed_state_and_record_are_read(s: &Subject<'_>) {
    let attempt = s.attempt("m");
    s.must_apply(&attempt).await;
    s.must_have_state(&attempt, 1, attempt.state()).await;
    s.must_have_record(&attempt, Some(&attempt.record)).await;
    s.must_have_record(&s.attempt("other"), None).await;
}

/// The version increases by exactly one for every new state: another, the same, none, none again,
/// one again.
async fn every_commit_increases_the_version_by_one(s: &Subject<'_>) {
    let same = StateWrite::Put(text_item("same"));
    let states = [same.clone(), same.clone(), TOMBSTONE, TOMBSTONE, same, StateWrite::Put(Item::default())];
    for (state, version) in states.into_iter().zip(0_u64..) {
        let attempt = TrialCommit { state, ..s.attempt(&version.to_string()) }.at(version);
        s.must_apply(&attempt).await;
        s.must_have_state(&attempt, version + 1, attempt.state()).await;
    }
}

/// A worker that read "absent" before the state was created and deleted must not commit on it.
async fn a_tombstone_hides_the_state_and_keeps_the_version(s: &Subject<'_>) {
    s.must_apply(&s.attempt("make")).await;
    let delete = TrialCommit { state: TOMBSTONE, ..s.attempt("delete") }.at(1);
    s.must_apply(&delete).await;
    s.must_have_state(&delete, 2, None).await;
    s.must_have_record(&delete, Some(&delete.record)).await;
    s.must_conflict(&s.attempt("stale")).await;
    s.must_conflict(&s.attempt("stale").at(1)).await;
    let again = s.attempt("make again").at(2);
    s.must_apply(&again).await;
    s.must_have_state(&again, 3, again.state()).await;
}

/// A commit on an older, a newer or an absent version conflicts and writes nothing.
async fn commit_on_another_version_conflicts(s: &Subject<'_>) {
    s.must_conflict(&s.attempt("never written").at(1)).await;
    s.must_have_state(&s.attempt("never written"), 0, None).await;
    let (first, second) = (s.attempt("1"), s.attempt("2").at(1));
    s.must_apply(&first).await;
    s.must_apply(&second).await;
    for version in [0, 1, 3, u64::MAX - 1] {
        let other = s.attempt("other").at(version);
        s.must_conflict(&other).await;
        s.must_have_state(&second, 2, second.state()).await;
        s.must_have_record(&other, None).await;
    }
}

/// A message that has a record is committed. It must not commit again, although its version
/// matches.
async fn commit_of_a_message_with_a_record_conflicts(s: &Subject<'_>) {
    let first = s.attempt("m");
    s.must_apply(&first).await;
    s.must_conflict(&s.attempt("m").at(1)).await;
    s.must_have_state(&first, 1, first.state()).await;
    s.must_have_record(&first, Some(&first.record)).await;
}

/// A cleared record does not cause a conflict. The missing payload prevents a second commit of its
/// message.
async fn a_cleared_record_does_not_conflict(s: &Subject<'_>) {
    s.must_apply(&s.attempt("m")).await;
    s.clear(&s.attempt("m")).await;
    let again = s.attempt("m").at(1);
    s.must_apply(&again).await;
    s.must_have_state(&again, 2, again.state()).await;
}

/// A repeated commit with the same token may report either result, but it applies once. This also
/// holds if its record was cleared in between.
async fn a_repeated_commit_is_not_applied_twice(s: &Subject<'_>) {
    let attempt = s.attempt("m");
    s.must_apply(&attempt).await;
    for cleared in [false, true] {
        let again = s.commit(&attempt).await;
        let is_allowed = matches!(again, Committed::Applied(_) | Committed::Conflict(Conflict::Overtaken));
        s.law.check("the repeated commit must be applied or overtaken", is_allowed, &again);
        s.must_have_state(&attempt, 1, attempt.state()).await;
        s.must_have_record(&attempt, Some(&attempt.record).filter(|_| !cleared)).await;
        if !cleared {
            s.clear(&attempt).await;
        }
    }
}

async fn must_apply_one(s: &Subject<'_>, attempts: &[TrialCommit]) {
    let results = join_all(attempts.iter().map(|attempt| s.commit(attempt))).await;
    let applied: Vec<_> = (0..attempts.len()).filter(|n| matches!(results[*n], Committed::Applied(_))).collect();
    s.law.same("the number of applied commits", &applied.len(), &1);
    let winner = &attempts[applied[0]];
    s.must_have_state(winner, 1, winner.state()).await;
    s.must_have_record(winner, Some(&winner.record)).await;
    for loser in attempts.iter().filter(|attempt| attempt.message != winner.message) {
        s.must_have_record(loser, None).await;
    }
}

/// Exactly one commit is applied, and the others leave no data.
async fn only_one_of_concurrent_commits_on_one_version_is_applied(s: &Subject<'_>) {
    let attempts: Vec<_> = (0..8).map(|number| s.attempt(&number.to_string())).collect();
    must_apply_one(s, &attempts).await;
}

/// This also holds for attempts at one message: record and state are from the same attempt.
async fn only_one_of_concurrent_commits_of_one_message_is_applied(s: &Subject<'_>) {
    let attempts: Vec<_> = (0..8).map(|_| s.attempt("m")).collect();
    must_apply_one(s, &attempts).await;
}

/// Clearing a record that does not exist, or does not exist any more, succeeds.
async fn a_clear_can_be_repeated(s: &Subject<'_>) {
    let attempt = s.attempt("m");
    s.clear(&attempt).await;
    s.must_have_state(&attempt, 0, None).await;
    s.must_apply(&attempt).await;
    s.clear(&attempt).await;
    s.clear(&attempt).await;
    s.must_have_record(&attempt, None).await;
}

/// A clear leaves the version, the state and other records unchanged.
async fn clear_changes_only_its_record(s: &Subject<'_>) {
    let (first, second) = (s.attempt("1"), s.attempt("2").at(1));
    s.must_apply(&first).await;
    s.must_apply(&second).await;
    s.clear(&first).await;
    s.must_have_record(&first, None).await;
    s.must_have_record(&second, Some(&second.record)).await;
    s.must_have_state(&second, 2, second.state()).await;
}

/// Two endpoints may share a table, partition keys, and even message ids.
async fn endpoints_in_one_partition_are_independent(s: &Subject<'_>) {
    let orders = s.attempt("m");
    let stock = TrialCommit { endpoint: "stock".to_owned(), ..s.attempt("m") };
    s.must_apply(&orders).await;
    s.must_have_state(&stock, 0, None).await;
    s.must_have_record(&stock, None).await;
    s.must_apply(&stock).await;
    s.must_have_state(&orders, 1, orders.state()).await;
    s.must_have_record(&orders, Some(&orders.record)).await;
    s.clear(&stock).await;
    s.must_have_record(&orders, Some(&orders.record)).await;
}

/// A commit in one partition is not visible in another.
async fn partitions_are_independent(s: &Subject<'_>) {
    let here = s.attempt("m");
    let there = TrialCommit { partition: Partition::new(s.law.key("p2")), ..s.attempt("m") };
    s.must_apply(&here).await;
    s.must_have_state(&there, 0, None).await;
    s.must_have_record(&there, None).await;
    s.must_apply(&there).await;
    s.must_have_state(&here, 1, here.state()).await;
}
