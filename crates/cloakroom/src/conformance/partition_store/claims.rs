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

/// The first call stores its claims. A later call returns the stored record and changes nothing.
pub(super) async fn claims_are_stored_once(s: &Subject<'_>) {
    let bodies = TrialCommit { record: s.record("bodies", 2), ..s.attempt("m") };
    s.must_apply(&bodies).await;
    s.must_have_record(&bodies, Some(&bodies.record)).await;
    let [first, second] = ["first", "second"].map(|name| bodies.record.clone().with_claims(s.claims(name)));
    s.law.same("the first", &s.store_claims(&bodies, &first).await, &ClaimsStored::Stored);
    s.must_have_record(&bodies, Some(&first)).await;
    let there = ClaimsStored::AlreadyThere(first.clone());
    s.law.same("the second", &s.store_claims(&bodies, &second).await, &there);
    s.must_have_record(&bodies, Some(&first)).await;
    s.must_have_state(&bodies, 1, bodies.state()).await;
}

/// A record that already has claims, or needs none, stays unchanged.
pub(super) async fn existing_claims_are_not_replaced(s: &Subject<'_>) {
    let other = s.record("other", 2).with_claims(s.claims("other"));
    for (record, version) in [(s.attempt("x").record, 0), (Record::default(), 1)] {
        let attempt = TrialCommit { record, ..s.attempt(&version.to_string()) }.at(version);
        s.must_apply(&attempt).await;
        let there = ClaimsStored::AlreadyThere(attempt.record.clone());
        s.law.same("the result", &s.store_claims(&attempt, &other).await, &there);
        s.must_have_record(&attempt, Some(&attempt.record)).await;
    }
}

/// Claims do not create a record, neither before the commit nor after the clear.
pub(super) async fn claims_are_not_stored_without_a_record(s: &Subject<'_>) {
    let bodies = TrialCommit { record: s.record("bodies", 2), ..s.attempt("m") };
    let claimed = bodies.record.clone().with_claims(s.claims("late"));
    s.law.same("before the commit", &s.store_claims(&bodies, &claimed).await, &ClaimsStored::Gone);
    s.must_have_record(&bodies, None).await;
    s.must_apply(&bodies).await;
    s.clear(&bodies).await;
    s.law.same("after the clear", &s.store_claims(&bodies, &claimed).await, &ClaimsStored::Gone);
    s.must_have_record(&bodies, None).await;
}

/// The claims of one call are stored. All other calls return these claims.
pub(super) async fn only_the_first_of_concurrent_claims_are_stored(s: &Subject<'_>) {
    let bodies = TrialCommit { record: s.record("bodies", 2), ..s.attempt("m") };
    s.must_apply(&bodies).await;
    let claimed: Vec<_> =
        (0..8).map(|number| bodies.record.clone().with_claims(s.claims(&number.to_string()))).collect();
    let results = join_all(claimed.iter().map(|record| s.store_claims(&bodies, record))).await;
    let stored: Vec<_> = (0..8).filter(|number| results[*number] == ClaimsStored::Stored).collect();
    s.law.same("the number of calls that stored their claims", &stored.len(), &1);
    let winner = &claimed[stored[0]];
    for (number, result) in results.iter().enumerate().filter(|(number, _)| *number != stored[0]) {
        s.law.same(&format!("result {number}"), result, &ClaimsStored::AlreadyThere(winner.clone()));
    }
    s.must_have_record(&bodies, Some(winner)).await;
}
