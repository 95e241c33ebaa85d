//! The processing of one delivery.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tracing::{Instrument as _, Span, debug_span};

use crate::{
    engine::{blame::with_services_at, context::Context, intake::Incoming, not_finished::NotFinished},
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

/// The processing of one delivery: what the engine has read and produced for it so far.
pub(crate) struct Attempt<'a> {
    pub(super) endpoint: &'a Context,
    pub(super) delivery: &'a Delivery,
    /// The queue of the delivery, if it is known.
    pub(super) queue: Option<&'a str>,
    /// The position of the delivery among those that are processed together.
    pub(super) number: usize,
    pub(super) span: Span,
    pub(super) envelope: Arc<Envelope>,
    /// The identity of the message in keys.
    pub(super) identity: MessageId,
    /// How the message is settled. `None` if there is no delivery and the record is not read yet.
    pub(super) settles: Option<Settles>,
    pub(super) progress: Progress,
    pub(super) action: Do,
    /// Why the message is not finished in this run. `None` as long as that is open.
    pub(super) not_finished: Option<NotFinished>,
    /// The payload that the current pass has read.
    pub(super) payload: Bytes,
    /// The items that the handler writes, checks or deletes in addition to the state.
    pub(super) items: Vec<ItemWrite>,
    /// The record that this pass produced, or the record that it found.
    pub(super) record: Record,
    /// Where the record lies.
    pub(super) placement: Placement,
    /// An earlier attempt committed the record.
    pub(super) resumed: bool,
    /// The payload was missing at the first receive of a first dispatch.
    pub(super) may_be_lost: bool,
    /// The reason for which the message is parked.
    pub(super) reason: String,
    /// The time for which the handler deferred the message.
    pub(super) deferral: Duration,
}

impl<'a> Attempt<'a> {
    /// Creates the attempt at a delivery that is to be processed.
    ///
    /// # Errors
    /// The reason why the message can never be processed.
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
        let unread = Self::unread(endpoint, &incoming.delivery, envelope, identity, Some(settles));
        Ok(Self { queue, ..unread }.for_processing())
    }

    /// Creates an attempt that has read nothing.
    pub(super) fn unread(
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

    /// Returns the attempt at its first step, to process the message.
    pub(super) fn for_processing(self) -> Self {
        let settings = &self.endpoint.settings;
        let when_missing = if self.must_have_its_payload() { settings.when_missing } else { WhenMissing::Acknowledge };
        let (progress, action) = protocol::next(Progress::new(settings.check_in, when_missing), Saw::Delivery);
        let not_finished = self.check_store().err().map(NotFinished::Failed);
        Self { progress, action, not_finished, ..self }
    }

    /// Returns the attempt at its first step, to finish the message if it is committed, and to
    /// commit nothing.
    pub(super) fn for_finishing(self) -> Self {
        let (progress, action) = protocol::next(Progress::finishing(), Saw::Delivery);
        let not_finished = self.check_store().err().map(NotFinished::Failed);
        Self { progress, action, not_finished, ..self }
    }

    /// Returns the attempt with its position among the attempts that are processed together, and
    /// with its span.
    pub(crate) fn numbered(self, number: usize, span: Span) -> Self {
        Self { number, span, ..self }
    }
}

impl Attempt<'_> {
    /// Returns the step that the attempt takes next. `None` if the attempt has ended.
    pub(super) fn pending_step(&self) -> Option<Do> {
        let has_ended = self.not_finished.is_some() || matches!(self.action, Do::Acknowledge(_) | Do::Leave);
        (!has_ended).then_some(self.action)
    }

    pub(super) fn saw(&mut self, saw: Result<Saw, Error>) {
        match saw {
            Ok(saw) => (self.progress, self.action) = protocol::next(self.progress, saw),
            Err(error) => self.not_finished = Some(NotFinished::Failed(with_services_at(error, self.action))),
        }
    }

    /// Takes a step that each attempt takes by itself.
    pub(super) async fn step(&mut self, pass: PassView<'_>) {
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
                // The group takes these steps for all its members, or they end the attempt.
                Do::ReadState(_) | Do::Handle | Do::Commit(_) | Do::Dispatch | Do::Acknowledge(_) | Do::Leave => {
                    return None;
                }
            })
        };
        // Also inside the span of the message. If the spans of steps are disabled, log lines still
        // name the message (`warning_carries_the_span_of_its_message_at_level_info`).
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

    /// Returns how the attempt ended. `None` if the message was only to be finished and has no
    /// record. Then it stays where it is.
    pub(super) fn end(self) -> Result<Option<Outcome>, NotFinished> {
        if let Some(not_finished) = self.not_finished {
            return Err(not_finished);
        }
        let Do::Acknowledge(outcome) = self.action else { return Ok(None) };
        self.alarm(outcome);
        Ok(Some(outcome))
    }

    /// Raises the loss alarm if the outcome shows that a payload may have been lost.
    fn alarm(&self, outcome: Outcome) {
        if self.may_be_lost && matches!(outcome, Outcome::Duplicate | Outcome::Parked) {
            tracing::warn!(
                parent: &self.span,
                "payload missing at the first receive: the message is a duplicate, or its payload was deleted"
            );
            self.endpoint.observer.observe(Event::PayloadMissing);
        }
    }
}

/// The part of a group's last read that its members use in a pass.
#[derive(Clone, Copy)]
pub(super) struct PassView<'p> {
    pub(super) embedded: &'p Embedded,
    pub(super) is_first: bool,
}
