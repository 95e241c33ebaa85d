//! The functions of the engine for recovery: finishing a record without a delivery, and inspecting
//! a message without any change.

use std::sync::Arc;

use tracing::Instrument as _;

use crate::{
    engine::{
        attempt::Attempt, context::Context, group::CommitGroup, identify::identify, intake::Incoming,
        not_finished::Recovered,
    },
    error::Error,
    format::envelope::Envelope,
    observe::trace,
    ports::{commit::RecordKey, queue::Delivery},
    protocol::{
        self,
        step::{CheckIn, Do, Outcome, Progress, Saw, WhenMissing},
    },
};

impl<'a> Attempt<'a> {
    /// Creates the attempt for a record without a delivery. The attempt can only be
    /// [finished](Attempt::finish) or [inspected](Attempt::look). `no_delivery` is an empty
    /// delivery.
    pub(crate) fn without_message(endpoint: &'a Context, no_delivery: &'a Delivery, key: RecordKey<'_>) -> Self {
        let RecordKey { partition, message, .. } = key;
        let envelope = Envelope::new(message.clone(), &*endpoint.name, "", partition.clone());
        Self::unread(endpoint, no_delivery, Arc::new(envelope), message.clone(), None)
    }

    /// Finishes the message if it is committed, and commits nothing. `None` if no record was found.
    pub(crate) async fn finish(self) -> Result<Option<Outcome>, Error> {
        let Some(mut group) = CommitGroup::new(vec![self.for_finishing()], false) else { return Ok(None) };
        group.start_next_group();
        group.follow(None).await;
        Ok(group.members.pop().map_or(Ok(None), Attempt::end)?)
    }

    /// Reads what a worker would read before its first effect. Returns the step that the worker
    /// would take then.
    pub(crate) async fn look(self) -> Result<Do, Error> {
        // Inspecting does not raise the loss alarm, because it does not act on a missing payload.
        let progress = Progress::new(CheckIn::BeforeCommit, WhenMissing::Acknowledge);
        let (progress, action) = protocol::next(progress, Saw::Delivery);
        let Some(mut group) = CommitGroup::new(vec![Self { progress, action, ..self }], false) else {
            return Ok(Do::Leave);
        };
        group.start_next_group();
        while let Some(step) = group.members.first().and_then(Attempt::pending_step) {
            match step {
                Do::ReadState(consistency) => group.read_state(consistency).await,
                Do::ReadRecord => group.read_records().await,
                Do::ReadPayload => group.each(step).await,
                Do::Handle
                | Do::Park
                | Do::SendAgain
                | Do::CheckIn
                | Do::Commit(_)
                | Do::StoreClaims
                | Do::Dispatch
                | Do::Settle
                | Do::Clear
                | Do::Acknowledge(_)
                | Do::Leave => break,
            }
        }
        group.members.pop().map_or(Ok(Do::Leave), |attempt| {
            attempt.not_finished.map_or(Ok(attempt.action), |not_finished| Err(not_finished.into()))
        })
    }
}

impl Context {
    /// Finishes a message if it is committed, and leaves it where it is otherwise.
    pub(crate) async fn finish(&self, incoming: &Incoming<'_>) -> Result<Recovered, Error> {
        // A message that cannot be decoded was never committed.
        let Ok(attempt) = Attempt::open(self, incoming, None) else { return Ok(Recovered::NotCommitted) };
        let span = trace::process(&self.name, &incoming.delivery);
        identify(&span, incoming);
        let outcome = attempt.numbered(0, span.clone()).finish().instrument(span).await?;
        Ok(outcome.map_or(Recovered::NotCommitted, Recovered::Finished))
    }
}
