//! One message of a dead-letter queue: what is known about it, and what happens to it.

use crate::{
    engine::parking::REASON, format::envelope::Envelope, ports::queue::Delivery, recovery::one_endpoint::MessageStatus,
};

/// How to treat the messages of a dead-letter queue. No message is lost: a message is deleted only
/// after it was finished or sent to its queue again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Changes nothing; only looks up each message.
    Look,
    /// Finishes committed messages and deletes processed ones. The other messages stay.
    Finish,
    /// Like [`Finish`](Self::Finish); also puts each message that is not processed back into its
    /// queue.
    Redrive,
}

impl Treatment {
    /// Returns the planned fate of a message with this status.
    pub const fn plan(self, standing: &MessageStatus) -> Fate {
        match (self, standing) {
            (Self::Look, _) | (_, MessageStatus::Missing | MessageStatus::Unreadable(_)) => Fate::Left,
            (_, MessageStatus::Committed) => Fate::Finished,
            (_, MessageStatus::Processed) => Fate::Deleted,
            (Self::Finish, MessageStatus::NotProcessed) => Fate::Left,
            (Self::Redrive, MessageStatus::NotProcessed) => Fate::PutBack,
        }
    }
}

/// The result for one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The message stays.
    Left,
    /// The message was finished and deleted.
    Finished,
    /// The message was already processed and was deleted.
    Deleted,
    /// The message is in its queue again.
    PutBack,
    /// The message was moved to the dead-letter queue.
    Parked,
    /// The message stays, for this reason.
    Failed(String),
}

/// A message that was received and treated.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The message as it was received.
    pub delivery: Delivery,
    /// The envelope, if the message has a readable one.
    pub envelope: Option<Envelope>,
    /// The endpoint that the message belongs to, as far as known.
    pub endpoint: String,
    /// The status of the message. `None` if it was not looked up, or if the lookup failed.
    pub standing: Option<MessageStatus>,
    /// The result for this message. In a dry run, the result that a real run would have.
    pub fate: Fate,
}

impl DeadLetter {
    /// Returns the reason why the message was parked. `None` if the queue moved it after too many
    /// receives.
    pub fn reason(&self) -> Option<&str> {
        self.delivery.attributes.get(REASON).map(String::as_str)
    }
}
