//! Steps 4b to 5b: checking in outgoing payloads, and the commit.

use std::mem;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tracing::{Instrument as _, debug_span};

use crate::{
    engine::{attempt::Attempt, group::CommitGroup},
    error::{Error, ErrorKind, PortError, Retry},
    format::record::Settles,
    observe::observer::{Event, Timed},
    ports::{
        commit::{ClaimsStored, Commit, Committed, Conflict, ItemWrite, Placement},
        placement,
    },
    protocol::{
        embedding,
        fold::{self, CommitResult},
        step::{Claims, Do, Saw},
        version::Version,
    },
};

/// The maximum number of payloads of one message that are written at the same time.
const CHECK_INS_MAX: usize = 16;

impl CommitGroup<'_> {
    /// Commits the state that the members have produced together, with their records. Tries nothing
    /// if a member has left the group although its effect is part of the state.
    pub(super) async fn commit(&mut self, expected: Version) {
        let step = Do::Commit(expected);
        let count = self.pending(step).count();
        let Some(state) = self.draft.take().filter(|_| count == self.accepted) else {
            return self.report_to_all(step, count, || {
                Ok(fold::after_commit(CommitResult::NotTried, Claims::Stored, count, true))
            });
        };
        // The time is set once for the commit: not earlier, because a handler may take long, and
        // not at each try, because the tries have one token and must therefore be equal.
        let now = self.endpoint.ports.clock.now().as_millis();
        self.members.iter_mut().filter(|attempt| attempt.pending_step() == Some(step)).for_each(|attempt| {
            let is_by_id = matches!(attempt.record.settles, Some(Settles::Entry(_)));
            attempt.record.committed_ms = Some(now);
            attempt.record.id_ttl_ms = is_by_id.then_some(attempt.endpoint.settings.tombstone_ttl_ms);
        });
        let endpoint = self.endpoint;
        let (result, is_crowded) = {
            let records: Vec<_> = self.pending(step).map(|attempt| (&attempt.identity, &attempt.record)).collect();
            let items: Vec<ItemWrite> = self.pending(step).flat_map(|attempt| attempt.items.iter().cloned()).collect();
            let may_embed = self.pending(step).all(Attempt::may_be_embedded);
            let commit = Commit {
                partition: &self.partition,
                endpoint: &endpoint.name,
                expected,
                state: &state,
                records: &records,
                kept: &self.embedded,
                embedded_bytes_max: if may_embed { endpoint.settings.embedding_limit() } else { 0 },
                items: &items,
                token: &format!("{:032x}", endpoint.ports.random.bits()),
            };
            let process = self.span(step);
            let span = debug_span!(parent: &process, "commit", version = expected.after(count).number());
            let committing = endpoint.call_until_unknown(|| endpoint.ports.store.commit(commit));
            let result = endpoint.timed(Timed::Commit, PortError::kind, committing);
            let result = result.instrument(span).instrument(process).await;
            let is_too_large = matches!(result, Ok(Committed::TooLarge(_)));
            (result, is_too_large && placement::is_crowded(&commit, endpoint.ports.limits.item_bytes_max))
        };
        match result {
            // The next delivery checks the other records again, and drops those that are settled.
            Ok(Committed::TooLarge(_)) if is_crowded && count == 1 => {
                let error = self.crowded();
                self.report_to_all(step, count, || Err(error.clone()));
            }
            Err(error) if !error.may_have_happened() => self.report_to_all(step, count, || Err(error.clone().into())),
            result => self.committed(step, count, result),
        }
    }

    /// Reports the result of the commit to each member.
    fn committed(&mut self, step: Do, count: usize, result: Result<Committed, PortError>) {
        let (mut placement, mut reason, mut item) = (None, None, None);
        let ended = match result {
            Ok(Committed::Applied(where_records_lie)) => {
                placement = Some(where_records_lie);
                CommitResult::Applied
            }
            Ok(Committed::TooLarge(error)) => {
                reason = Some(error.to_string());
                CommitResult::Refused
            }
            Ok(Committed::Refused(text)) => {
                reason = Some(text);
                CommitResult::Refused
            }
            Ok(Committed::Conflict(Conflict::Overtaken)) => CommitResult::Overtaken,
            Ok(Committed::Conflict(Conflict::Item(sort_key))) => {
                item = Some(sort_key);
                CommitResult::ItemConflict
            }
            Err(error) => {
                tracing::debug!(parent: &self.span(step), error = error.loggable(), "outcome of commit unknown");
                CommitResult::Unknown
            }
        };
        if let Some(error) = self.count_pass(step, count, ended, item) {
            return self.report_to_all(step, count, || Err(error.clone()));
        }
        for attempt in self.members.iter_mut().filter(|attempt| attempt.pending_step() == Some(step)) {
            attempt.placement = placement.unwrap_or(attempt.placement);
            attempt.reason = reason.clone().unwrap_or_default();
            let saw = fold::after_commit(ended, attempt.record.claims(), count, !self.may_be_stale);
            attempt.saw(Ok(saw));
        }
        if fold::narrows(ended, count) {
            self.narrow();
        }
    }

    /// Counts a commit that did not apply. Returns an error if there were too many in a row.
    fn count_pass(&mut self, step: Do, count: usize, ended: CommitResult, item: Option<String>) -> Option<Error> {
        let observer = &self.endpoint.observer;
        let reason = match ended {
            CommitResult::Overtaken | CommitResult::ItemConflict => {
                tracing::debug!(parent: &self.span(step), "commit lost");
                observer.observe(Event::Conflict);
                Retry::Conflict
            }
            CommitResult::Unknown => {
                observer.observe(Event::UnknownCommit);
                Retry::UnknownOutcome
            }
            CommitResult::NotTried | CommitResult::Applied | CommitResult::Refused => return None,
        };
        // The members continue one by one, and each has the full number of passes.
        if fold::narrows(ended, count) {
            return None;
        }
        self.passes += 1;
        if self.passes < self.endpoint.settings.passes_max {
            observer.retried(reason);
            return None;
        }
        let (partition, passes) = (&self.partition, self.passes);
        Some(match item {
            None => {
                let text = format!("partition `{partition}` is too busy: {passes} commits in a row did not apply");
                Error::new(ErrorKind::AwaitService, text).in_logs("the partition is too busy")
            }
            Some(item) => {
                let text = format!("item `{item}` of partition `{partition}` is not as the handler demands");
                Error::new(ErrorKind::RetryMessage, text).in_logs("an item is not as the handler demands")
            }
        })
    }

    /// Returns the error for a state that fits into its item, but not together with the embedded
    /// records of other messages.
    fn crowded(&self) -> Error {
        let (partition, others) = (&self.partition, self.embedded.records.len());
        let text = format!(
            "the state of partition `{partition}` does not fit into its item together with the embedded records of {others} \
             other messages. The message is retried until they are settled. If their messages are gone, run a sweep, \
             which finishes them"
        );
        Error::new(ErrorKind::AwaitService, text).in_logs("embedded records of other messages fill the state's item")
    }

    /// Reports the same observation to `count` members at this step.
    pub(super) fn report_to_all(&mut self, step: Do, count: usize, saw: impl Fn() -> Result<Saw, Error>) {
        self.report(step, std::iter::repeat_with(saw).take(count));
    }

    /// Makes the members continue one by one. Of those that start again, all except the first wait.
    fn narrow(&mut self) {
        self.is_one_by_one = true;
        let wants: Vec<_> = self.members.iter().map(Attempt::pending_step).collect();
        for position in fold::set_aside(&wants).into_iter().rev() {
            let attempt = self.members.remove(position);
            self.waiting.push_front(attempt);
        }
    }
}

impl Attempt<'_> {
    fn may_be_embedded(&self) -> bool {
        embedding::may_embed(self.record.claims(), matches!(self.settles, Some(Settles::Retained(_))))
    }

    pub(super) async fn check_in(&mut self) -> Result<Saw, Error> {
        let endpoint = self.endpoint;
        let mut bodies: Vec<_> = self.record.unclaimed().map(|body| Bytes::copy_from_slice(body.as_bytes())).collect();
        let claims = if bodies.len() > 1 {
            let check_ins: Vec<_> = bodies.into_iter().map(|body| endpoint.check_in(body)).collect();
            stream::iter(check_ins).buffered(CHECK_INS_MAX).try_collect().await?
        } else {
            match bodies.pop() {
                Some(body) => vec![endpoint.check_in(body).await?],
                None => return Ok(Saw::CheckedIn),
            }
        };
        self.record = mem::take(&mut self.record).with_claims(claims);
        Ok(Saw::CheckedIn)
    }

    pub(super) async fn store_claims(&mut self) -> Result<Saw, Error> {
        self.record.checked_in_ms = Some(self.endpoint.ports.clock.now().as_millis());
        let stored = self.endpoint.call(|| self.endpoint.ports.store.store_claims(self.key(), &self.record)).await?;
        match stored {
            ClaimsStored::Stored => Ok(Saw::ClaimsStored),
            ClaimsStored::AlreadyThere(record) => {
                self.record = record;
                // The worker that stored the claims may also have sent the messages.
                self.resumed = true;
                Ok(Saw::ClaimsStored)
            }
            ClaimsStored::Gone => Ok(Saw::RecordGone),
        }
    }

    /// Step 8. A later commit drops an embedded record, and a retained record stays.
    pub(super) async fn clear(&mut self) -> Result<Saw, Error> {
        let is_left = self.placement == Placement::Embedded || matches!(self.settles, Some(Settles::Retained(_)));
        if !is_left {
            self.endpoint.call(|| self.endpoint.ports.store.clear(self.key())).await?;
        }
        Ok(Saw::Cleared)
    }
}
