//! Laws about storing claims in a record.

use futures::future::join_all;

use crate::{
    conformance::partition_store::subject::{Subject, TrialCommit},
    format::record::Record,
    ports::commit::ClaimsStored,
};

impl Subject<'_> {
    async fn store_claims(&self, attempt: &TrialCommit, record: &Record) -> ClaimsStored {
        self.law.ok("storing claims", self.store.store_claims(attempt.key(), record).await)
    }
}

/// The record becomes what was given. Who comes later is told what is there, and changes nothing.
pub(super) async fn claims_are_stored_once(s: &Subject<'_>) {
    let bodies = TrialCommit { record: s.record("bodies", 2), ..s.attempt("m") };
    s.must_apply(&bodies).await;
    s.must_have(&bodies, Some(&bodies.record)).await;
    let [first, second] = ["first", "second"].map(|who| bodies.record.clone().with_claims(s.claims(who)));
    s.law.same("the first", &s.store_claims(&bodies, &first).await, &ClaimsStored::Stored);
    s.must_have(&bodies, Some(&first)).await;
    let there = ClaimsStored::AlreadyThere(first.clone());
    s.law.same("the second", &s.store_claims(&bodies, &second).await, &there);
    s.must_have(&bodies, Some(&first)).await;
    s.must_be_at(&bodies, 1, bodies.state()).await;
}

/// A record that was committed with claims, or has no message that needs one, stays as it is.
pub(super) async fn claims_are_not_stored_where_there_are_some(s: &Subject<'_>) {
    let other = s.record("other", 2).with_claims(s.claims("other"));
    for (record, version) in [(s.attempt("x").record, 0), (Record::default(), 1)] {
        let attempt = TrialCommit { record, ..s.attempt(&version.to_string()) }.at(version);
        s.must_apply(&attempt).await;
        let there = ClaimsStored::AlreadyThere(attempt.record.clone());
        s.law.same("the answer", &s.store_claims(&attempt, &other).await, &there);
        s.must_have(&attempt, Some(&attempt.record)).await;
    }
}

/// A record that is gone must not come back, nor one come into being.
pub(super) async fn claims_are_not_stored_without_a_record(s: &Subject<'_>) {
    let bodies = TrialCommit { record: s.record("bodies", 2), ..s.attempt("m") };
    let claimed = bodies.record.clone().with_claims(s.claims("late"));
    s.law.same("before the commit", &s.store_claims(&bodies, &claimed).await, &ClaimsStored::Gone);
    s.must_have(&bodies, None).await;
    s.must_apply(&bodies).await;
    s.clear(&bodies).await;
    s.law.same("after the clear", &s.store_claims(&bodies, &claimed).await, &ClaimsStored::Gone);
    s.must_have(&bodies, None).await;
}

/// However many try: the claims of one are stored, and all the others are told those.
pub(super) async fn of_concurrent_claims_the_first_are_kept(s: &Subject<'_>) {
    let bodies = TrialCommit { record: s.record("bodies", 2), ..s.attempt("m") };
    s.must_apply(&bodies).await;
    let claimed: Vec<_> = (0..8).map(|who| bodies.record.clone().with_claims(s.claims(&who.to_string()))).collect();
    let answers = join_all(claimed.iter().map(|record| s.store_claims(&bodies, record))).await;
    let stored: Vec<_> = (0..8).filter(|who| answers[*who] == ClaimsStored::Stored).collect();
    s.law.same("the number of those who stored", &stored.len(), &1);
    let winner = &claimed[stored[0]];
    for (who, answer) in answers.iter().enumerate().filter(|(who, _)| *who != stored[0]) {
        s.law.same(&format!("answer {who}"), answer, &ClaimsStored::AlreadyThere(winner.clone()));
    }
    s.must_have(&bodies, Some(winner)).await;
}
