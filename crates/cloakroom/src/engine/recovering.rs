//! What recovery asks of the engine: to finish a record whose message is not in hand, and to look without touching anything.

use std::sync::Arc;

use super::{Desk, Envelope, Error, Fold, Inner, RecordKey};
use crate::{
    Delivery,
    protocol::{self, CheckIn, Do, Memory, Saw, WhenMissing},
};

impl<'a> Desk<'a> {
    /// Takes a record whose message is not in hand. It can be [finished](Desk::finish), and nothing else.
    pub(crate) fn without_message(endpoint: &'a Inner, nobody: &'a Delivery, key: RecordKey<'_>) -> Self {
        let RecordKey { partition, message, .. } = key;
        let envelope = Envelope::new(message.clone(), &*endpoint.name, "", partition.clone());
        Self::cleared(endpoint, nobody, Arc::new(envelope), message.clone(), None)
    }

    /// Reads what a worker would read before it does something, and answers with what that would be.
    pub(crate) async fn look(self) -> Result<Do, Error> {
        // Nobody is told that the payload is missing: nothing is done about it.
        let looking = Memory::new(CheckIn::BeforeCommit, WhenMissing::Acknowledge);
        let (memory, action) = protocol::next(looking, Saw::Delivery);
        let Some(mut fold) = Fold::new(vec![Self { memory, action, ..self }], false) else { return Ok(Do::Leave) };
        fold.take_up();
        while let Some(step) = fold.desks.first().and_then(Desk::wants) {
            match step {
                Do::ReadState(consistency) => fold.read_state(consistency).await,
                Do::ReadRecord => fold.read_records().await,
                Do::ReadPayload => fold.each(step).await,
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
        fold.desks.pop().map_or(Ok(Do::Leave), |desk| desk.undone.map_or(Ok(desk.action), |undone| Err(undone.into())))
    }
}
