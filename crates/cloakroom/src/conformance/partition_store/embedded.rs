//! Laws about embedded records, about several messages in one commit, and about retained records.

use std::collections::BTreeMap;

use crate::{
    conformance::partition_store::subject::{Subject, TOMBSTONE, TrialCommit},
    format::{name::MessageId, record::Record, timestamp::Timestamp},
    ports::commit::{Commit, Committed, Conflict, Embedded, Placement, StateWrite},
    protocol::version::Version,
};

/// Embedded bytes, large enough for all of these laws.
const BYTES_MAX: usize = 64 * 1024;

impl Subject<'_> {
    fn embedding(&self, message: &str) -> TrialCommit {
        TrialCommit { embedded_bytes_max: BYTES_MAX, ..self.attempt(message) }
    }

    async fn must_apply_with(&self, attempt: &TrialCommit, placement: Placement) {
        self.law.same("the commit", &self.commit(attempt).await, &Committed::Applied(placement));
    }

    async fn must_have_records(&self, TrialCommit { partition, endpoint, .. }: &TrialCommit, any: bool) {
        let seen = self.law.ok("looking for records", self.store.has_records(partition, endpoint).await);
        self.law.same("whether there are separate records", &seen, &any);
    }

    /// Requires these embedded records, and whether they are complete.
    async fn must_embed(&self, attempt: &TrialCommit, records: &[(&MessageId, &Record)], is_complete: bool) {
        let records = records.iter().map(|(message, record)| ((*message).clone(), record.encode())).collect();
        let seen = self.read_state(attempt).await.embedded;
        self.law.same("the embedded records", &seen, &Embedded { records, is_complete, ..Embedded::default() });
    }
}

/// An embedded record is read together with the state, and is stored nowhere else.
pub(super) async fn an_embedded_record_is_read_with_the_state(s: &Subject<'_>) {
    let attempt = s.embedding("m");
    s.must_apply_with(&attempt, Placement::Embedded).await;
    s.must_have_state(&attempt, 1, attempt.state()).await;
    s.must_embed(&attempt, &[(&attempt.message, &attempt.record)], true).await;
    s.must_have_record(&attempt, None).await;
    // Clearing a message without a separate record changes nothing.
    s.clear(&attempt).await;
    s.must_embed(&attempt, &[(&attempt.message, &attempt.record)], true).await;
}

/// A commit on another version conflicts, also if the commit is a single put.
pub(super) async fn embedding_commit_on_another_version_conflicts(s: &Subject<'_>) {
    let first = s.embedding("1");
    s.must_apply_with(&first, Placement::Embedded).await;
    for version in [0, 2, u64::MAX / 4] {
        let late = s.embedding("late").at(version);
        s.law.same("the commit", &s.commit(&late).await, &Committed::Conflict(Conflict::Overtaken));
        s.must_embed(&first, &[(&first.message, &first.record)], true).await;
    }
}

/// A worker that embeds a record without a state asks whether this endpoint has separate records in
/// this partition.
pub(super) async fn separate_records_of_an_endpoint_are_reported(s: &Subject<'_>) {
    let attempt = s.attempt("m");
    let other = TrialCommit { endpoint: "orders-2".to_owned(), ..s.attempt("other") };
    let embedded = TrialCommit { endpoint: "stock".to_owned(), ..s.embedding("embedded") };
    for (count, commit) in [&other, &embedded].into_iter().enumerate() {
        s.must_have_records(&attempt, false).await;
        let placement = if count == 0 { Placement::Separate } else { Placement::Embedded };
        s.must_apply_with(commit, placement).await;
    }
    s.must_have_records(&attempt, false).await;
    s.must_have_records(&embedded, false).await;
    s.must_apply(&attempt).await;
    s.must_have_records(&attempt, true).await;
    s.clear(&attempt).await;
    s.must_have_records(&attempt, false).await;
    s.must_have_records(&other, true).await;
}

/// The next commit decides which embedded records are kept. This also holds if it deletes the
/// state, or if its own record is separate.
pub(super) async fn commit_keeps_the_embedded_records_that_it_is_given(s: &Subject<'_>) {
    let (first, second) = (s.embedding("1"), s.embedding("2").at(1));
    s.must_apply_with(&first, Placement::Embedded).await;
    let kept = s.read_state(&first).await.embedded;
    let second = TrialCommit { kept: kept.clone(), state: TOMBSTONE, ..second };
    s.must_apply_with(&second, Placement::Embedded).await;
    let both = [(&first.message, &first.record), (&second.message, &second.record)];
    s.must_embed(&first, &both, true).await;
    s.must_have_state(&first, 2, None).await;
    // A later version may be able to read records that this version cannot read.
    let odd = BTreeMap::from([(MessageId::from("odd"), "of a later version".to_owned())]);
    let separate =
        TrialCommit { kept: Embedded { records: odd.clone(), ..Embedded::default() }, ..s.attempt("3") }.at(2);
    s.must_apply_with(&separate, Placement::Separate).await;
    let seen = s.read_state(&separate).await.embedded;
    s.law.same(
        "the embedded records after a commit with a separate record",
        &seen,
        &Embedded { records: odd, is_complete: false, ..Embedded::default() },
    );
    s.must_have_record(&separate, Some(&separate.record)).await;
    // The item keeps the information that there is a separate record.
    let dropped = Embedded { records: BTreeMap::new(), ..seen };
    let fourth = TrialCommit { kept: dropped, ..s.embedding("4") }.at(3);
    s.must_apply_with(&fourth, Placement::Embedded).await;
    s.must_embed(&fourth, &[(&fourth.message, &fourth.record)], false).await;
}

/// A sweep writes the state unchanged, without a record that no worker can look up. The version is
/// a condition, and it stays.
pub(super) async fn commit_without_a_message_drops_records_and_keeps_the_version(s: &Subject<'_>) {
    let first = s.embedding("1");
    s.must_apply_with(&first, Placement::Embedded).await;
    let kept = s.read_state(&first).await.embedded;
    let second = TrialCommit { kept, ..s.embedding("2").at(1) };
    s.must_apply_with(&second, Placement::Embedded).await;
    let mut kept = s.read_state(&second).await.embedded;
    kept.records.remove(&first.message);
    for (expected, result) in
        [(1, Committed::Conflict(Conflict::Overtaken)), (2, Committed::Applied(Placement::Embedded))]
    {
        let commit = Commit {
            partition: &second.partition,
            endpoint: &second.endpoint,
            expected: Version::new(expected),
            state: &second.state,
            records: &[],
            kept: &kept,
            embedded_bytes_max: BYTES_MAX,
            items: &[],
            token: "a sweep",
        };
        s.law.same("the commit", &s.law.ok("the commit", s.store.commit(commit).await), &result);
    }
    s.must_have_state(&second, 2, second.state()).await;
    s.must_embed(&second, &[(&second.message, &second.record)], true).await;
}

/// If the item would become too large, the record is stored separately, and the result shows that.
pub(super) async fn record_that_does_not_fit_is_stored_separately(s: &Subject<'_>) {
    let attempt = TrialCommit { embedded_bytes_max: 64, ..s.attempt("m") };
    s.must_apply_with(&attempt, Placement::Separate).await;
    s.must_embed(&attempt, &[], false).await;
    s.must_have_record(&attempt, Some(&attempt.record)).await;
}

/// Many and large embedded records are read unchanged.
pub(super) async fn many_embedded_records_are_read_unchanged(s: &Subject<'_>) {
    let record =
        |number: u32| (MessageId::new(format!("{number} ä€😀\n\"")), s.record(&format!("{number}"), 2).encode());
    let kept = Embedded { records: (0..40).map(record).collect(), ..Embedded::default() };
    let attempt = TrialCommit { kept: kept.clone(), embedded_bytes_max: 256 * 1024, ..s.attempt("m") };
    s.must_apply_with(&attempt, Placement::Embedded).await;
    let mut expected = kept;
    expected.records.insert(attempt.message.clone(), attempt.record.encode());
    s.law.same("the embedded records", &s.read_state(&attempt).await.embedded, &expected);
}

/// All messages are committed or none, in both placements. The version increases by one for each
/// message.
pub(super) async fn several_messages_are_committed_together(s: &Subject<'_>) {
    for (embedded_bytes_max, endpoint) in [(0, "separate"), (BYTES_MAX, "embedded")] {
        let place = |attempt: TrialCommit| TrialCommit { endpoint: endpoint.to_owned(), embedded_bytes_max, ..attempt };
        let (one, other) = (place(s.attempt("1")), place(s.attempt("2")));
        let together = TrialCommit { further: vec![(other.message.clone(), other.record.clone())], ..one.clone() };
        s.law.check("the commit", matches!(s.commit(&together).await, Committed::Applied(_)), &together);
        s.must_have_state(&one, 2, one.state()).await;
        let third = place(s.attempt("3")).at(2);
        let late =
            TrialCommit { further: vec![(third.message.clone(), third.record.clone())], ..place(s.attempt("4")) };
        for version in [0, 1, 3] {
            s.must_conflict(&late.clone().at(version)).await;
        }
        let is_separate = embedded_bytes_max == 0;
        for attempt in [&one, &other] {
            s.must_have_record(attempt, Some(&attempt.record).filter(|_| is_separate)).await;
        }
        let read = s.read_state(&one).await;
        s.law.same("the version", &read.version, &Version::new(2));
        s.law.same("the number of embedded records", &read.embedded.records.len(), &if is_separate { 0 } else { 2 });
        s.must_have_record(&third, None).await;
    }
}

/// A retained record replaces the existing record. Without an existing record, none is created.
pub(super) async fn only_an_existing_record_is_retained(s: &Subject<'_>) {
    let attempt = TrialCommit {
        state: StateWrite::Put(crate::conformance::partition_store::subject::text_item("x")),
        ..s.attempt("m")
    };
    let retained = Record { messages: Vec::new(), is_retained: true, ..attempt.record.clone() };
    let expires = Timestamp::from_millis(4_000_000_000_000);
    s.law.ok("retaining none", s.store.retain(attempt.key(), &retained, expires).await);
    s.must_have_record(&attempt, None).await;
    s.must_apply(&attempt).await;
    s.law.ok("retaining", s.store.retain(attempt.key(), &retained, expires).await);
    s.must_have_record(&attempt, Some(&retained)).await;
    s.must_conflict(&s.attempt("m").at(1)).await;
    s.must_have_state(&attempt, 1, attempt.state()).await;
}
