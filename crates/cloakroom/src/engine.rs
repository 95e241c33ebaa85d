//! The engine: performs over the ports what the [protocol] says, for one message from start to end.
//!
//! It decides nothing about the order of steps. What it adds is how a step is performed: retries of
//! calls, pauses, the handler, and which of a record's claims are whose.

mod recovering;
mod settling;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use tracing::{Instrument as _, debug_span};

use crate::{
    Claim, ClaimsStored, Commit, Committed, Conflict, Delivery, Envelope, Error, ErrorKind, Event, ItemWrite,
    MessageId, Outcome, PortError, Record, RecordKey, Retry, Settles, StateRead, StateWrite, Timed, Version,
    dispatch::dispatch,
    endpoint::Inner,
    handler::HandlerError,
    intake::Arrival,
    protocol::{self, Do, Memory, Saw, WhenMissing},
    schema::Key,
    tx::Tx,
};

/// How many payloads of one message are written at a time.
const CHECK_INS_MAX: usize = 16;

/// The work on one delivery: what was read and made so far.
pub(crate) struct Desk<'a> {
    endpoint: &'a Inner,
    delivery: &'a Delivery,
    envelope: Arc<Envelope>,
    /// The message's identity in keys.
    identity: MessageId,
    /// How it is settled; not known before its record is read if there is no message in hand.
    settles: Option<Settles>,
    /// As read by this pass.
    state: StateRead,
    /// As read by this pass.
    payload: Bytes,
    /// What this pass wants to commit, but for the record.
    draft: Draft,
    /// The record of this pass's attempt; or the one that was found.
    record: Record,
    /// An earlier attempt committed, and the record is its.
    resumed: bool,
    /// Commits that were lost or stayed unknown so far.
    passes: u32,
    /// The payload is missing, and was so at the first receive of a first dispatch.
    may_be_lost: bool,
    /// Why the message is to be parked.
    reason: String,
}

/// What a handler made of the state.
struct Draft {
    state: StateWrite,
    items: Vec<ItemWrite>,
    token: String,
}

impl<'a> Desk<'a> {
    /// Takes a delivery that can be processed.
    ///
    /// # Errors
    /// Why the message can never be processed.
    pub(crate) fn open(endpoint: &'a Inner, arrival: &'a Arrival<'_>) -> Result<Self, String> {
        let envelope = arrival.envelope.clone()?;
        let identity = envelope.identity();
        let record = Key::Record { endpoint: &endpoint.name, message: &identity }.to_string();
        let limits = &endpoint.ports.limits;
        limits
            .check_transaction(envelope.partition.as_str(), [(record.as_str(), None)])
            .map_err(|error| error.to_string())?;
        let entry = || Settles::Entry(endpoint.ports.payloads.name().to_owned());
        let settles = envelope.dataref.clone().map_or_else(entry, Settles::Payload);
        Ok(Self::cleared(endpoint, &arrival.delivery, envelope, identity, Some(settles)))
    }

    /// With nothing read yet.
    fn cleared(
        endpoint: &'a Inner,
        delivery: &'a Delivery,
        envelope: Arc<Envelope>,
        identity: MessageId,
        settles: Option<Settles>,
    ) -> Self {
        Self {
            endpoint,
            delivery,
            envelope,
            identity,
            settles,
            state: StateRead::default(),
            payload: Bytes::new(),
            draft: Draft {
                state: StateWrite::Put(serde_dynamo::Item::default()),
                items: Vec::new(),
                token: String::new(),
            },
            record: Record::default(),
            resumed: false,
            passes: 0,
            may_be_lost: false,
            reason: String::new(),
        }
    }

    /// Follows the protocol to its end.
    pub(crate) async fn process(self) -> Result<Outcome, Error> {
        let settings = &self.endpoint.settings;
        // A payload that is missing although nobody can have collected it.
        let when_missing = if self.is_first() { settings.when_missing } else { WhenMissing::Acknowledge };
        let memory = Memory::new(settings.check_in, when_missing);
        // Only who finishes leaves a message; it then stays where parked messages are.
        Ok(self.follow(memory).await?.unwrap_or(Outcome::Parked))
    }

    /// Finishes what was committed, and commits nothing; none if nothing is known to be committed.
    pub(crate) async fn finish(self) -> Result<Option<Outcome>, Error> {
        self.follow(Memory::finishing()).await
    }

    async fn follow(mut self, memory: Memory) -> Result<Option<Outcome>, Error> {
        self.check_store()?;
        let (mut memory, mut action) = protocol::next(memory, Saw::Delivery);
        loop {
            tracing::trace!(?action);
            let saw = match action {
                Do::ReadState => self.read_state().instrument(debug_span!("read_state")).await?,
                Do::ReadRecord => self.read_record().instrument(debug_span!("read_record")).await?,
                Do::ReadPayload => self.read_payload().instrument(debug_span!("read_payload")).await?,
                Do::Withdraw => self.withdraw().instrument(debug_span!("withdraw")).await,
                Do::Handle => self.handle().instrument(debug_span!("handle")).await?,
                Do::Park => self.park().instrument(debug_span!("park")).await?,
                Do::CheckIn => self.check_in().instrument(debug_span!("check_in")).await?,
                Do::Commit(version) => {
                    let span = debug_span!("commit", version = version.next().number());
                    self.commit(version).instrument(span).await?
                }
                Do::StoreClaims => self.store_claims().instrument(debug_span!("store_claims")).await?,
                Do::Dispatch => {
                    let span = debug_span!("dispatch", messages = self.record.messages.len());
                    self.dispatch().instrument(span).await?
                }
                Do::Settle => self.settle().instrument(debug_span!("settle")).await?,
                Do::Clear => self.clear().instrument(debug_span!("clear")).await?,
                Do::Acknowledge(outcome) => {
                    self.alarm(outcome);
                    return Ok(Some(outcome));
                }
                Do::Leave => return Ok(None),
            };
            (memory, action) = protocol::next(memory, saw);
        }
    }

    fn key(&self) -> RecordKey<'_> {
        RecordKey { partition: &self.envelope.partition, endpoint: &self.endpoint.name, message: &self.identity }
    }

    /// Whether nobody can have collected the payload before, as far as can be told: it must be there. (A dedupe entry, on
    /// the other hand, proves that its message was processed; nobody else writes it.)
    fn is_first(&self) -> bool {
        let is_first_receive = self.delivery.receive_count == 1 && !self.envelope.redispatch;
        is_first_receive && self.passes == 0 && self.envelope.dataref.is_some()
    }

    async fn read_state(&mut self) -> Result<Saw, Error> {
        if self.passes > 0 {
            self.endpoint.pause(self.passes).await;
        }
        let endpoint = self.endpoint;
        let read = || endpoint.ports.store.read_state(&self.envelope.partition, &endpoint.name);
        self.state = endpoint.call(read).await?;
        Ok(Saw::State(self.state.version))
    }

    async fn read_record(&mut self) -> Result<Saw, Error> {
        let found = self.endpoint.call(|| self.endpoint.ports.store.read_record(self.key())).await?;
        let Some(record) = found else { return Ok(Saw::NoRecord) };
        self.resumed = true;
        self.record = record;
        self.learn_how_to_settle()?;
        Ok(Saw::Record(self.record.claims()))
    }

    async fn read_payload(&mut self) -> Result<Saw, Error> {
        let (endpoint, payloads) = (self.endpoint, &self.endpoint.ports.payloads);
        let payload = match &self.envelope.dataref {
            Some(claim) => endpoint.call(|| payloads.read(claim)).await?,
            None => match endpoint.call(|| payloads.has_entry(&endpoint.name, &self.identity)).await? {
                true => None,
                false => Some(self.inline_payload()),
            },
        };
        let Some(payload) = payload else {
            self.may_be_lost = self.is_first();
            self.reason = "its payload is missing, and nothing tells that it was processed".to_owned();
            return Ok(Saw::PayloadMissing);
        };
        self.payload = payload;
        Ok(Saw::Payload)
    }

    fn inline_payload(&self) -> Bytes {
        let data = self.envelope.data.as_ref().unwrap_or(&serde_json::Value::Null);
        Bytes::from(data.to_string())
    }

    /// The loss alarm.
    fn alarm(&self, outcome: Outcome) {
        if self.may_be_lost && matches!(outcome, Outcome::Duplicate | Outcome::Parked) {
            tracing::warn!("payload missing at the first receive: a duplicate, or a payload that was removed");
            self.endpoint.observer.observe(Event::PayloadMissing);
        }
    }

    /// Deletes the payloads of an attempt that is known not to have committed. What cannot be deleted expires.
    async fn withdraw(&mut self) -> Saw {
        let payloads = &self.endpoint.ports.payloads;
        let claims = self.record.messages.iter().filter_map(|message| message.envelope.dataref.as_ref());
        futures::future::join_all(claims.map(|claim| payloads.delete(claim))).await;
        Saw::Withdrawn
    }

    async fn handle(&mut self) -> Result<Saw, Error> {
        self.endpoint.observer.observe(Event::Handled);
        let endpoint = self.endpoint;
        match endpoint.timed(Timed::Handle, |_| ErrorKind::RetryMessage, self.run_handler()).await {
            Ok(()) => {
                self.open_queues().await?;
                Ok(Saw::Accepted)
            }
            Err(HandlerError { reason, is_rejection: true }) => {
                self.reason = reason;
                Ok(Saw::Rejected)
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

    async fn run_handler(&mut self) -> Result<(), HandlerError> {
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
            Arc::clone(&endpoint.reply_queue),
            Arc::clone(&self.envelope),
            self.state.version,
            now,
        );
        let running = AssertUnwindSafe(handler.call(self.state.state.clone(), &self.payload, &mut tx));
        let state = running.catch_unwind().await.map_err(|panic| {
            HandlerError::retry(format!("the handler of `{kind}` panicked: {}", panic_text(&*panic)))
        })??;
        if let Some(failure) = tx.failure.take() {
            return Err(failure);
        }
        let expires = now.after(Duration::from_millis(endpoint.settings.tombstone_ttl_ms));
        self.draft = Draft {
            state: if tx.deletes_state { StateWrite::Tombstone { expires } } else { StateWrite::Put(state) },
            items: tx.items,
            token: format!("{:032x}", endpoint.ports.random.bits()),
        };
        self.record = Record { messages: tx.outgoing, settles: self.settles.clone(), ..Record::default() };
        crate::dispatch::check_limits(&endpoint.ports.limits, &self.record).map_err(HandlerError::reject)
    }

    async fn check_in(&mut self) -> Result<Saw, Error> {
        let endpoint = self.endpoint;
        let bodies = self.record.unclaimed().map(|body| Bytes::copy_from_slice(body.as_bytes()));
        let claims: Vec<_> = bodies.map(|body| endpoint.check_in(body)).collect();
        let claims: Vec<Claim> = stream::iter(claims).buffered(CHECK_INS_MAX).try_collect().await?;
        self.record = self.record.with_claims(claims);
        Ok(Saw::CheckedIn)
    }

    async fn commit(&mut self, expected: Version) -> Result<Saw, Error> {
        // Not before: a handler may take long. Not at each try: they have one token, so they must be the same.
        self.record.committed_ms = Some(self.endpoint.ports.clock.now().as_millis());
        let Draft { state, items, token } = &self.draft;
        let commit = Commit { key: self.key(), expected, state, record: &self.record, items, token };
        let endpoint = self.endpoint;
        let committing = endpoint.call_until_unknown(|| endpoint.ports.store.commit(commit));
        match endpoint.timed(Timed::Commit, PortError::kind, committing).await {
            Ok(Committed::Applied) => Ok(Saw::Committed(self.record.claims())),
            Ok(Committed::TooLarge(error)) => {
                self.reason = error.to_string();
                Ok(Saw::Rejected)
            }
            Ok(Committed::Refused(reason)) => {
                self.reason = reason;
                Ok(Saw::Rejected)
            }
            Ok(Committed::Conflict(conflict)) => {
                tracing::debug!("commit lost");
                endpoint.observer.observe(Event::Conflict);
                self.another_pass(&conflict, Retry::Conflict)?;
                Ok(match conflict {
                    Conflict::Overtaken => Saw::Lost,
                    // SUBTLE: the version stands, so a repetition of this commit by the store's client could still
                    // apply once the item changes. Its claims must stay, as after an unknown outcome.
                    Conflict::Item(_) => Saw::Unknown,
                })
            }
            Err(error) if error.may_have_happened() => {
                tracing::debug!(error = error.loggable(), "commit unknown");
                endpoint.observer.observe(Event::UnknownCommit);
                self.another_pass(&Conflict::Overtaken, Retry::UnknownOutcome)?;
                Ok(Saw::Unknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Counts a pass that did not commit.
    fn another_pass(&mut self, conflict: &Conflict, reason: Retry) -> Result<(), Error> {
        self.passes += 1;
        if self.passes < self.endpoint.settings.passes_max {
            self.endpoint.observer.retried(reason);
            return Ok(());
        }
        let partition = &self.envelope.partition;
        Err(match conflict {
            Conflict::Overtaken => Error::new(
                ErrorKind::AwaitService,
                format!("partition `{partition}` is too busy: {} commits in a row did not apply", self.passes),
            )
            .in_logs("the partition is too busy"),
            Conflict::Item(item) => Error::new(
                ErrorKind::RetryMessage,
                format!("item `{item}` of partition `{partition}` is not as the handler demands"),
            )
            .in_logs("an item is not as the handler demands"),
        })
    }

    async fn store_claims(&mut self) -> Result<Saw, Error> {
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

    async fn dispatch(&mut self) -> Result<Saw, Error> {
        self.endpoint.timed(Timed::Dispatch, Error::kind, dispatch(self.endpoint, &self.record, self.resumed)).await?;
        Ok(Saw::Dispatched)
    }

    async fn clear(&mut self) -> Result<Saw, Error> {
        self.endpoint.call(|| self.endpoint.ports.store.clear(self.key())).await?;
        Ok(Saw::Cleared)
    }

    async fn park(&mut self) -> Result<Saw, Error> {
        self.endpoint.parking.park(self.endpoint, self.delivery, &self.reason).await?;
        Ok(Saw::Parked)
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
