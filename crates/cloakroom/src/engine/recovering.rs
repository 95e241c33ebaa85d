//! What recovery asks of the engine: to finish a record whose message is not in hand, and to look without touching anything.

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
    /// Takes a record whose message is not in hand. It can be [finished](Attempt::finish), and nothing else.
    pub(crate) fn without_message(endpoint: &'a Context, nobody: &'a Delivery, key: RecordKey<'_>) -> Self {
        let RecordKey { partition, message, .. } = key;
        let envelope = Envelope::new(message.clone(), &*endpoint.name, "", partition.clone());
        Self::cleared(endpoint, nobody, Arc::new(envelope), message.clone(), None)
    }

    /// Finishes what was committed, and commits nothing; none if nothing is known to be committed.
    pub(crate) async fn finish(self) -> Result<Option<Outcome>, Error> {
        let Some(mut group) = CommitGroup::new(vec![self.finishing()], false) else { return Ok(None) };
        group.take_up();
        group.follow(None).await;
        Ok(group.members.pop().map_or(Ok(None), Attempt::end)?)
    }

    /// Reads what a worker would read before it does something, and answers with what that would be.
    pub(crate) async fn look(self) -> Result<Do, Error> {
        // Nobody is told that the payload is missing: nothing is done about it.
        let looking = Progress::new(CheckIn::BeforeCommit, WhenMissing::Acknowledge);
        let (progress, action) = protocol::next(looking, Saw::Delivery);
        let Some(mut group) = CommitGroup::new(vec![Self { progress, action, ..self }], false) else {
            return Ok(Do::Leave);
        };
        group.take_up();
        while let Some(step) = group.members.first().and_then(Attempt::wants) {
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
    /// Finishes a message if it is committed, and leaves it otherwise.
    pub(crate) async fn finish(&self, incoming: &Incoming<'_>) -> Result<Recovered, Error> {
        // A message that cannot be read was never committed.
        let Ok(attempt) = Attempt::open(self, incoming, None) else { return Ok(Recovered::NotCommitted) };
        let span = trace::process(&self.name, &incoming.delivery);
        identify(&span, incoming);
        let outcome = attempt.numbered(0, span.clone()).finish().instrument(span).await?;
        Ok(outcome.map_or(Recovered::NotCommitted, Recovered::Finished))
    }
}
