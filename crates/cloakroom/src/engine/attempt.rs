//! The work on one delivery.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tracing::{Instrument as _, Span, debug_span};

use crate::{
    engine::{blame::blamed, context::Context, intake::Incoming, not_finished::NotFinished},
    error::Error,
    format::{
        envelope::Envelope,
        name::MessageId,
        record::{Record, Settles},
        schema::Key,
    },
    observe::observer::Event,
    ports::{
        commit::{Embedded, ItemWrite, Placement, RecordKey},
        queue::Delivery,
    },
    protocol::{
        self,
        step::{Do, Outcome, Progress, Saw, WhenMissing},
    },
};

/// The work on one delivery: what was read and made so far.
pub(crate) struct Attempt<'a> {
    pub(super) endpoint: &'a Context,
    pub(super) delivery: &'a Delivery,
    /// The queue that it came from, if that is known.
    pub(super) queue: Option<&'a str>,
    /// Its place among the deliveries.
    pub(super) number: usize,
    pub(super) span: Span,
    pub(super) envelope: Arc<Envelope>,
    /// The message's identity in keys.
    pub(super) identity: MessageId,
    /// How it is settled; not known before its record is read if there is no message in hand.
    pub(super) settles: Option<Settles>,
    pub(super) progress: Progress,
    pub(super) action: Do,
    /// Why it is not finished in this run, once that is known.
    pub(super) not_finished: Option<NotFinished>,
    /// As read by this pass.
    pub(super) payload: Bytes,
    /// What the handler wants to write beside the state.
    pub(super) items: Vec<ItemWrite>,
    /// The record of this pass's attempt; or the one that was found.
    pub(super) record: Record,
    /// Where that lies.
    pub(super) placement: Placement,
    /// An earlier attempt committed, and the record is its.
    pub(super) resumed: bool,
    /// The payload is missing, and was so at the first receive of a first dispatch.
    pub(super) may_be_lost: bool,
    /// Why the message is to be parked.
    pub(super) reason: String,
    /// How long its handler has deferred it.
    pub(super) deferral: Duration,
}

impl<'a> Attempt<'a> {
    /// Takes a delivery that can be processed.
    ///
    /// # Errors
    /// Why the message can never be processed.
    pub(crate) fn open(
        endpoint: &'a Context,
        incoming: &'a Incoming<'_>,
        queue: Option<&'a str>,
    ) -> Result<Self, String> {
        let envelope = incoming.envelope.clone()?;
        let identity = envelope.identity();
        let record = Key::Record { endpoint: &endpoint.name, message: &identity }.text();
        let limits = &endpoint.ports.limits;
        limits
            .check_transaction(envelope.partition.as_str(), [(record.as_str(), None)])
            .map_err(|error| error.to_string())?;
        let settles = match &envelope.dataref {
            Some(claim) => Settles::Payload(claim.clone()),
            None => endpoint.settings.dedupe.settles(endpoint.ports.payloads.name()),
        };
        let cleared = Self::cleared(endpoint, &incoming.delivery, envelope, identity, Some(settles));
        Ok(Self { queue, ..cleared }.begun())
    }

    /// With nothing read yet.
    pub(super) fn cleared(
        endpoint: &'a Context,
        delivery: &'a Delivery,
        envelope: Arc<Envelope>,
        identity: MessageId,
        settles: Option<Settles>,
    ) -> Self {
        let (progress, action) = protocol::next(Progress::finishing(), Saw::Delivery);
        Self {
            endpoint,
            delivery,
            queue: None,
            number: 0,
            span: Span::current(),
            envelope,
            identity,
            settles,
            progress,
            action,
            not_finished: None,
            payload: Bytes::new(),
            items: Vec::new(),
            record: Record::default(),
            placement: Placement::default(),
            resumed: false,
            may_be_lost: false,
            reason: String::new(),
            deferral: Duration::ZERO,
        }
    }

    /// From the beginning, to process it.
    pub(super) fn begun(self) -> Self {
        let settings = &self.endpoint.settings;
        // A payload that is missing although nobody can have collected it.
        let when_missing = if self.must_have_its_payload() { settings.when_missing } else { WhenMissing::Acknowledge };
        let (progress, action) = protocol::next(Progress::new(settings.check_in, when_missing), Saw::Delivery);
        let not_finished = self.check_store().err().map(NotFinished::Failed);
        Self { progress, action, not_finished, ..self }
    }

    /// From the beginning, to finish what was committed, and to commit nothing.
    pub(super) fn finishing(self) -> Self {
        let (progress, action) = protocol::next(Progress::finishing(), Saw::Delivery);
        let not_finished = self.check_store().err().map(NotFinished::Failed);
        Self { progress, action, not_finished, ..self }
    }

    /// As one of several, with its place among them and its span.
    pub(crate) fn numbered(self, number: usize, span: Span) -> Self {
        Self { number, span, ..self }
    }
}

impl Attempt<'_> {
    /// The step that it wants to be taken; none at its end.
    pub(super) fn wants(&self) -> Option<Do> {
        let has_ended = self.not_finished.is_some() || matches!(self.action, Do::Acknowledge(_) | Do::Leave);
        (!has_ended).then_some(self.action)
    }

    pub(super) fn saw(&mut self, saw: Result<Saw, Error>) {
        match saw {
            Ok(saw) => (self.progress, self.action) = protocol::next(self.progress, saw),
            Err(error) => self.not_finished = Some(NotFinished::Failed(blamed(error, self.action))),
        }
    }

    /// Takes a step of its own.
    pub(super) async fn step(&mut self, pass: Pass<'_>) {
        let process = self.span.clone();
        let step = async {
            Some(match self.action {
                Do::ReadRecord => self.read_record(pass).instrument(debug_span!("read_record")).await,
                Do::ReadPayload => self.read_payload(pass).instrument(debug_span!("read_payload")).await,
                Do::Park => self.park().instrument(debug_span!("park")).await,
                Do::SendAgain => self.send_again().instrument(debug_span!("send_again")).await,
                Do::CheckIn => self.check_in().instrument(debug_span!("check_in")).await,
                Do::StoreClaims => self.store_claims().instrument(debug_span!("store_claims")).await,
                Do::Settle => self.settle().instrument(debug_span!("settle")).await,
                Do::Clear => self.clear().instrument(debug_span!("clear")).await,
                // These are taken together, or are no steps.
                Do::ReadState(_) | Do::Handle | Do::Commit(_) | Do::Dispatch | Do::Acknowledge(_) | Do::Leave => {
                    return None;
                }
            })
        };
        // In both: who does not listen to the steps hears of the message all the same (`who_hears_warnings_only_hears_of_which_message`).
        if let Some(saw) = step.instrument(process).await {
            self.saw(saw);
        }
    }

    pub(super) fn key(&self) -> RecordKey<'_> {
        RecordKey { partition: &self.envelope.partition, endpoint: &self.endpoint.name, message: &self.identity }
    }

    async fn park(&self) -> Result<Saw, Error> {
        self.endpoint.park(self.delivery, self.queue, &self.reason).await?;
        Ok(Saw::Parked)
    }

    /// Returns how the attempt ended. `None` if the message has no record, and was only to be finished: it stays where it is.
    pub(super) fn end(self) -> Result<Option<Outcome>, NotFinished> {
        if let Some(not_finished) = self.not_finished {
            return Err(not_finished);
        }
        let Do::Acknowledge(outcome) = self.action else { return Ok(None) };
        self.alarm(outcome);
        Ok(Some(outcome))
    }

    /// The loss alarm.
    fn alarm(&self, outcome: Outcome) {
        if self.may_be_lost && matches!(outcome, Outcome::Duplicate | Outcome::Parked) {
            tracing::warn!(parent: &self.span, "payload missing at the first receive: a duplicate, or a payload that was removed");
            self.endpoint.observer.observe(Event::PayloadMissing);
        }
    }
}

/// What the messages of a fold share in a pass.
#[derive(Clone, Copy)]
pub(super) struct Pass<'p> {
    pub(super) embedded: &'p Embedded,
    pub(super) is_first: bool,
}
