//! Laws about the number of failures.

use crate::{conformance::partition_store::subject::Subject, format::timestamp::Timestamp, ports::commit::Failures};

/// A number of failures is read as it was written. It does not change state and record, nor do they
/// change it.
pub(super) async fn failures_are_independent_of_state_and_record(s: &Subject<'_>) {
    let (attempt, other) = (s.attempt("m"), s.attempt("other"));
    s.must_have_failures(&attempt, None).await;
    s.must_apply(&attempt).await;
    for count in [1, 2] {
        let failures = Failures { count, expires: Timestamp::from_millis(7_000_000_000_000) };
        s.write_failures(&attempt, Some(failures)).await;
        s.must_have_failures(&attempt, Some(failures)).await;
        s.must_have_failures(&other, None).await;
        s.must_have_state(&attempt, 1, attempt.state()).await;
        s.must_have_record(&attempt, Some(&attempt.record)).await;
    }
    for _ in 0..2 {
        s.write_failures(&attempt, None).await;
        s.must_have_failures(&attempt, None).await;
        s.must_have_record(&attempt, Some(&attempt.record)).await;
    }
}

impl Subject<'_> {
    async fn must_have_failures(
        &self,
        attempt: &crate::conformance::partition_store::subject::TrialCommit,
        failures: Option<Failures>,
    ) {
        let seen = self.law.ok("reading the failures", self.store.read_failures(attempt.key()).await);
        self.law.same("the failures", &seen, &failures);
    }

    async fn write_failures(
        &self,
        attempt: &crate::conformance::partition_store::subject::TrialCommit,
        failures: Option<Failures>,
    ) {
        self.law.ok("writing the failures", self.store.write_failures(attempt.key(), failures).await);
    }
}
