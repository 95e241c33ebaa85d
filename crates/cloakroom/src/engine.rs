//! The engine: performs over the ports what the [protocol] says, for one message from start to end.
//!
//! It decides nothing about the order of steps. What it adds is how a step is performed: retries of
//! calls, pauses, the handler, and which of a record's claims are whose.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt as _;
use tracing::Instrument as _;

use crate::{
    Claim, ClaimsStored, Commit, Committed, Conflict, Delivery, Envelope, Error, ErrorKind, Event, ItemWrite, Outcome,
    PortError, Record, RecordKey, StateRead, StateWrite, Version,
    dispatch::dispatch,
    endpoint::Inner,
    handler::HandlerError,
    protocol::{self, Do, Memory, Saw, WhenMissing},
    schema::Key,
    tx::Tx,
};

/// The work on one delivery: what was read and made so far.
pub(crate) struct Desk<'a> {
    endpoint: &'a Inner,
    delivery: &'a Delivery,
    envelope: Arc<Envelope>,
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
    pub(crate) fn open(endpoint: &'a Inner, delivery: &'a Delivery) -> Result<Self, String> {
        let envelope = Envelope::decode(&delivery.body).map_err(|error| error.to_string())?;
        if !endpoint.handlers.contains_key(envelope.kind.as_str()) {
            return Err(format!(
                "endpoint `{}` has no handler for `{}`; it handles {:?}",
                endpoint.name,
                envelope.kind,
                endpoint.handlers.keys()
            ));
        }
        let (name, message) = (&endpoint.name, &envelope.id);
        let keys = [Key::Record { endpoint: name, message }, Key::Entry { endpoint: name, message }];
        let keys = keys.map(|key| key.to_string());
        let keys = keys.iter().map(|key| (key.as_str(), None));
        let limits = &endpoint.settings.limits;
        limits.check_transaction(envelope.partition.as_str(), keys).map_err(|error| error.to_string())?;
        Ok(Self {
            endpoint,
            delivery,
            envelope: Arc::new(envelope),
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
            reason: String::new(),
        })
    }

    /// Follows the protocol to its end.
    pub(crate) async fn process(self) -> Result<Outcome, Error> {
        let span = tracing::debug_span!(
            "process",
            endpoint = &*self.endpoint.name,
            message = %self.envelope.id,
            kind = self.envelope.kind,
            partition = %self.envelope.partition,
        );
        self.follow_protocol().instrument(span).await
    }

    async fn follow_protocol(mut self) -> Result<Outcome, Error> {
        let when_missing = if self.is_first() { self.endpoint.settings.when_missing } else { WhenMissing::Acknowledge };
        let memory = Memory::new(self.endpoint.settings.check_in, when_missing);
        let (mut memory, mut action) = protocol::next(memory, Saw::Delivery);
        loop {
            tracing::trace!(?action);
            let saw = match action {
                Do::ReadState => self.read_state().await?,
                Do::ReadRecord => self.read_record().await?,
                Do::ReadPayload => self.read_payload().await?,
                Do::Withdraw => self.withdraw().await,
                Do::Handle => self.handle().await?,
                Do::Park => self.park().await?,
                Do::CheckIn => self.check_in().await?,
                Do::Commit(version) => self.commit(version).await?,
                Do::StoreClaims => self.store_claims().await?,
                Do::Dispatch => self.dispatch().await?,
                Do::Settle => self.settle().await?,
                Do::Clear => self.clear().await?,
                Do::Acknowledge(outcome) => return Ok(outcome),
            };
            (memory, action) = protocol::next(memory, saw);
        }
    }

    fn key(&self) -> RecordKey<'_> {
        RecordKey { partition: &self.envelope.partition, endpoint: &self.endpoint.name, message: &self.envelope.id }
    }

    /// Whether nobody can have processed this message before, as far as can be told.
    fn is_first(&self) -> bool {
        self.delivery.receive_count == 1 && !self.envelope.redispatch && self.passes == 0
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
        Ok(Saw::Record(self.record.claims()))
    }

    async fn read_payload(&mut self) -> Result<Saw, Error> {
        let (endpoint, payloads) = (self.endpoint, &self.endpoint.ports.payloads);
        let payload = match &self.envelope.dataref {
            Some(claim) => endpoint.call(|| payloads.read(claim)).await?,
            None => match endpoint.call(|| payloads.has_entry(&endpoint.name, &self.envelope.id)).await? {
                true => None,
                false => Some(self.inline_payload()),
            },
        };
        let Some(payload) = payload else {
            self.note_missing();
            return Ok(Saw::PayloadMissing);
        };
        self.payload = payload;
        Ok(Saw::Payload)
    }

    fn inline_payload(&self) -> Bytes {
        let data = self.envelope.data.as_ref().unwrap_or(&serde_json::Value::Null);
        Bytes::from(data.to_string())
    }

    fn note_missing(&mut self) {
        let Some(claim) = &self.envelope.dataref else { return };
        self.reason = format!("payload `{claim}` is missing, and nothing tells that the message was processed");
        if self.is_first() {
            tracing::warn!(%claim, "payload missing at the first receive: a duplicate, or a payload that was removed");
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
        match self.run_handler().await {
            Ok(()) => Ok(Saw::Accepted),
            Err(HandlerError { reason, is_rejection: true }) => {
                self.reason = reason;
                Ok(Saw::Rejected)
            }
            Err(HandlerError { reason, is_rejection: false }) => Err(Error::new(ErrorKind::RetryMessage, reason)),
        }
    }

    async fn run_handler(&mut self) -> Result<(), HandlerError> {
        let endpoint = self.endpoint;
        let kind = self.envelope.kind.as_str();
        let handler = endpoint.handlers.get(kind).ok_or_else(|| HandlerError::reject("its handler is gone"))?;
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
        self.record = Record { messages: tx.outgoing, ..Record::default() };
        crate::dispatch::check_limits(&endpoint.settings.limits, &self.record).map_err(HandlerError::reject)
    }

    async fn check_in(&mut self) -> Result<Saw, Error> {
        let endpoint = self.endpoint;
        let claims = self.record.unclaimed().map(|body| endpoint.check_in(Bytes::copy_from_slice(body.as_bytes())));
        let claims: Vec<Claim> = futures::future::try_join_all(claims).await?;
        self.record = self.record.with_claims(claims);
        Ok(Saw::CheckedIn)
    }

    async fn commit(&mut self, expected: Version) -> Result<Saw, Error> {
        let Draft { state, items, token } = &self.draft;
        let commit = Commit { key: self.key(), expected, state, record: &self.record, items, token };
        let result = self.endpoint.call_until_unknown(|| self.endpoint.ports.store.commit(commit)).await;
        match result {
            Ok(Committed::Applied) => Ok(Saw::Committed(self.record.claims())),
            Ok(Committed::TooLarge(error)) => {
                self.reason = error.to_string();
                Ok(Saw::Rejected)
            }
            Ok(Committed::Conflict(conflict)) => {
                tracing::debug!(?conflict, "commit lost");
                self.endpoint.observer.observe(Event::Conflict);
                self.another_pass(&conflict)?;
                Ok(Saw::Lost)
            }
            Err(error) if error.may_have_happened() => {
                tracing::debug!(%error, "commit unknown");
                self.endpoint.observer.observe(Event::UnknownCommit);
                self.another_pass(&Conflict::Overtaken)?;
                Ok(Saw::Unknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Counts a pass that did not commit.
    fn another_pass(&mut self, conflict: &Conflict) -> Result<(), Error> {
        self.passes += 1;
        if self.passes < self.endpoint.settings.passes_max {
            return Ok(());
        }
        let partition = &self.envelope.partition;
        Err(match conflict {
            Conflict::Overtaken => Error::new(
                ErrorKind::AwaitService,
                format!("partition `{partition}` is too busy: {} commits in a row did not apply", self.passes),
            ),
            Conflict::Item(item) => Error::new(
                ErrorKind::RetryMessage,
                format!("item `{item}` of partition `{partition}` is not as the handler demands"),
            ),
        })
    }

    async fn store_claims(&mut self) -> Result<Saw, Error> {
        let stored = self.endpoint.call(|| self.endpoint.ports.store.store_claims(self.key(), &self.record)).await?;
        match stored {
            ClaimsStored::Stored => Ok(Saw::ClaimsStored),
            ClaimsStored::AlreadyThere(record) => {
                self.record = record;
                Ok(Saw::ClaimsStored)
            }
            ClaimsStored::Gone => Ok(Saw::RecordGone),
        }
    }

    async fn settle(&mut self) -> Result<Saw, Error> {
        let (endpoint, payloads) = (self.endpoint, &self.endpoint.ports.payloads);
        match &self.envelope.dataref {
            Some(claim) => endpoint.call(|| payloads.delete(claim)).await?,
            None => endpoint.call(|| payloads.put_entry(&endpoint.name, &self.envelope.id)).await?,
        }
        Ok(Saw::Settled)
    }

    async fn dispatch(&mut self) -> Result<Saw, Error> {
        dispatch(self.endpoint, &self.record, self.resumed).await?;
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

impl Inner {
    /// Calls a port, again after a pause while that can help. For calls that may happen more than once.
    pub(crate) async fn call<T, F>(&self, call: impl Fn() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        self.call_while(PortError::may_be_repeated, call).await
    }

    /// Calls a port, again while it is certain that nothing has happened.
    async fn call_until_unknown<T, F>(&self, call: impl Fn() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        self.call_while(|error| error.may_be_repeated() && !error.may_have_happened(), call).await
    }

    async fn call_while<T, F>(&self, again: impl Fn(&PortError) -> bool, call: impl Fn() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        let mut tried = 1;
        loop {
            match call().await {
                Err(error) if again(&error) && tried < self.settings.calls_max => {
                    tracing::debug!(%error, tried, "call repeated");
                    self.pause(tried).await;
                    tried += 1;
                }
                result => return result,
            }
        }
    }

    pub(crate) async fn pause(&self, attempt: u32) {
        let pause = self.settings.backoff.pause(attempt, self.ports.random.bits());
        self.ports.clock.sleep(pause).await;
    }

    /// Checks a payload in.
    ///
    /// SUBTLE: under a fresh claim at every try. A write whose outcome is not known may still arrive, even
    /// after its payload was delivered and deleted; were its claim in use, the message would come back to life.
    async fn check_in(&self, payload: Bytes) -> Result<Claim, PortError> {
        self.call(|| {
            let claim = Claim::from_random(self.ports.random.bits());
            let payload = payload.clone();
            async move { self.ports.payloads.check_in(&claim, payload).await.map(|()| claim) }
        })
        .await
    }
}
