//! The engine: performs over the ports what the [protocol] says, for messages of one partition, mostly one, from start to end.
//!
//! It decides nothing about the order of steps. What it adds is how a step is performed: retries of
//! calls, pauses, the handler, and which of a record's claims are whose.

mod age;
mod committing;
mod failing;
mod handler_limit;
mod handling;
mod reading;
mod recovering;
mod settled;
mod settling;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use tracing::{Instrument as _, Span, debug_span};

use crate::{
    Delivery, Embedded, Envelope, Error, ErrorKind, Event, Item, ItemWrite, MessageId, NotDone, Outcome, Partition,
    Placement, PortError, Record, RecordKey, Settles, StateWrite, Timed, Version,
    dispatch::dispatch,
    endpoint::Inner,
    intake::Arrival,
    protocol::{self, Consistency, Do, Memory, Saw, WhenMissing, fold},
    schema::Key,
};

pub(crate) use handler_limit::HandlerLimit;
pub(crate) use settled::Settled;

/// What became of a message; none if it was left where it is.
pub(crate) type Done = Result<Option<Outcome>, NotDone>;

/// Messages of one partition that are committed together: see [`protocol::next_of_fold`].
pub(crate) struct Fold<'a> {
    endpoint: &'a Inner,
    partition: Partition,
    /// As read by this pass.
    version: Version,
    /// As read by this pass.
    state: Option<Item>,
    /// As read by this pass, without those that may be dropped.
    embedded: Embedded,
    /// What the handlers have made of the state so far, and how many of them.
    draft: Option<StateWrite>,
    accepted: usize,
    desks: Vec<Desk<'a>>,
    /// Their turn comes when the others have come to their end.
    aside: VecDeque<Desk<'a>>,
    /// The first failure stops those behind it.
    is_ordered: bool,
    /// That state was read with eventual consistency.
    is_late: bool,
    /// How states are read at least.
    reads: Consistency,
    /// They were refused together: from here on one goes after the other.
    is_narrow: bool,
    /// Commits that were lost or stayed unknown so far.
    passes: u32,
    /// Nothing is committed, so that no commit would be lost to a record that was not looked for.
    is_finishing: bool,
    /// How long each handler may run.
    handler_limit: HandlerLimit,
}

/// The work on one delivery: what was read and made so far.
pub(crate) struct Desk<'a> {
    endpoint: &'a Inner,
    delivery: &'a Delivery,
    /// The queue that it came from, if that is known.
    queue: Option<&'a str>,
    /// Its place among the deliveries.
    number: usize,
    span: Span,
    envelope: Arc<Envelope>,
    /// The message's identity in keys.
    identity: MessageId,
    /// How it is settled; not known before its record is read if there is no message in hand.
    settles: Option<Settles>,
    memory: Memory,
    action: Do,
    /// Why it is not finished in this run, once that is known.
    undone: Option<NotDone>,
    /// As read by this pass.
    payload: Bytes,
    /// What the handler wants to write beside the state.
    items: Vec<ItemWrite>,
    /// The record of this pass's attempt; or the one that was found.
    record: Record,
    /// Where that lies.
    placement: Placement,
    /// An earlier attempt committed, and the record is its.
    resumed: bool,
    /// The payload is missing, and was so at the first receive of a first dispatch.
    may_be_lost: bool,
    /// Why the message is to be parked.
    reason: String,
    /// How long its handler has deferred it.
    deferral: Duration,
}

impl<'a> Fold<'a> {
    /// Puts messages of one partition together. If they are ordered, none is begun behind one that was not finished.
    pub(crate) fn new(desks: Vec<Desk<'a>>, is_ordered: bool) -> Option<Self> {
        let Desk { endpoint, envelope, .. } = desks.first()?;
        let endpoint = *endpoint;
        Some(Self {
            endpoint,
            partition: envelope.partition.clone(),
            version: Version::ABSENT,
            state: None,
            embedded: Embedded::default(),
            draft: None,
            accepted: 0,
            desks: Vec::with_capacity(desks.len()),
            aside: desks.into(),
            is_ordered,
            is_late: false,
            reads: endpoint.settings.state_reads,
            is_narrow: false,
            passes: 0,
            is_finishing: true,
            handler_limit: HandlerLimit::Unlimited,
        })
    }

    /// The same messages, with a limit for each of their handlers.
    pub(crate) fn limited(self, handler_limit: HandlerLimit) -> Self {
        Self { handler_limit, ..self }
    }

    /// Follows the protocol to its end for all of them. Each is told what became of it, by its number.
    pub(crate) async fn process(mut self, mut tell: impl FnMut(usize, Done)) {
        let mut is_stopped = false;
        self.is_finishing = false;
        while self.take_up() {
            if is_stopped {
                self.desks.drain(..).for_each(|desk| tell(desk.number, Err(NotDone::Behind)));
                continue;
            }
            self.follow().await;
            for desk in std::mem::take(&mut self.desks) {
                let (number, done) = (desk.number, desk.conclude().await);
                is_stopped |= self.is_ordered && done.is_err();
                tell(number, done);
            }
            // Those whose turn comes now have lost nothing.
            self.passes = 0;
        }
    }

    /// Takes up the messages that form the next group.
    fn take_up(&mut self) -> bool {
        let identities: Vec<_> = self.aside.iter().map(|desk| &desk.identity).collect();
        let members = fold::group(&identities, self.is_narrow);
        for (position, desk) in std::mem::take(&mut self.aside).into_iter().enumerate() {
            if members.contains(&position) {
                self.desks.push(desk);
            } else {
                self.aside.push_back(desk);
            }
        }
        !self.desks.is_empty()
    }

    async fn follow(&mut self) {
        while let Some(step) = protocol::next_of_fold(self.desks.iter().filter_map(Desk::wants)) {
            tracing::trace!(?step);
            match step {
                Do::ReadState(consistency) => self.read_state(consistency).await,
                Do::ReadRecord => self.read_records().await,
                Do::ReadPayload => self.read_payloads().await,
                Do::Handle => self.handle().await,
                Do::Commit(expected) => self.commit(expected).await,
                Do::Dispatch => self.dispatch().await,
                Do::Park
                | Do::SendAgain
                | Do::CheckIn
                | Do::StoreClaims
                | Do::Settle
                | Do::Clear
                | Do::Acknowledge(_)
                | Do::Leave => self.each(step).await,
            }
        }
    }

    /// Lets each that wants it take a step of its own.
    async fn each(&mut self, step: Do) {
        let pass = Pass { embedded: &self.embedded, is_first: self.passes == 0 };
        let mut at_work = self.desks.iter_mut().filter(|desk| desk.wants() == Some(step));
        let first = at_work.next();
        let others: Vec<_> = at_work.map(|desk| desk.step(pass)).collect();
        match first {
            Some(desk) if others.is_empty() => desk.step(pass).await,
            Some(desk) => {
                futures::future::join(desk.step(pass), join_all(others)).await;
            }
            None => {}
        }
    }

    /// Tells each that wants this step what was seen, in their order.
    fn tell(&mut self, step: Do, answers: impl IntoIterator<Item = Result<Saw, Error>>) {
        let wanting = self.desks.iter_mut().filter(|desk| desk.wants() == Some(step));
        wanting.zip(answers).for_each(|(desk, saw)| desk.saw(saw));
    }

    fn wanting(&self, step: Do) -> impl Iterator<Item = &Desk<'a>> {
        self.desks.iter().filter(move |desk| desk.wants() == Some(step))
    }

    /// The span under which is done what is done for all that want this step: that of the first.
    fn span(&self, step: Do) -> Span {
        self.wanting(step).next().map_or_else(Span::none, |desk| desk.span.clone())
    }

    /// Sends what they have to send together: so the messages to a queue stay in the order in which they were handled.
    async fn dispatch(&mut self) {
        self.refuse_outlived_records();
        let records: Vec<_> = self.wanting(Do::Dispatch).map(|desk| (&desk.record, desk.resumed)).collect();
        if records.is_empty() {
            return;
        }
        let messages = records.iter().map(|(record, _)| record.messages.len()).sum::<usize>();
        let process = self.span(Do::Dispatch);
        let span = debug_span!(parent: &process, "dispatch", messages);
        let sending = async {
            let answers = dispatch(self.endpoint, &records).await;
            if answers.iter().all(Result::is_ok) { Ok(answers) } else { Err(answers) }
        };
        let kind = |answers: &Vec<Result<(), PortError>>| {
            let failed = answers.iter().find_map(|answer| answer.as_ref().err());
            failed.map_or(ErrorKind::RetryMessage, PortError::kind)
        };
        let (Ok(answers) | Err(answers)) =
            self.endpoint.timed(Timed::Dispatch, kind, sending).instrument(span).instrument(process).await;
        let saw = |answer: Result<(), PortError>| answer.map(|()| Saw::Dispatched).map_err(Error::from);
        self.tell(Do::Dispatch, answers.into_iter().map(saw));
    }
}

impl<'a> Desk<'a> {
    /// Takes a delivery that can be processed.
    ///
    /// # Errors
    /// Why the message can never be processed.
    pub(crate) fn open(endpoint: &'a Inner, arrival: &'a Arrival<'_>, queue: Option<&'a str>) -> Result<Self, String> {
        let envelope = arrival.envelope.clone()?;
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
        let cleared = Self::cleared(endpoint, &arrival.delivery, envelope, identity, Some(settles));
        Ok(Self { queue, ..cleared }.begun())
    }

    /// With nothing read yet.
    fn cleared(
        endpoint: &'a Inner,
        delivery: &'a Delivery,
        envelope: Arc<Envelope>,
        identity: MessageId,
        settles: Option<Settles>,
    ) -> Self {
        let (memory, action) = protocol::next(Memory::finishing(), Saw::Delivery);
        Self {
            endpoint,
            delivery,
            queue: None,
            number: 0,
            span: Span::current(),
            envelope,
            identity,
            settles,
            memory,
            action,
            undone: None,
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
    fn begun(self) -> Self {
        let settings = &self.endpoint.settings;
        // A payload that is missing although nobody can have collected it.
        let when_missing = if self.must_have_its_payload() { settings.when_missing } else { WhenMissing::Acknowledge };
        let (memory, action) = protocol::next(Memory::new(settings.check_in, when_missing), Saw::Delivery);
        let undone = self.check_store().err().map(NotDone::Failed);
        Self { memory, action, undone, ..self }
    }

    /// From the beginning, to finish what was committed, and to commit nothing.
    fn finishing(self) -> Self {
        let (memory, action) = protocol::next(Memory::finishing(), Saw::Delivery);
        let undone = self.check_store().err().map(NotDone::Failed);
        Self { memory, action, undone, ..self }
    }

    /// As one of several, with its place among them and its span.
    pub(crate) fn numbered(self, number: usize, span: Span) -> Self {
        Self { number, span, ..self }
    }

    /// Finishes what was committed, and commits nothing; none if nothing is known to be committed.
    pub(crate) async fn finish(self) -> Result<Option<Outcome>, Error> {
        let Some(mut fold) = Fold::new(vec![self.finishing()], false) else { return Ok(None) };
        fold.take_up();
        fold.follow().await;
        Ok(fold.desks.pop().map_or(Ok(None), Desk::end)?)
    }
}

impl Desk<'_> {
    /// The step that it wants to be taken; none at its end.
    fn wants(&self) -> Option<Do> {
        let has_ended = self.undone.is_some() || matches!(self.action, Do::Acknowledge(_) | Do::Leave);
        (!has_ended).then_some(self.action)
    }

    fn saw(&mut self, saw: Result<Saw, Error>) {
        match saw {
            Ok(saw) => (self.memory, self.action) = protocol::next(self.memory, saw),
            Err(error) => self.undone = Some(NotDone::Failed(failing::blamed(error, self.action))),
        }
    }

    /// Takes a step of its own.
    async fn step(&mut self, pass: Pass<'_>) {
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

    fn key(&self) -> RecordKey<'_> {
        RecordKey { partition: &self.envelope.partition, endpoint: &self.endpoint.name, message: &self.identity }
    }

    async fn park(&self) -> Result<Saw, Error> {
        self.endpoint.park(self.delivery, self.queue, &self.reason).await?;
        Ok(Saw::Parked)
    }

    fn end(self) -> Done {
        if let Some(undone) = self.undone {
            return Err(undone);
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
struct Pass<'p> {
    embedded: &'p Embedded,
    is_first: bool,
}
