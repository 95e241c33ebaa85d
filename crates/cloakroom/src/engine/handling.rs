//! Step 4: the handlers, one after the other, each on the state that the one before it left.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use tracing::{Instrument as _, debug_span};

use super::{Desk, Fold};
use crate::{
    Error, ErrorKind, Event, Item, Record, StateWrite, Timed, Version,
    handler::HandlerError,
    protocol::{
        self, Do, Saw,
        fold::{self, Verdict},
    },
    tx::Tx,
};

/// How much the messages of a fold may send, and how long their handlers may take, before the rest has to wait for the next.
const FOLD_BYTES_MAX: usize = 256 * 1024;
const FOLD_TIME_MAX: Duration = Duration::from_secs(1);

impl Fold<'_> {
    pub(super) async fn handle(&mut self) {
        let clock = &self.endpoint.ports.clock;
        let began = clock.monotonic();
        let (mut bytes, mut is_full) = (0, false);
        self.accepted = 0;
        while let Some(number) = self.desks.iter().position(|desk| desk.wants() == Some(Do::Handle)) {
            is_full |= self.accepted > 0
                && (bytes > FOLD_BYTES_MAX || clock.monotonic().saturating_sub(began) > FOLD_TIME_MAX);
            if is_full || self.is_ordered && self.desks[..number].iter().any(Desk::may_come_again) {
                self.set_aside(number);
                continue;
            }
            let (state, version) = (self.left_by_the_last(), self.version.after(self.accepted));
            let handled = self.desks[number].handle(state, version).await;
            let (verdict, state) = match handled {
                Ok(Some(_)) if self.writes_what_another_does(number) || self.has_too_many_items(number) => {
                    is_full = true;
                    continue;
                }
                Ok(Some(state)) => (Verdict::Accepted, Some(state)),
                Ok(None) => (Verdict::Rejected, None),
                Err(error) => {
                    self.desks[number].saw(Err(error));
                    continue;
                }
            };
            let Some(saw) = fold::after_handler(verdict, self.accepted) else {
                // On a FIFO queue those behind it wait until it is asked again.
                is_full |= self.is_ordered;
                self.set_aside(number);
                continue;
            };
            if state.is_some() {
                self.draft = state;
                self.accepted += 1;
                bytes += self.desks[number].record.unclaimed().map(str::len).sum::<usize>();
            }
            self.desks[number].saw(Ok(saw));
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
        let items = &self.desks[number].items;
        let accepted = self.desks[..number].iter().filter(|desk| matches!(desk.action, Do::CheckIn | Do::Commit(_)));
        accepted.flat_map(|desk| &desk.items).any(|item| items.iter().any(|own| own.sort_key == item.sort_key))
    }

    /// Whether a message and those before it in the fold write more items than a transaction takes.
    fn has_too_many_items(&self, number: usize) -> bool {
        if self.accepted == 0 {
            return false;
        }
        let settings = &self.endpoint.settings;
        let accepted = self.desks[..number].iter().filter(|desk| matches!(desk.action, Do::CheckIn | Do::Commit(_)));
        let items: usize = accepted.map(|desk| desk.items.len()).sum();
        let records = if settings.embedded_bytes_max() == 0 { self.accepted + 1 } else { 0 };
        1 + records + items + self.desks[number].items.len() > self.endpoint.ports.limits.transaction_items_max
    }

    /// Its turn comes with the next fold. It begins anew: the state that it would be handled on is another one by then.
    fn set_aside(&mut self, number: usize) {
        let desk = self.desks.remove(number);
        let (memory, action) = protocol::next(desk.memory.restarted(), Saw::Delivery);
        self.aside.push_back(Desk { memory, action, ..desk });
    }
}

impl Desk<'_> {
    /// Whether it is not finished, or may turn out not to be before it has an effect.
    fn may_come_again(&self) -> bool {
        self.error.is_some() || self.action == Do::Park
    }

    /// Runs the handler. What it makes of the state; none if it rejects the message.
    async fn handle(&mut self, state: Option<Item>, version: Version) -> Result<Option<StateWrite>, Error> {
        let endpoint = self.endpoint;
        endpoint.observer.observe(Event::Handled);
        let process = self.span.clone();
        let span = debug_span!(parent: &process, "handle");
        let running = endpoint.timed(Timed::Handle, |_| ErrorKind::RetryMessage, self.run_handler(state, version));
        match running.instrument(span).instrument(process).await {
            Ok(state) => {
                self.open_queues().await?;
                Ok(Some(state))
            }
            Err(HandlerError { reason, is_rejection: true }) => {
                self.reason = reason;
                Ok(None)
            }
            Err(HandlerError { reason, is_rejection: false }) => {
                Err(Error::new(ErrorKind::RetryMessage, reason).in_logs("the handler failed"))
            }
        }
    }

    /// Opens the queues that the messages go to: one that does not exist must be found before the commit, not after it.
    async fn open_queues(&self) -> Result<(), Error> {
        for message in &self.record.messages {
            self.endpoint.queue(&message.queue).await.map_err(|error| match error.may_be_repeated() {
                true => Error::from(error),
                false => Error::new(ErrorKind::RetryMessage, error.to_string()).in_logs(error.loggable()),
            })?;
        }
        Ok(())
    }

    async fn run_handler(&mut self, state: Option<Item>, version: Version) -> Result<StateWrite, HandlerError> {
        let endpoint = self.endpoint;
        let kind = self.envelope.kind.as_str();
        let handler = endpoint.handlers.get(kind).ok_or_else(|| {
            let handled = endpoint.handlers.keys();
            let name = &endpoint.name;
            HandlerError::reject(format!("endpoint `{name}` has no handler for `{kind}`; it handles {handled:?}"))
        })?;
        let now = endpoint.ports.clock.now();
        let mut tx = Tx::new(
            Arc::clone(&endpoint.name),
            Arc::clone(&endpoint.routes),
            Arc::clone(&endpoint.replies),
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
        crate::dispatch::check_limits(&endpoint.ports.limits, &self.record).map_err(HandlerError::reject)?;
        Ok(if tx.deletes_state { StateWrite::Tombstone { expires } } else { StateWrite::Put(state) })
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
