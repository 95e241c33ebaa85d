//! Laws about records in the state's item, about several in one commit, and about those that are retained.

use std::collections::BTreeMap;

use crate::{
    conformance::partition_store::subject::{Subject, TOMBSTONE, TrialCommit},
    format::{name::MessageId, record::Record, timestamp::Timestamp},
    ports::commit::{Commit, Committed, Conflict, Embedded, Placement, StateWrite},
    protocol::version::Version,
};

/// Large enough for all of these laws.
const ROOM: usize = 64 * 1024;

impl Subject<'_> {
    fn embedding(&self, message: &str) -> TrialCommit {
        TrialCommit { embedded_bytes_max: ROOM, ..self.attempt(message) }
    }

    async fn must_lie(&self, attempt: &TrialCommit, placement: Placement) {
        self.law.same("the commit", &self.commit(attempt).await, &Committed::Applied(placement));
    }

    async fn must_have_records(&self, TrialCommit { partition, endpoint, .. }: &TrialCommit, any: bool) {
        let seen = self.law.ok("looking for records", self.store.has_records(partition, endpoint).await);
        self.law.same("whether there are records beside the state", &seen, &any);
    }

    /// Demands these records in the state's item, and that they are all there are, or not.
    async fn must_hold(&self, attempt: &TrialCommit, records: &[(&MessageId, &Record)], is_complete: bool) {
        let records = records.iter().map(|(message, record)| ((*message).clone(), record.encode())).collect();
        let seen = self.read_state(attempt).await.embedded;
        self.law.same("the embedded records", &seen, &Embedded { records, is_complete, ..Embedded::default() });
    }
}

/// It is read with the state, of the same moment, and lies nowhere else.
pub(super) async fn an_embedded_record_is_read_with_the_state(s: &Subject<'_>) {
    let attempt = s.embedding("m");
    s.must_lie(&attempt, Placement::Embedded).await;
    s.must_be_at(&attempt, 1, attempt.state()).await;
    s.must_hold(&attempt, &[(&attempt.message, &attempt.record)], true).await;
    s.must_have(&attempt, None).await;
    // To clear what is not beside the state touches nothing.
    s.clear(&attempt).await;
    s.must_hold(&attempt, &[(&attempt.message, &attempt.record)], true).await;
}

/// Any other version conflicts, also where one put is all of the commit.
pub(super) async fn an_embedding_commit_demands_its_version(s: &Subject<'_>) {
    let first = s.embedding("1");
    s.must_lie(&first, Placement::Embedded).await;
    for version in [0, 2, u64::MAX / 4] {
        let late = s.embedding("late").at(version);
        s.law.same("the commit", &s.commit(&late).await, &Committed::Conflict(Conflict::Overtaken));
        s.must_hold(&first, &[(&first.message, &first.record)], true).await;
    }
}

/// Whoever embeds a record where the state is absent asks for them: those of this endpoint in this partition, and no
/// others.
pub(super) async fn records_beside_the_state_are_known_to_be_there(s: &Subject<'_>) {
    let attempt = s.attempt("m");
    let other = TrialCommit { endpoint: "orders-2".to_owned(), ..s.attempt("other") };
    let embedded = TrialCommit { endpoint: "stock".to_owned(), ..s.embedding("embedded") };
    for (count, commit) in [&other, &embedded].into_iter().enumerate() {
        s.must_have_records(&attempt, false).await;
        let placement = if count == 0 { Placement::Separate } else { Placement::Embedded };
        s.must_lie(commit, placement).await;
    }
    s.must_have_records(&attempt, false).await;
    s.must_have_records(&embedded, false).await;
    s.must_apply(&attempt).await;
    s.must_have_records(&attempt, true).await;
    s.clear(&attempt).await;
    s.must_have_records(&attempt, false).await;
    s.must_have_records(&other, true).await;
}

/// The next commit decides which go on; also when it deletes the state, and when its own record goes beside.
pub(super) async fn embedded_records_are_kept_as_they_are_given(s: &Subject<'_>) {
    let (first, second) = (s.embedding("1"), s.embedding("2").at(1));
    s.must_lie(&first, Placement::Embedded).await;
    let kept = s.read_state(&first).await.embedded;
    let second = TrialCommit { kept: kept.clone(), state: TOMBSTONE, ..second };
    s.must_lie(&second, Placement::Embedded).await;
    let both = [(&first.message, &first.record), (&second.message, &second.record)];
    s.must_hold(&first, &both, true).await;
    s.must_be_at(&first, 2, None).await;
    // What cannot be read here may be read by a later version.
    let odd = BTreeMap::from([(MessageId::from("odd"), "of a later version".to_owned())]);
    let beside = TrialCommit { kept: Embedded { records: odd.clone(), ..Embedded::default() }, ..s.attempt("3") }.at(2);
    s.must_lie(&beside, Placement::Separate).await;
    let seen = s.read_state(&beside).await.embedded;
    s.law.same("after a commit beside", &seen, &Embedded { records: odd, is_complete: false, ..Embedded::default() });
    s.must_have(&beside, Some(&beside.record)).await;
    // That there is one beside stays known.
    let dropped = Embedded { records: BTreeMap::new(), ..seen };
    let fourth = TrialCommit { kept: dropped, ..s.embedding("4") }.at(3);
    s.must_lie(&fourth, Placement::Embedded).await;
    s.must_hold(&fourth, &[(&fourth.message, &fourth.record)], false).await;
}

/// A sweep writes the state as it is, without a record that nobody can ask for. The version is a condition, and stays.
pub(super) async fn a_commit_of_no_message_drops_records_and_keeps_the_version(s: &Subject<'_>) {
    let first = s.embedding("1");
    s.must_lie(&first, Placement::Embedded).await;
    let kept = s.read_state(&first).await.embedded;
    let second = TrialCommit { kept, ..s.embedding("2").at(1) };
    s.must_lie(&second, Placement::Embedded).await;
    let mut kept = s.read_state(&second).await.embedded;
    kept.records.remove(&first.message);
    for (expected, must) in
        [(1, Committed::Conflict(Conflict::Overtaken)), (2, Committed::Applied(Placement::Embedded))]
    {
        let commit = Commit {
            partition: &second.partition,
            endpoint: &second.endpoint,
            expected: Version::new(expected),
            state: &second.state,
            records: &[],
            kept: &kept,
            embedded_bytes_max: ROOM,
            items: &[],
            token: "a sweep",
        };
        s.law.same("the commit", &s.law.ok("the commit", s.store.commit(commit).await), &must);
    }
    s.must_be_at(&second, 2, second.state()).await;
    s.must_hold(&second, &[(&second.message, &second.record)], true).await;
}

/// Where the item would become too large the record lies beside it, and that is told.
pub(super) async fn what_does_not_fit_lies_beside(s: &Subject<'_>) {
    let attempt = TrialCommit { embedded_bytes_max: 64, ..s.attempt("m") };
    s.must_lie(&attempt, Placement::Separate).await;
    s.must_hold(&attempt, &[], false).await;
    s.must_have(&attempt, Some(&attempt.record)).await;
}

/// Many and large ones come back as they were, however they are stored.
pub(super) async fn many_embedded_records_come_back(s: &Subject<'_>) {
    let record =
        |number: u32| (MessageId::new(format!("{number} ä€😀\n\"")), s.record(&format!("{number}"), 2).encode());
    let kept = Embedded { records: (0..40).map(record).collect(), ..Embedded::default() };
    let attempt = TrialCommit { kept: kept.clone(), embedded_bytes_max: 256 * 1024, ..s.attempt("m") };
    s.must_lie(&attempt, Placement::Embedded).await;
    let mut must = kept;
    must.records.insert(attempt.message.clone(), attempt.record.encode());
    s.law.same("the embedded records", &s.read_state(&attempt).await.embedded, &must);
}

/// All or none, and the version moves by one for each; in either placement.
pub(super) async fn several_messages_are_committed_together(s: &Subject<'_>) {
    for (embedded_bytes_max, endpoint) in [(0, "beside"), (ROOM, "embedded")] {
        let place = |attempt: TrialCommit| TrialCommit { endpoint: endpoint.to_owned(), embedded_bytes_max, ..attempt };
        let (one, other) = (place(s.attempt("1")), place(s.attempt("2")));
        let together = TrialCommit { further: vec![(other.message.clone(), other.record.clone())], ..one.clone() };
        s.law.check("the commit", matches!(s.commit(&together).await, Committed::Applied(_)), &together);
        s.must_be_at(&one, 2, one.state()).await;
        let third = place(s.attempt("3")).at(2);
        let late =
            TrialCommit { further: vec![(third.message.clone(), third.record.clone())], ..place(s.attempt("4")) };
        for version in [0, 1, 3] {
            s.must_be_overtaken(&late.clone().at(version)).await;
        }
        let is_beside = embedded_bytes_max == 0;
        for attempt in [&one, &other] {
            s.must_have(attempt, Some(&attempt.record).filter(|_| is_beside)).await;
        }
        let read = s.read_state(&one).await;
        s.law.same("the version", &read.version, &Version::new(2));
        s.law.same("the number of embedded records", &read.embedded.records.len(), &if is_beside { 0 } else { 2 });
        s.must_have(&third, None).await;
    }
}

/// A retained record takes the place of the one that was there; where there is none, none comes into being.
pub(super) async fn a_record_is_retained_where_there_is_one(s: &Subject<'_>) {
    let attempt = TrialCommit {
        state: StateWrite::Put(crate::conformance::partition_store::subject::text_item("x")),
        ..s.attempt("m")
    };
    let retained = Record { messages: Vec::new(), is_retained: true, ..attempt.record.clone() };
    let expires = Timestamp::from_millis(4_000_000_000_000);
    s.law.ok("retaining none", s.store.retain(attempt.key(), &retained, expires).await);
    s.must_have(&attempt, None).await;
    s.must_apply(&attempt).await;
    s.law.ok("retaining", s.store.retain(attempt.key(), &retained, expires).await);
    s.must_have(&attempt, Some(&retained)).await;
    s.must_be_overtaken(&s.attempt("m").at(1)).await;
    s.must_be_at(&attempt, 1, attempt.state()).await;
}
