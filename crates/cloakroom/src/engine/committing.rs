//! Steps 4b to 5b: outgoing payloads, and the commit.

use std::mem;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tracing::{Instrument as _, debug_span};

use super::{Desk, Fold};
use crate::{
    ClaimsStored, Commit, Committed, Conflict, Error, ErrorKind, Event, ItemWrite, Placement, PortError, Retry,
    Settles, Timed, Version,
    protocol::{Claims, Do, Saw},
};

/// How many payloads of one message are written at a time.
const CHECK_INS_MAX: usize = 16;

impl Fold<'_> {
    /// Commits what all have made of the state together.
    ///
    /// SUBTLE: the state holds the effect of each whose handler has run. If one of them has dropped out since, it would be committed without
    /// its record, and again with it; so the others begin anew (`who_drops_out_of_a_fold_takes_its_effect_along`).
    pub(super) async fn commit(&mut self, expected: Version) {
        let step = Do::Commit(expected);
        let count = self.wanting(step).count();
        let Some(state) = self.draft.take().filter(|_| count == self.accepted) else {
            return self.tell_all(step, count, || Ok(Saw::Lost));
        };
        // Not before: a handler may take long. Not at each try: they have one token, so they must be the same.
        let now = self.endpoint.ports.clock.now().as_millis();
        self.desks.iter_mut().filter(|desk| desk.wants() == Some(step)).for_each(|desk| {
            desk.record.committed_ms = Some(now);
        });
        let endpoint = self.endpoint;
        let result = {
            let records: Vec<_> = self.wanting(step).map(|desk| (&desk.identity, &desk.record)).collect();
            let items: Vec<ItemWrite> = self.wanting(step).flat_map(|desk| desk.items.iter().cloned()).collect();
            let may_embed = self.wanting(step).all(Desk::may_be_embedded);
            let commit = Commit {
                partition: &self.partition,
                endpoint: &endpoint.name,
                expected,
                state: &state,
                records: &records,
                kept: &self.embedded,
                embedded_bytes_max: if may_embed { endpoint.settings.embedded_bytes_max() } else { 0 },
                items: &items,
                token: &format!("{:032x}", endpoint.ports.random.bits()),
            };
            let process = self.span(step);
            let span = debug_span!(parent: &process, "commit", version = expected.after(count).number());
            let committing = endpoint.call_until_unknown(|| endpoint.ports.store.commit(commit));
            endpoint.timed(Timed::Commit, PortError::kind, committing).instrument(span).instrument(process).await
        };
        self.committed(step, count, result);
    }

    /// What it means for each of them how the commit ended.
    fn committed(&mut self, step: Do, count: usize, result: Result<Committed, PortError>) {
        let endpoint = self.endpoint;
        match result {
            Ok(Committed::Applied(placement)) => {
                for desk in self.desks.iter_mut().filter(|desk| desk.wants() == Some(step)) {
                    desk.placement = placement;
                    let saw = Saw::Committed(desk.record.claims());
                    desk.saw(Ok(saw));
                }
            }
            // Whose fault it is will show when they are committed one by one. Nothing was written.
            Ok(Committed::TooLarge(_) | Committed::Refused(_)) if count > 1 => {
                self.tell_all(step, count, || Ok(Saw::Lost));
                self.narrow();
            }
            Ok(Committed::Conflict(Conflict::Item(_))) if count > 1 => {
                endpoint.observer.observe(Event::Conflict);
                self.tell_all(step, count, || Ok(Saw::Unknown));
                self.narrow();
            }
            Ok(Committed::TooLarge(error)) => self.reject(step, &error.to_string()),
            Ok(Committed::Refused(reason)) => self.reject(step, &reason),
            Ok(Committed::Conflict(conflict)) => {
                tracing::debug!(parent: &self.span(step), "commit lost");
                endpoint.observer.observe(Event::Conflict);
                let saw = match conflict {
                    Conflict::Overtaken => Saw::Lost,
                    // SUBTLE: the version stands, so a repetition of this commit by the store's client could still
                    // apply once the item changes. Its claims must stay, as after an unknown outcome.
                    Conflict::Item(_) => Saw::Unknown,
                };
                self.another_pass(step, count, saw, &conflict, Retry::Conflict);
            }
            Err(error) if error.may_have_happened() => {
                tracing::debug!(parent: &self.span(step), error = error.loggable(), "commit unknown");
                endpoint.observer.observe(Event::UnknownCommit);
                self.another_pass(step, count, Saw::Unknown, &Conflict::Overtaken, Retry::UnknownOutcome);
            }
            Err(error) => self.tell_all(step, count, || Err(error.clone().into())),
        }
    }

    fn tell_all(&mut self, step: Do, count: usize, saw: impl Fn() -> Result<Saw, Error>) {
        self.tell(step, std::iter::repeat_with(saw).take(count));
    }

    fn reject(&mut self, step: Do, reason: &str) {
        for desk in self.desks.iter_mut().filter(|desk| desk.wants() == Some(step)) {
            reason.clone_into(&mut desk.reason);
            desk.saw(Ok(Saw::Rejected));
        }
    }

    /// From here on one goes after the other. Those who are to begin anew wait for the first of them.
    fn narrow(&mut self) {
        self.is_narrow = true;
        let is_anew = |desk: &Desk<'_>| matches!(desk.wants(), Some(Do::ReadState(_)));
        let first = self.desks.iter().position(is_anew).map_or(0, |first| first + 1);
        let (waiting, going): (Vec<_>, Vec<_>) = self.desks.drain(first..).partition(is_anew);
        self.desks.extend(going);
        waiting.into_iter().rev().for_each(|desk| self.aside.push_front(desk));
    }

    /// Counts a pass that did not commit.
    fn another_pass(&mut self, step: Do, count: usize, saw: Saw, conflict: &Conflict, reason: Retry) {
        self.passes += 1;
        if self.passes < self.endpoint.settings.passes_max {
            self.endpoint.observer.retried(reason);
            return self.tell_all(step, count, || Ok(saw));
        }
        let (partition, passes) = (self.partition.clone(), self.passes);
        self.tell_all(step, count, || {
            Err(match conflict {
                Conflict::Overtaken => Error::new(
                    ErrorKind::AwaitService,
                    format!("partition `{partition}` is too busy: {passes} commits in a row did not apply"),
                )
                .in_logs("the partition is too busy"),
                Conflict::Item(item) => Error::new(
                    ErrorKind::RetryMessage,
                    format!("item `{item}` of partition `{partition}` is not as the handler demands"),
                )
                .in_logs("an item is not as the handler demands"),
            })
        });
    }
}

impl Desk<'_> {
    /// Whether its record may lie in the state's item. One that has still to change, or to stay, lies beside it.
    fn may_be_embedded(&self) -> bool {
        self.record.claims() == Claims::Stored && !matches!(self.settles, Some(Settles::Retained(_)))
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

    /// Deletes the payloads of an attempt that is known not to have committed. What cannot be deleted expires.
    pub(super) async fn withdraw(&mut self) -> Saw {
        let payloads = &self.endpoint.ports.payloads;
        let claims = self.record.messages.iter().filter_map(|message| message.envelope.dataref.as_ref());
        futures::future::join_all(claims.map(|claim| payloads.delete(claim))).await;
        Saw::Withdrawn
    }

    pub(super) async fn store_claims(&mut self) -> Result<Saw, Error> {
        let stored = self.endpoint.call(|| self.endpoint.ports.store.store_claims(self.key(), &self.record)).await?;
        match stored {
            ClaimsStored::Stored => Ok(Saw::ClaimsStored),
            ClaimsStored::AlreadyThere(record) => {
                self.record = record;
                // Whoever stored them may have sent them, too.
                self.resumed = true;
                Ok(Saw::ClaimsStored)
            }
            ClaimsStored::Gone => Ok(Saw::RecordGone),
        }
    }

    /// Step 8. An embedded record is left to a later commit; a retained one stays.
    pub(super) async fn clear(&mut self) -> Result<Saw, Error> {
        let is_left = self.placement == Placement::Embedded || matches!(self.settles, Some(Settles::Retained(_)));
        if !is_left {
            self.endpoint.call(|| self.endpoint.ports.store.clear(self.key())).await?;
        }
        Ok(Saw::Cleared)
    }
}
