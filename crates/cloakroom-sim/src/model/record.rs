//! Outbox records of the model.

/// The claims of up to two outgoing messages, in order.
pub(super) type Claims = [u8; 2];

/// An outbox record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Record {
    /// Whether the record has messages to send.
    pub(super) sends: bool,
    /// `None` while the record holds bodies instead of claims.
    pub(super) claims: Option<Claims>,
    /// The record is retained as the proof that its message was processed.
    pub(super) is_retained: bool,
    /// The deduplication window of the record's message is over. A later message with the same id
    /// is another message.
    pub(super) is_expired: bool,
}

/// The maximum number of messages in a scenario.
const MESSAGES_MAX: usize = 4;

/// Embedded records, by the numbers of their messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EmbeddedRecords([Option<Record>; MESSAGES_MAX]);

impl EmbeddedRecords {
    pub(super) fn of(&self, message: u8) -> Option<Record> {
        self.0[usize::from(message)]
    }

    pub(super) fn put(&mut self, message: u8, record: Record) {
        self.0[usize::from(message)] = Some(record);
    }

    pub(super) fn drop_of(&mut self, message: u8) {
        self.0[usize::from(message)] = None;
    }

    /// The messages that have an embedded record.
    pub(super) fn messages(&self) -> impl Iterator<Item = u8> {
        (0..).zip(&self.0).filter_map(|(message, record)| record.map(|_| message))
    }
}
