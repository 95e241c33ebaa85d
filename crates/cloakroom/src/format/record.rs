//! The outbox record: the outgoing messages of the one attempt that committed.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    format::{envelope::Envelope, name::Claim, timestamp::Timestamp},
    protocol::step::Claims,
};

/// The format that this version of the library writes.
const FORMAT: u32 = 1;

/// What was committed beside the state, and has to be sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// In the order in which the handler sent them.
    pub messages: Vec<Outgoing>,
    /// How the incoming message is settled, for whoever finishes the record without it. Absent if the version
    /// of the library that wrote the record did not tell: such a record waits for its message.
    pub settles: Option<Settles>,
    /// When the commit was tried, in milliseconds since 1970. Absent where `settles` is.
    pub committed_ms: Option<u64>,
    /// When the payloads of its messages were checked in, in milliseconds since 1970, if that was after the commit.
    pub checked_in_ms: Option<u64>,
    /// For how many milliseconds after the commit the id of an incoming message without a claim stands for this message, as
    /// the endpoint that committed was set ([`tombstone_ttl_ms`](crate::EndpointSettings::tombstone_ttl_ms)). Whoever comes
    /// later under that id is another message.
    pub id_ttl_ms: Option<u64>,
    /// Its messages were sent. It is kept as the proof that the incoming one was processed.
    pub is_retained: bool,
    /// What a later version added within the same format; kept as it is.
    pub extensions: Map<String, Value>,
}

/// Step 7 of the incoming message that a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settles {
    /// Its payload is deleted.
    Payload(Claim),
    /// It has no claim: its dedupe entry is written, in the payload store of this name.
    Entry(String),
    /// It has no claim: its record is kept as the entry, for so many milliseconds.
    Retained(u64),
}

impl Settles {
    /// The name of the store in which this is done, if it is told.
    pub(crate) fn store(&self) -> Option<&str> {
        match self {
            Self::Payload(claim) => claim.store(),
            Self::Entry(store) => Some(store),
            Self::Retained(_) => None,
        }
    }
}

/// One message to one queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The queue's name.
    pub queue: String,
    /// Its envelope; without `dataref` as long as the body is carried here.
    pub envelope: Envelope,
    /// Seconds for which the queue holds it back; 0 to 900.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_s: u32,
    /// The payload, until it is checked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Message group: the source partition. Keeps order on FIFO queues, and fairness on others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What a later version added within the same format; kept as it is.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

impl Record {
    /// How long ago its commit was tried; `None` if it does not tell.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.committed_ms.map(|committed_ms| now.since(Timestamp::from_millis(committed_ms)))
    }

    /// How old the payloads of its messages are; `None` if it does not tell.
    pub(crate) fn age_of_payloads(&self, now: Timestamp) -> Option<Duration> {
        let checked_in = self.checked_in_ms.map(|checked_in_ms| now.since(Timestamp::from_millis(checked_in_ms)));
        checked_in.or_else(|| self.age(now))
    }

    /// Whether every message has its claim.
    pub fn claims(&self) -> Claims {
        if self.messages.iter().all(|message| message.envelope.dataref.is_some()) {
            Claims::Stored
        } else {
            Claims::Missing
        }
    }

    /// The bodies of the messages that have no claim yet.
    pub fn unclaimed(&self) -> impl Iterator<Item = &str> {
        let unclaimed = self.messages.iter().filter(|message| message.envelope.dataref.is_none());
        unclaimed.map(|message| message.body.as_deref().unwrap_or("null"))
    }

    /// The same record with `claims` in place of the bodies: one for each of [`Record::unclaimed`].
    #[must_use]
    pub fn with_claims(mut self, claims: impl IntoIterator<Item = Claim>) -> Self {
        let mut claims = claims.into_iter();
        for Outgoing { envelope, body, .. } in &mut self.messages {
            envelope.dataref = envelope.dataref.take().or_else(|| claims.next());
            *body = None;
        }
        self
    }

    /// Writes the record.
    pub fn encode(&self) -> String {
        let Self { messages, settles, committed_ms, checked_in_ms, id_ttl_ms, is_retained, extensions } = self;
        let (settles_payload, settles_entry, settles_retained) = match settles {
            Some(Settles::Payload(claim)) => (Some(Cow::Borrowed(claim)), None, None),
            Some(Settles::Entry(store)) => (None, Some(Cow::Borrowed(store.as_str())), None),
            Some(Settles::Retained(ttl_ms)) => (None, None, Some(*ttl_ms)),
            None => (None, None, None),
        };
        let stored = Stored {
            format: FORMAT,
            messages: Cow::Borrowed(messages),
            settles_payload,
            settles_entry,
            settles_retained,
            committed_ms: *committed_ms,
            checked_in_ms: *checked_in_ms,
            id_ttl_ms: *id_ttl_ms,
            is_retained: *is_retained,
            extensions: Cow::Borrowed(extensions),
        };
        serde_json::to_string(&stored).expect("strings, numbers and JSON can always be written to memory")
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Text that is no record, and formats that this library does not know.
    pub fn decode(text: &str) -> Result<Self, RecordError> {
        let stored = match serde_json::from_str::<Stored>(text) {
            Ok(stored) if stored.format == FORMAT => stored,
            other => return Err(refusal(text, other.err())),
        };
        let Stored { messages, settles_payload, settles_entry, settles_retained, .. } = stored;
        let payload = settles_payload.map(|claim| Settles::Payload(claim.into_owned()));
        let entry = settles_entry.map(|store| Settles::Entry(store.into_owned()));
        let settles = payload.or(entry).or(settles_retained.map(Settles::Retained));
        let Stored { committed_ms, checked_in_ms, id_ttl_ms, is_retained, extensions, .. } = stored;
        let (messages, extensions) = (messages.into_owned(), extensions.into_owned());
        Ok(Self { messages, settles, committed_ms, checked_in_ms, id_ttl_ms, is_retained, extensions })
    }
}

/// Why a text is refused: its format, if it says another one, whatever else is wrong with it.
fn refusal(text: &str, error: Option<serde_json::Error>) -> RecordError {
    match serde_json::from_str(text) {
        Ok(Format { format }) if format != FORMAT => {
            RecordError(format!("format {format} is not known; {FORMAT} is. Finish it with the version that wrote it"))
        }
        Ok(Format { .. }) => RecordError(error.map(|error| error.to_string()).unwrap_or_default()),
        Err(error) => RecordError(error.to_string()),
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// As it is written: what it is written from is borrowed.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    format: u32,
    messages: Cow<'a, [Outgoing]>,
    /// One of these. A way of a later version is an extension here: its record waits for its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settles_payload: Option<Cow<'a, Claim>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settles_entry: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settles_retained: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    committed_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checked_in_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_ttl_ms: Option<u64>,
    #[serde(default, rename = "retained", skip_serializing_if = "std::ops::Not::not")]
    is_retained: bool,
    #[serde(flatten)]
    extensions: Cow<'a, Map<String, Value>>,
}

/// Why a text is not an outbox record.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordError(String);

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not an outbox record that can be read: {}", self.0)
    }
}

crate::debug_is_display!(RecordError);

impl std::error::Error for RecordError {}
