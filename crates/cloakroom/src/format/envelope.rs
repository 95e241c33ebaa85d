//! The body of a message on a queue: a CloudEvents 1.0 envelope in JSON, which other tools can also
//! read. It refers to its payload by claim (`dataref`).
//!
//! Unknown attributes survive decoding and encoding. An unknown format version is refused, and the
//! error names it.

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::{
    format::{
        derived_id::derived_id,
        name::{Claim, MessageId, Partition},
    },
    protocol::version::Version,
};

/// The format that this version of the library writes (extension attribute `cloakroomformat`).
const FORMAT: u32 = 1;

/// The maximum size of the names, numbers and punctuation of an envelope.
const NAMES_BYTES_MAX: usize = 512;
/// The maximum encoded size of one byte of a string: `\u0000`.
const ESCAPED_BYTES_MAX: usize = 6;

/// The envelope of one message.
///
/// ```
/// use cloakroom::format::Envelope;
///
/// let body = r#"{"specversion":"1.0","id":"1","source":"shop","type":"order.placed",
///                "partitionkey":"order#1","data":{"sku":"A"}}"#;
/// let envelope = Envelope::decode(body)?;
/// assert!(envelope.dataref.is_none(), "a message of a foreign producer carries no claim");
/// # Ok::<(), cloakroom::format::EnvelopeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Envelope {
    pub(crate) specversion: String,
    /// The format of the extension attributes below. Absent in messages of foreign producers.
    #[serde(default)]
    pub(crate) cloakroomformat: Option<u32>,
    /// The id of the logical message.
    pub id: MessageId,
    /// The endpoint or foreign producer that sent the message.
    pub source: String,
    /// The message type, which selects the handler.
    #[serde(rename = "type")]
    pub kind: String,
    /// The time of its creation according to its sender, in RFC 3339.
    #[serde(default)]
    pub time: Option<String>,
    /// The media type of the payload. JSON if absent.
    #[serde(default)]
    pub datacontenttype: Option<String>,
    /// The receiver's partition.
    #[serde(rename = "partitionkey")]
    pub partition: Partition,
    /// The claim of the payload. If it is absent, the payload is in `data`.
    #[serde(default)]
    pub dataref: Option<Claim>,
    /// The payload of a message without a claim. Its numbers are integers of 64 bits or `f64`, as
    /// in most JSON readers. Larger integers are rounded, so send them as strings. (A payload under
    /// a claim is stored byte for byte.)
    #[serde(default)]
    pub data: Option<Value>,
    /// The version of the sender's state after the commit that sent this message. The digits sort
    /// in the order of the number. See [`Envelope::set_sequence`]. Foreign producers may use
    /// another kind of sequence.
    #[serde(default)]
    pub sequence: Option<String>,
    /// An id that all messages of one conversation share.
    #[serde(default)]
    pub correlationid: Option<String>,
    /// The id of the message that caused this message.
    #[serde(default)]
    pub causationid: Option<MessageId>,
    /// The name of the queue for replies.
    #[serde(default)]
    pub replyto: Option<String>,
    /// The W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// Whether the message was dispatched before. If so, a missing payload raises no alarm.
    #[serde(default)]
    pub redispatch: bool,
    /// All other attributes, unchanged.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
}

impl Envelope {
    /// Creates an envelope that has only the attributes that every message has.
    pub fn new(id: MessageId, source: impl Into<String>, kind: impl Into<String>, partition: Partition) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            cloakroomformat: Some(FORMAT),
            id,
            source: source.into(),
            kind: kind.into(),
            time: None,
            datacontenttype: None,
            partition,
            dataref: None,
            data: None,
            sequence: None,
            correlationid: None,
            causationid: None,
            replyto: None,
            traceparent: None,
            redispatch: false,
            extensions: Map::new(),
        }
    }

    /// Reads an envelope from JSON text.
    ///
    /// # Errors
    /// If the text is not an envelope, or if this library does not support its version.
    pub fn decode(text: &str) -> Result<Self, EnvelopeError> {
        Self::checked(serde_json::from_str(text))
    }

    /// Reads an envelope from parsed JSON.
    pub(crate) fn from_json(json: Value) -> Result<Self, EnvelopeError> {
        Self::checked(serde_json::from_value(json))
    }

    fn checked(read: serde_json::Result<Self>) -> Result<Self, EnvelopeError> {
        let envelope = read?;
        if envelope.specversion != "1.0" {
            return Err(EnvelopeError(format!(
                "CloudEvents version `{}` is not supported; send version 1.0",
                envelope.specversion
            )));
        }
        match envelope.cloakroomformat {
            None | Some(FORMAT) => {}
            Some(other) => {
                return Err(EnvelopeError(format!(
                    "envelope format {other} is not supported; this version reads format {FORMAT}. Update this service \
                     before its senders"
                )));
            }
        }
        // SUBTLE: the `dataref` of a foreign producer is not a claim. (1) No payload store has a
        // payload under it. (2) The missing payload makes the message look processed. The message
        // would be acknowledged as a duplicate and lost.
        if envelope.cloakroomformat.is_none() && envelope.dataref.is_some() {
            return Err(EnvelopeError(
                "`dataref` of a foreign producer is not supported; send the payload in `data`".to_owned(),
            ));
        }
        if envelope.id.as_str().is_empty() || envelope.partition.as_str().is_empty() {
            return Err(EnvelopeError("`id` and `partitionkey` must not be empty".to_owned()));
        }
        if let Some(claim) = envelope.dataref.as_ref().filter(|claim| !claim.is_well_formed()) {
            return Err(EnvelopeError(format!("`dataref` is `{claim}`, which is not a valid claim")));
        }
        Ok(envelope)
    }

    /// Returns the identity of the logical message, which is part of keys. For a message with a
    /// claim it is the claim, because two messages may share an id, but never a claim. For a
    /// message without a claim it is derived from source, partition, type and id, because an id of
    /// a foreign producer may be unique only within these.
    pub fn identity(&self) -> MessageId {
        match &self.dataref {
            Some(claim) => MessageId::new(claim.as_str()),
            None => {
                let parts = [self.source.as_str(), self.partition.as_str(), self.kind.as_str(), self.id.as_str()];
                MessageId::new(derived_id(&parts).to_string())
            }
        }
    }

    /// Sets the sequence to the version that the sender's state has after the commit.
    pub fn set_sequence(&mut self, version: Version) {
        self.sequence = Some(format!("{:020}", version.number()));
    }

    /// Returns an upper bound of the encoded size with a claim of `claim_bytes` bytes, without
    /// encoding the envelope. `None` if the envelope has parts whose encoded size is unknown.
    pub(crate) fn encoded_bytes_max(&self, claim_bytes: usize) -> Option<usize> {
        #[rustfmt::skip]
        let Self {
            specversion, cloakroomformat: _, id, source, kind, time, datacontenttype, partition, dataref: _, data, sequence,
            correlationid, causationid, replyto, traceparent, redispatch: _, extensions,
        } = self;
        if data.is_some() || !extensions.is_empty() {
            return None;
        }
        let optional = [time, datacontenttype, sequence, correlationid, replyto, traceparent];
        let optional: usize = optional.into_iter().flatten().map(String::len).sum();
        let ids = id.as_str().len() + causationid.as_ref().map_or(0, |id| id.as_str().len()) + partition.as_str().len();
        let texts = specversion.len() + source.len() + kind.len() + optional + ids + claim_bytes;
        Some(NAMES_BYTES_MAX + ESCAPED_BYTES_MAX * texts)
    }

    /// Returns the envelope as JSON text. It escapes U+FFFE and U+FFFF, which JSON allows and SQS
    /// refuses.
    pub fn encode(&self) -> String {
        self.encode_with(self.dataref.as_ref(), self.redispatch)
    }

    /// Returns the envelope as JSON text, with this claim and this `redispatch` instead of its own.
    pub(crate) fn encode_with(&self, dataref: Option<&Claim>, redispatch: bool) -> String {
        let sent = Sent { envelope: self, dataref, redispatch };
        let text = serde_json::to_string(&sent).expect("strings, numbers and JSON can always be written to memory");
        // Almost no text contains the first byte of these two characters, and searching for one
        // byte is fast.
        if text.as_bytes().contains(&0xef) && text.contains(['\u{fffe}', '\u{ffff}']) {
            return text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
        }
        text
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Sent { envelope: self, dataref: self.dataref.as_ref(), redispatch: self.redispatch }.serialize(serializer)
    }
}

/// An envelope that is being encoded. The attributes that differ between dispatches are separate
/// fields, so that the envelope need not be copied.
struct Sent<'a> {
    envelope: &'a Envelope,
    dataref: Option<&'a Claim>,
    redispatch: bool,
}

impl Serialize for Sent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Self { envelope, dataref, redispatch } = self;
        // Lists every field, so that the compiler reports a new field that is not encoded.
        #[rustfmt::skip]
        let Envelope {
            specversion, cloakroomformat, id, source, kind, time, datacontenttype, partition, dataref: _, data, sequence,
            correlationid, causationid, replyto, traceparent, redispatch: _, extensions,
        } = envelope;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", specversion)?;
        optional(&mut map, "cloakroomformat", cloakroomformat.as_ref())?;
        map.serialize_entry("id", id)?;
        map.serialize_entry("source", source)?;
        map.serialize_entry("type", kind)?;
        optional(&mut map, "time", time.as_ref())?;
        optional(&mut map, "datacontenttype", datacontenttype.as_ref())?;
        map.serialize_entry("partitionkey", partition)?;
        optional(&mut map, "dataref", dataref)?;
        optional(&mut map, "data", data.as_ref())?;
        optional(&mut map, "sequence", sequence.as_ref())?;
        optional(&mut map, "correlationid", correlationid.as_ref())?;
        optional(&mut map, "causationid", causationid.as_ref())?;
        optional(&mut map, "replyto", replyto.as_ref())?;
        optional(&mut map, "traceparent", traceparent.as_ref())?;
        optional(&mut map, "redispatch", redispatch.then_some(&true))?;
        extensions.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

fn optional<M: SerializeMap>(map: &mut M, name: &str, value: Option<&impl Serialize>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, value))
}

/// The reason why a text is not an envelope.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvelopeError(String);

impl From<serde_json::Error> for EnvelopeError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl std::fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not an envelope that this version can read: {}", self.0)
    }
}

crate::debug_is_display!(EnvelopeError);

impl std::error::Error for EnvelopeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_envelope_is_at_most_its_upper_bound() {
        for text in ["", "a", "\u{0}", "\"\\", "\u{ffff}", "grün"] {
            let text = text.repeat(40);
            let mut envelope = Envelope::new(text.as_str().into(), &*text, &*text, text.as_str().into());
            let claim = Claim::from(text.as_str());
            // The first round has only the required attributes, the second one also has all
            // optional ones.
            for _ in 0..2 {
                let bound = envelope.encoded_bytes_max(text.len()).expect("it has no other parts");
                let written = envelope.encode_with(Some(&claim), true).len();
                assert!(written <= bound, "{written} bytes instead of at most {bound}: {envelope:?}");
                let more = Some(text.clone());
                envelope.time.clone_from(&more);
                envelope.datacontenttype.clone_from(&more);
                envelope.sequence.clone_from(&more);
                envelope.correlationid.clone_from(&more);
                envelope.replyto.clone_from(&more);
                envelope.traceparent = more;
                envelope.causationid = Some(text.as_str().into());
            }
        }
        let mut envelope = Envelope::new("1".into(), "shop", "order", "p".into());
        envelope.extensions.insert("tenant".to_owned(), Value::Null);
        assert_eq!(envelope.encoded_bytes_max(0), None, "the size of extensions is unknown until they are encoded");
    }
}
