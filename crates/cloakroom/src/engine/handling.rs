//! Step 4: the handlers, one after the other, each on the state that the one before it left.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use serde_dynamo::Item;
use tracing::{Instrument as _, debug_span};

use crate::{
    engine::{attempt::Attempt, group::CommitGroup, handler_limit::HandlerLimit, not_finished::NotFinished, parking},
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

/// How much the messages of a fold may send, and how long their handlers may take, before the rest has to wait for the next.
const FOLD_BYTES_MAX: usize = 256 * 1024;
const FOLD_TIME_MAX: Duration = Duration::from_secs(1);

/// What a handler has made of a message.
enum Made {
    /// It accepts the message, and leaves the state so.
    State(StateWrite),
    /// It rejects the message.
    Rejection,
    /// It wants the message later.
    Deferral,
}

impl Made {
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
        // Without handlers the protocol is followed to finish what was committed, and never comes here.
        let Some(handlers) = handlers else { return };
        let clock = &self.endpoint.ports.clock;
        let began = clock.monotonic();
        let (mut bytes, mut handled, mut is_full) = (0, 0_usize, false);
        self.accepted = 0;
        while let Some(number) = self.members.iter().position(|attempt| attempt.wants() == Some(Do::Handle)) {
            // Also behind a handler that failed after a long time: the messages behind it have their results sooner.
            is_full |=
                handled > 0 && (bytes > FOLD_BYTES_MAX || clock.monotonic().saturating_sub(began) > FOLD_TIME_MAX);
            if is_full || self.is_ordered && self.members[..number].iter().any(Attempt::may_come_again) {
                self.set_aside(number);
                continue;
            }
            let (state, version) = (self.left_by_the_last(), self.version.after(self.accepted));
            let result = self.members[number].handle(handlers, state, version, self.handler_limit).await;
            handled += 1;
            let made = match result {
                Ok(made) => made,
                Err(error) => {
                    self.members[number].saw(Err(error));
                    continue;
                }
            };
            let verdict = made.verdict();
            let is_effect = verdict == Verdict::Accepted;
            if is_effect && (self.writes_what_another_does(number) || self.has_too_many_items(number)) {
                is_full = true;
                continue;
            }
            if !fold::counts(verdict, self.accepted == 0 && !self.is_late) {
                // On a FIFO queue those behind it wait until it is asked again.
                is_full |= self.is_ordered;
                self.reads = Consistency::Strong;
                self.set_aside(number);
                continue;
            }
            let attempt = &mut self.members[number];
            match made {
                Made::State(state) => {
                    bytes += attempt.record.unclaimed().map(str::len).sum::<usize>();
                    attempt.saw(Ok(Saw::Accepted));
                    (self.draft, self.accepted) = (Some(state), self.accepted + 1);
                }
                Made::Rejection => attempt.saw(Ok(Saw::Rejected)),
                Made::Deferral if attempt.may_be_copied() => attempt.saw(Ok(Saw::Deferred)),
                Made::Deferral => attempt.not_finished = Some(NotFinished::Deferred(attempt.deferral)),
            }
        }
    }

    fn left_by_the_last(&mut self) -> Option<Item> {
        let is_last = self.wanting(Do::Handle).nth(1).is_none();
        match &self.draft {
            // Nobody needs it any more.
            None if is_last => self.state.take(),
            None => self.state.clone(),
            Some(StateWrite::Put(item)) => Some(item.clone()),
            Some(StateWrite::Tombstone { .. }) => None,
        }
    }

    /// Whether a message and one before it in the fold write one item, which a transaction takes once.
    fn writes_what_another_does(&self, number: usize) -> bool {
        let items = &self.members[number].items;
        let accepted =
            self.members[..number].iter().filter(|attempt| matches!(attempt.action, Do::CheckIn | Do::Commit(_)));
        accepted.flat_map(|attempt| &attempt.items).any(|item| items.iter().any(|own| own.sort_key == item.sort_key))
    }

    /// Whether a message and those before it in the fold write more items than a transaction takes.
    fn has_too_many_items(&self, number: usize) -> bool {
        if self.accepted == 0 {
            return false;
        }
        let settings = &self.endpoint.settings;
        let accepted =
            self.members[..number].iter().filter(|attempt| matches!(attempt.action, Do::CheckIn | Do::Commit(_)));
        let items: usize = accepted.map(|attempt| attempt.items.len()).sum();
        let records = if settings.embedded_bytes_max() == 0 { self.accepted + 1 } else { 0 };
        1 + records + items + self.members[number].items.len() > self.endpoint.ports.limits.transaction_items_max
    }

    /// Its turn comes with the next fold. It begins anew: the state that it would be handled on is another one by then.
    fn set_aside(&mut self, number: usize) {
        let attempt = self.members.remove(number);
        let (progress, action) = protocol::next(attempt.progress.restarted(), Saw::Delivery);
        self.aside.push_back(Attempt { progress, action, ..attempt });
    }
}

impl Attempt<'_> {
    /// Whether it is not finished, or may turn out not to be before it has an effect.
    fn may_come_again(&self) -> bool {
        self.not_finished.is_some() || matches!(self.action, Do::Park | Do::SendAgain)
    }

    /// Whether a deferred message is sent again. Otherwise it is given back: on a FIFO queue a copy would lose its place, and an
    /// unknown queue takes none.
    ///
    /// SUBTLE: a delivery that comes again although its copy was sent, because nobody can delete it, must not send one each
    /// time: the copies do the same, and there would be twice as many after each delay
    /// (`deferred_message_that_cannot_be_deleted_does_not_multiply`).
    fn may_be_copied(&self) -> bool {
        let receives = self.delivery.receive_count;
        let is_time = receives <= 1 || parking::is_time_for_a_copy(receives, self.endpoint.settings.attempts_max);
        is_time && self.queue.is_some_and(|queue| !is_fifo(queue))
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
    ) -> Result<Made, Error> {
        let endpoint = self.endpoint;
        endpoint.observer.observe(Event::Handled);
        let process = self.span.clone();
        let span = debug_span!(parent: &process, "handle");
        let running = limit.run(&*endpoint.ports.clock, self.run_handler(handlers, state, version));
        let running = endpoint.timed(Timed::Handle, HandlerError::kind, running);
        match running.instrument(span).instrument(process).await {
            Ok(state) => {
                self.open_queues(handlers).await?;
                Ok(Made::State(state))
            }
            Err(HandlerError { reason, refusal: Refusal::Rejected }) => {
                self.reason = reason;
                Ok(Made::Rejection)
            }
            Err(HandlerError { refusal: Refusal::Deferred(delay), .. })
                if endpoint.is_too_old_in(&self.envelope, delay) =>
            {
                self.reason = "deferred until half the life of its payload was over (`payload_ttl_ms`)".to_owned();
                Ok(Made::Rejection)
            }
            Err(HandlerError { refusal: Refusal::Deferred(delay), .. }) => {
                self.deferral = delay;
                Ok(Made::Deferral)
            }
            Err(HandlerError { reason, refusal: Refusal::Failed }) => {
                Err(Error::new(ErrorKind::RetryMessage, reason).in_logs("the handler failed"))
            }
            Err(HandlerError { reason, refusal: Refusal::Misconfigured }) => Err(Error::misconfigured(reason)),
        }
    }

    /// Opens the queues that the messages go to: one that does not exist must be found before the commit, not after it.
    ///
    /// The queue of a route belongs to the configuration, which parks no message. A queue for replies is named by the incoming
    /// message, and its absence is that message's fault.
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
