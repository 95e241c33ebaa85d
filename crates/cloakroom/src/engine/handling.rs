//! Step 4: running the handlers, one after the other. Each runs on the state that the previous one
//! produced.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use serde_dynamo::Item;
use tracing::{Instrument as _, debug_span};

use crate::{
    engine::{
        attempt::Attempt,
        group::CommitGroup,
        handler_limit::HandlerLimit,
        not_finished::NotFinished,
        parking,
        settings::{FOLD_BYTES_MAX, FOLD_TIME_MAX},
    },
    error::{Error, ErrorKind},
    format::record::Record,
    handler::{
        error::{HandlerError, Refusal},
        registry::Handlers,
        tx::Tx,
    },
    observe::observer::{Event, Timed},
    ports::{commit::StateWrite, fifo::is_fifo},
    protocol::{
        self,
        fold::{self, Verdict},
        step::{Consistency, Do, Saw},
        version::Version,
    },
};

/// The result of a handler that did not fail.
enum HandlerResult {
    /// The handler accepts the message and produces this state.
    State(StateWrite),
    /// The handler rejects the message.
    Rejection,
    /// The handler defers the message.
    Deferral,
}

impl HandlerResult {
    const fn verdict(&self) -> Verdict {
        match self {
            Self::State(_) => Verdict::Accepted,
            Self::Rejection => Verdict::Rejected,
            Self::Deferral => Verdict::Deferred,
        }
    }
}

impl CommitGroup<'_> {
    pub(super) async fn handle(&mut self, handlers: Option<&Handlers>) {
        // Without handlers the group only finishes committed messages, and never reaches this step.
        let Some(handlers) = handlers else { return };
        let clock = &self.endpoint.ports.clock;
        let began = clock.monotonic();
        let (mut bytes, mut handled, mut is_full) = (0, 0_usize, false);
        self.accepted = 0;
        while let Some(number) = self.members.iter().position(|attempt| attempt.pending_step() == Some(Do::Handle)) {
            // This also applies after a failed handler that took long, so that the messages after it
            // have their results sooner.
            is_full |=
                handled > 0 && (bytes > FOLD_BYTES_MAX || clock.monotonic().saturating_sub(began) > FOLD_TIME_MAX);
            if is_full || self.is_ordered && self.members[..number].iter().any(Attempt::may_come_again) {
                self.move_to_waiting(number);
                continue;
            }
            let (state, version) = (self.state_for_next(), self.version.after(self.accepted));
            let result = self.members[number].handle(handlers, state, version, self.handler_limit).await;
            handled += 1;
            let result = match result {
                Ok(result) => result,
                Err(error) => {
                    self.members[number].saw(Err(error));
                    continue;
                }
            };
            let verdict = result.verdict();
            let is_effect = verdict == Verdict::Accepted;
            if is_effect && (self.writes_an_item_of_another(number) || self.has_too_many_items(number)) {
                is_full = true;
                continue;
            }
            if !fold::counts(verdict, self.accepted == 0 && !self.may_be_stale) {
                // On a FIFO queue the messages after this one wait until its handler has run again.
                is_full |= self.is_ordered;
                self.reads = Consistency::Strong;
                self.move_to_waiting(number);
                continue;
            }
            let attempt = &mut self.members[number];
            match result {
                HandlerResult::State(state) => {
                    bytes += attempt.record.unclaimed().map(str::len).sum::<usize>();
                    attempt.saw(Ok(Saw::Accepted));
                    (self.draft, self.accepted) = (Some(state), self.accepted + 1);
                }
                HandlerResult::Rejection => attempt.saw(Ok(Saw::Rejected)),
                HandlerResult::Deferral if attempt.may_be_copied() => attempt.saw(Ok(Saw::Deferred)),
                HandlerResult::Deferral => attempt.not_finished = Some(NotFinished::Deferred(attempt.deferral)),
            }
        }
    }

    fn state_for_next(&mut self) -> Option<Item> {
        let is_last = self.pending(Do::Handle).nth(1).is_none();
        match &self.draft {
            // No later handler needs the state, so it is moved.
            None if is_last => self.state.take(),
            None => self.state.clone(),
            Some(StateWrite::Put(item)) => Some(item.clone()),
            Some(StateWrite::Tombstone { .. }) => None,
        }
    }

    /// Returns whether a message writes an item that an earlier message of the fold writes, too. A
    /// transaction accepts each item once.
    fn writes_an_item_of_another(&self, number: usize) -> bool {
        let items = &self.members[number].items;
        let accepted =
            self.members[..number].iter().filter(|attempt| matches!(attempt.action, Do::CheckIn | Do::Commit(_)));
        accepted.flat_map(|attempt| &attempt.items).any(|item| items.iter().any(|own| own.sort_key == item.sort_key))
    }

    /// Returns whether a message and the earlier messages of the fold write more items than a
    /// transaction accepts.
    fn has_too_many_items(&self, number: usize) -> bool {
        if self.accepted == 0 {
            return false;
        }
        let settings = &self.endpoint.settings;
        let accepted =
            self.members[..number].iter().filter(|attempt| matches!(attempt.action, Do::CheckIn | Do::Commit(_)));
        let items: usize = accepted.map(|attempt| attempt.items.len()).sum();
        let records = if settings.embedding_limit() == 0 { self.accepted + 1 } else { 0 };
        1 + records + items + self.members[number].items.len() > self.endpoint.ports.limits.transaction_items_max
    }

    /// Moves a member to the next fold. It starts again, because its handler must run on the state
    /// of that time.
    fn move_to_waiting(&mut self, number: usize) {
        let attempt = self.members.remove(number);
        let (progress, action) = protocol::next(attempt.progress.restarted(), Saw::Delivery);
        self.waiting.push_back(Attempt { progress, action, ..attempt });
    }
}

impl Attempt<'_> {
    /// Returns whether the message is not finished, or may still remain unfinished because it must
    /// first be parked or sent again.
    fn may_come_again(&self) -> bool {
        self.not_finished.is_some() || matches!(self.action, Do::Park | Do::SendAgain)
    }

    /// Returns whether a deferred message is sent again. Otherwise it is given back: on a FIFO
    /// queue a copy would lose its place in the order, and without a known queue no copy can be
    /// sent.
    ///
    /// SUBTLE: (1) a copy of a deferred message is sent. (2) The delivery cannot be deleted, so it
    /// is received again. If each receive sent a copy, and the copies did the same, their number
    /// would double with each delay (`deferred_message_that_cannot_be_deleted_does_not_multiply`).
    fn may_be_copied(&self) -> bool {
        let receives = self.delivery.receive_count;
        let is_due = receives <= 1 || parking::is_due_for_copy(receives, self.endpoint.settings.attempts_max);
        is_due && self.queue.is_some_and(|queue| !is_fifo(queue))
    }

    /// Step 4a.
    pub(super) async fn send_again(&self) -> Result<Saw, Error> {
        let queue = self.queue.unwrap_or_default();
        parking::send_later(self.endpoint, self.delivery, queue, self.deferral).await?;
        Ok(Saw::SentAgain)
    }

    /// Runs the handler.
    async fn handle(
        &mut self,
        handlers: &Handlers,
        state: Option<Item>,
        version: Version,
        limit: HandlerLimit,
    ) -> Result<HandlerResult, Error> {
        let endpoint = self.endpoint;
        endpoint.observer.observe(Event::Handled);
        let process = self.span.clone();
        let span = debug_span!(parent: &process, "handle");
        let running = limit.run(&*endpoint.ports.clock, self.run_handler(handlers, state, version));
        let running = endpoint.timed(Timed::Handle, HandlerError::kind, running);
        match running.instrument(span).instrument(process).await {
            Ok(state) => {
                self.open_queues(handlers).await?;
                Ok(HandlerResult::State(state))
            }
            Err(HandlerError { reason, refusal: Refusal::Rejected }) => {
                self.reason = reason;
                Ok(HandlerResult::Rejection)
            }
            Err(HandlerError { refusal: Refusal::Deferred(delay), .. })
                if endpoint.is_too_old_in(&self.envelope, delay) =>
            {
                self.reason = "deferred until half the life of its payload was over (`payload_ttl_ms`)".to_owned();
                Ok(HandlerResult::Rejection)
            }
            Err(HandlerError { refusal: Refusal::Deferred(delay), .. }) => {
                self.deferral = delay;
                Ok(HandlerResult::Deferral)
            }
            Err(HandlerError { reason, refusal: Refusal::Failed }) => {
                Err(Error::new(ErrorKind::RetryMessage, reason).in_logs("the handler failed"))
            }
            Err(HandlerError { reason, refusal: Refusal::Misconfigured }) => Err(Error::misconfigured(reason)),
        }
    }

    /// Opens the queues of the outgoing messages. A queue that does not exist must be found before
    /// the commit, not after it.
    ///
    /// The queue of a route belongs to the configuration, so its absence parks no message. A queue
    /// for replies is named by the incoming message, so its absence is a fault of that message.
    async fn open_queues(&self, handlers: &Handlers) -> Result<(), Error> {
        for message in &self.record.messages {
            let Err(error) = self.endpoint.queue(&message.queue).await else { continue };
            let is_of_message = !error.may_be_repeated() && !handlers.have_route_to(&message.queue);
            return Err(Error::from(if is_of_message { error.caused_by_data() } else { error }));
        }
        Ok(())
    }

    async fn run_handler(
        &mut self,
        handlers: &Handlers,
        state: Option<Item>,
        version: Version,
    ) -> Result<StateWrite, HandlerError> {
        let endpoint = self.endpoint;
        let kind = self.envelope.kind.as_str();
        let handler = handlers.by_type.get(kind).ok_or_else(|| {
            let handled = handlers.by_type.keys();
            let name = &endpoint.name;
            HandlerError::reject(format!("endpoint `{name}` has no handler for `{kind}`; it handles {handled:?}"))
        })?;
        let now = endpoint.ports.clock.now();
        let mut tx = Tx::new(
            Arc::clone(&endpoint.name),
            Arc::clone(&handlers.routes),
            Arc::clone(&handlers.replies),
            Arc::clone(&self.envelope),
            version,
            now,
        );
        let running = AssertUnwindSafe(handler.call(state, &self.payload, &mut tx));
        let state = running.catch_unwind().await.map_err(|panic| {
            HandlerError::retry(format!("the handler of `{kind}` panicked: {}", panic_text(&*panic)))
        })??;
        if let Some(failure) = tx.failure.take() {
            return Err(failure);
        }
        let expires = now.after(Duration::from_millis(endpoint.settings.tombstone_ttl_ms));
        self.items = tx.items;
        self.record = Record { messages: tx.outgoing, settles: self.settles.clone(), ..Record::default() };
        crate::ports::limits::check_limits(&endpoint.ports.limits, &self.record).map_err(HandlerError::reject)?;
        Ok(if tx.deletes_state { StateWrite::Tombstone { expires } } else { StateWrite::Put(state) })
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
