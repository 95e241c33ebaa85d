//! What recovery asks of the engine: to finish a record whose message is not in hand, and to look without touching anything.

use std::sync::Arc;

use super::{Desk, Envelope, Error, Inner, RecordKey};
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
    pub(crate) async fn look(mut self) -> Result<Do, Error> {
        self.check_store()?;
        let received = Memory::new(CheckIn::BeforeCommit, WhenMissing::Acknowledge);
        let (mut memory, mut action) = protocol::next(received, Saw::Delivery);
        loop {
            let saw = if action == Do::ReadState {
                self.read_state().await?
            } else if action == Do::ReadRecord {
                self.read_record().await?
            } else if action == Do::ReadPayload {
                self.read_payload().await?
            } else {
                return Ok(action);
            };
            (memory, action) = protocol::next(memory, saw);
        }
    }
}
