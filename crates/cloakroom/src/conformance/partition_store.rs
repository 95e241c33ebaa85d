//! Laws of [`PartitionStore`].

mod claims;
mod embedded;
mod failures;
mod items;
mod values;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
};

use futures::future::join_all;

use super::{Law, laws};
use crate::{
    AttributeValue, Claim, Commit, Committed, Conflict, Embedded, Envelope, Item, ItemWrite, MessageId, Outgoing,
    Partition, PartitionStore, Placement, Record, RecordKey, StateRead, StateWrite, Timestamp, Version,
    protocol::Consistency, schema::derived_id,
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

struct Subject<'a> {
    law: Law<'a>,
    store: &'a dyn PartitionStore,
    attempts: AtomicU32,
}

/// A commit that owns what it refers to.
#[derive(Clone, Debug)]
struct Attempt {
    partition: Partition,
    endpoint: String,
    message: MessageId,
    expected: Version,
    state: StateWrite,
    record: Record,
    /// Other messages that are committed with it.
    further: Vec<(MessageId, Record)>,
    kept: Embedded,
    embedded_bytes_max: usize,
    items: Vec<ItemWrite>,
    token: String,
}

impl Attempt {
    fn key(&self) -> RecordKey<'_> {
        RecordKey { partition: &self.partition, endpoint: &self.endpoint, message: &self.message }
    }

    fn at(self, version: u64) -> Self {
        Self { expected: Version::new(version), ..self }
    }

    fn state(&self) -> Option<&Item> {
        match &self.state {
            StateWrite::Put(item) => Some(item),
            StateWrite::Tombstone { .. } => None,
        }
    }
}

fn text_item(text: &str) -> Item {
    Item::from(HashMap::from([("text".to_owned(), AttributeValue::S(text.to_owned()))]))
}

const TOMBSTONE: StateWrite = StateWrite::Tombstone { expires: Timestamp::from_millis(4_000_000_000_000) };

impl Subject<'_> {
    /// An attempt at the first version of this law's partition, unlike any other attempt.
    fn attempt(&self, message: &str) -> Attempt {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed).to_string();
        let message = MessageId::new(self.law.key(message));
        let record = self.record(&format!("{message} {number}"), 2);
        Attempt {
            partition: Partition::new(self.law.key("p")),
            endpoint: "orders".to_owned(),
            expected: Version::ABSENT,
            state: StateWrite::Put(text_item(&format!("{message} {number}"))),
            record: record.with_claims(self.claims(&number)),
            further: Vec::new(),
            kept: Embedded::default(),
            embedded_bytes_max: 0,
            items: Vec::new(),
            token: derived_id(&[message.as_str(), &number]).to_string(),
            message,
        }
    }

    /// A record with this many messages that still carry their bodies.
    fn record(&self, text: &str, count: usize) -> Record {
        let outgoing = |number| Outgoing {
            queue: "stock".to_owned(),
            envelope: Envelope::new(format!("{text} {number} ä€😀").into(), "orders", "stock.reserve", "sku#1".into()),
            delay_s: number,
            body: Some(format!("{{\"text\": \"{text}\"}}")),
            group: Some(self.law.key("p")),
            extensions: serde_json::Map::new(),
        };
        let numbers = 0..u32::try_from(count).unwrap_or(u32::MAX);
        Record { messages: numbers.map(outgoing).collect(), ..Record::default() }
    }

    fn claims(&self, what: &str) -> Vec<Claim> {
        let claim = |n| Claim::from_random(derived_id(&[&self.law.key(what), n]).as_u128(), "laws");
        ["1", "2"].map(claim).into()
    }

    /// Commits; again while the store is certain that nothing happened.
    async fn commit(&self, attempt: &Attempt) -> Committed {
        const TRIES_MAX: u32 = 100;
        let Attempt { partition, endpoint, message, expected, state, record, kept, items, token, .. } = attempt;
        let further = attempt.further.iter().map(|(message, record)| (message, record));
        let records: Vec<_> = std::iter::once((message, record)).chain(further).collect();
        let commit = Commit {
            partition,
            endpoint,
            expected: *expected,
            state,
            records: &records,
            kept,
            embedded_bytes_max: attempt.embedded_bytes_max,
            items,
            token,
        };
        let mut tried = 1;
        loop {
            match self.store.commit(commit).await {
                Err(error) if error.may_be_repeated() && !error.may_have_happened() && tried < TRIES_MAX => tried += 1,
                result => return self.law.ok("a commit", result),
            }
        }
    }

    async fn must_apply(&self, attempt: &Attempt) {
        self.law.same("the commit", &self.commit(attempt).await, &Committed::Applied(Placement::Beside));
    }

    async fn must_be_overtaken(&self, attempt: &Attempt) {
        self.law.same("the commit", &self.commit(attempt).await, &Committed::Conflict(Conflict::Overtaken));
    }

    async fn read_state(&self, Attempt { partition, endpoint, .. }: &Attempt) -> StateRead {
        self.law.ok("reading the state", self.store.read_state(partition, endpoint, Consistency::Strong).await)
    }

    /// Demands a version and a state of the attempt's endpoint and partition.
    async fn must_be_at(&self, attempt: &Attempt, version: u64, state: Option<&Item>) {
        let seen = self.read_state(attempt).await;
        self.law.same("the state", &(seen.version, seen.state.as_ref()), &(Version::new(version), state));
    }

    /// Demands a record, or none, for the attempt's message.
    async fn must_have(&self, attempt: &Attempt, record: Option<&Record>) {
        let seen = self.law.ok("reading the record", self.store.read_record(attempt.key()).await);
        self.law.same("the record", &seen.as_ref(), &record);
    }

    async fn clear(&self, attempt: &Attempt) {
        self.law.ok("clearing the record", self.store.clear(attempt.key()).await);
    }
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
        let attempt = Attempt { state, ..s.attempt(&version.to_string()) }.at(version);
        s.must_apply(&attempt).await;
        s.must_be_at(&attempt, version + 1, attempt.state()).await;
    }
}

/// Who read "absent" before the state was made and deleted must not commit on it.
async fn a_tombstone_hides_the_state_and_keeps_the_version(s: &Subject<'_>) {
    s.must_apply(&s.attempt("make")).await;
    let delete = Attempt { state: TOMBSTONE, ..s.attempt("delete") }.at(1);
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

async fn one_of(s: &Subject<'_>, attempts: &[Attempt]) {
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
    let stock = Attempt { endpoint: "stock".to_owned(), ..s.attempt("m") };
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
    let there = Attempt { partition: Partition::new(s.law.key("p2")), ..s.attempt("m") };
    s.must_apply(&here).await;
    s.must_be_at(&there, 0, None).await;
    s.must_have(&there, None).await;
    s.must_apply(&there).await;
    s.must_be_at(&here, 1, here.state()).await;
}
