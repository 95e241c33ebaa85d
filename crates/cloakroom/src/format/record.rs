//! The outbox record: the outgoing messages of the attempt that committed.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    format::{envelope::Envelope, name::Claim, timestamp::Timestamp},
    protocol::step::Claims,
};

/// The format that this version of the library writes.
const FORMAT: u32 = 1;

/// The outgoing messages that were committed together with the state and must be sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The outgoing messages, in the order in which the handler sent them.
    pub messages: Vec<Outgoing>,
    /// How to settle the incoming message if the record is finished without it, for example by a
    /// sweep. Absent if the version of the library that wrote the record did not store it. Then
    /// only a delivery of the message can finish the record.
    pub settles: Option<Settles>,
    /// The time when the commit was tried, in milliseconds since 1970. Absent if `settles` is
    /// absent.
    pub committed_ms: Option<u64>,
    /// The time when the payloads of the outgoing messages were checked in, in milliseconds since
    /// 1970. Present only if they were checked in after the commit.
    pub checked_in_ms: Option<u64>,
    /// The time after the commit, in milliseconds, during which the id of an incoming message
    /// without a claim identifies this message. A message that arrives later with this id is
    /// another message. The value is the
    /// [`tombstone_ttl_ms`](crate::EndpointSettings::tombstone_ttl_ms) of the endpoint that
    /// committed.
    pub id_ttl_ms: Option<u64>,
    /// Whether the outgoing messages were sent and the record is kept only as the proof that the
    /// incoming message was processed.
    pub is_retained: bool,
    /// Fields that a later version added within the same format, unchanged.
    pub extensions: Map<String, Value>,
}

/// The way in which step 7 settles the incoming message of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settles {
    /// The payload with this claim is deleted.
    Payload(Claim),
    /// The message has no claim. Its dedupe entry is written to the payload store with this name.
    Entry(String),
    /// The message has no claim. Its record is kept as the dedupe entry, for this number of
    /// milliseconds.
    Retained(u64),
}

impl Settles {
    /// Returns the name of the store in which step 7 settles the message. `None` if there is none,
    /// or if it is unknown.
    pub(crate) fn store(&self) -> Option<&str> {
        match self {
            Self::Payload(claim) => claim.store(),
            Self::Entry(store) => Some(store),
            Self::Retained(_) => None,
        }
    }
}

/// One outgoing message to one queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The name of the queue.
    pub queue: String,
    /// The envelope. It has no `dataref` until `body` is checked in.
    pub envelope: Envelope,
    /// The delivery delay in seconds, from 0 to 900.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_s: u32,
    /// The payload, until it is checked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The message group: the source partition. It provides order on FIFO queues, and fairness on
    /// standard queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Fields that a later version added within the same format, unchanged.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

impl Record {
    /// Returns the time since the commit was tried. `None` if the record does not contain the time
    /// of the commit.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.committed_ms.map(|committed_ms| now.since(Timestamp::from_millis(committed_ms)))
    }

    /// Returns the age of the payloads of the outgoing messages. `None` if the record does not
    /// contain it.
    pub(crate) fn age_of_payloads(&self, now: Timestamp) -> Option<Duration> {
        let checked_in = self.checked_in_ms.map(|checked_in_ms| now.since(Timestamp::from_millis(checked_in_ms)));
        checked_in.or_else(|| self.age(now))
    }

    /// Returns whether every outgoing message has its claim.
    pub fn claims(&self) -> Claims {
        if self.messages.iter().all(|message| message.envelope.dataref.is_some()) {
            Claims::Stored
        } else {
            Claims::Missing
        }
    }

    /// Returns the bodies of the outgoing messages that have no claim yet.
    pub fn unclaimed(&self) -> impl Iterator<Item = &str> {
        let unclaimed = self.messages.iter().filter(|message| message.envelope.dataref.is_none());
        unclaimed.map(|message| message.body.as_deref().unwrap_or("null"))
    }

    /// Returns the record with `claims` instead of bodies. There must be one claim for each body of
    /// [`Record::unclaimed`], in the same order.
    #[must_use]
    pub fn with_claims(mut self, claims: impl IntoIterator<Item = Claim>) -> Self {
        let mut claims = claims.into_iter();
        for Outgoing { envelope, body, .. } in &mut self.messages {
            envelope.dataref = envelope.dataref.take().or_else(|| claims.next());
            *body = None;
        }
        self
    }

    /// Returns the record as JSON text.
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

    /// Reads a record from JSON text.
    ///
    /// # Errors
    /// If the text is not a record, or if this library does not support its format.
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

/// Returns the reason why a text is not a readable record. A different format takes precedence over
/// any other error, because a text in another format may have other fields.
fn refusal(text: &str, error: Option<serde_json::Error>) -> RecordError {
    match serde_json::from_str(text) {
        Ok(Format { format }) if format != FORMAT => RecordError(format!(
            "format {format} is not supported; this version reads format {FORMAT}. Finish the record with the version \
                 that wrote it"
        )),
        Ok(Format { .. }) => RecordError(error.map(|error| error.to_string()).unwrap_or_default()),
        Err(error) => RecordError(error.to_string()),
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A record in its stored format. It borrows its fields for encoding.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    format: u32,
    messages: Cow<'a, [Outgoing]>,
    /// At most one of the three `settles_` fields is present. If a later version adds another one,
    /// this version reads it as an extension. Then only a delivery of the message can finish the
    /// record.
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

/// The reason why a text is not an outbox record.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordError(String);

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not an outbox record that this version can read: {}", self.0)
    }
}

crate::debug_is_display!(RecordError);

impl std::error::Error for RecordError {}
