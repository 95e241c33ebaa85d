//! What travels on a queue: a CloudEvents 1.0 envelope in JSON that refers to its payload by claim
//! (`dataref`), so that other tools can read it.
//!
//! Attributes that this version does not know survive decoding and encoding. A format version that it
//! does not know is refused by name.

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

/// All names and numbers of an envelope, and what stands around texts.
const NAMES_BYTES_MAX: usize = 512;
/// What a byte of a text becomes at most: `\u0000`.
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
    /// The format of the extension attributes below; absent in messages of foreign producers.
    #[serde(default)]
    pub(crate) cloakroomformat: Option<u32>,
    /// Identity of the logical message.
    pub id: MessageId,
    /// The endpoint (or foreign producer) that sent it.
    pub source: String,
    /// The message type, which selects the handler.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was created, as its sender wrote it: RFC 3339.
    #[serde(default)]
    pub time: Option<String>,
    /// Media type of the payload; JSON if absent.
    #[serde(default)]
    pub datacontenttype: Option<String>,
    /// The receiver's partition.
    #[serde(rename = "partitionkey")]
    pub partition: Partition,
    /// The claim under which the payload is kept. Absent: the payload is inline, in `data`.
    #[serde(default)]
    pub dataref: Option<Claim>,
    /// The payload of a message without a claim. Its numbers are what JSON readers agree on, integers of 64 bits and `f64`:
    /// larger ones are rounded, so send them as texts. (What is sent under a claim is kept byte for byte.)
    #[serde(default)]
    pub data: Option<Value>,
    /// The version that the sender's state had after the commit that sent this, as digits that sort as the
    /// number does; see [`Envelope::set_sequence`]. Foreign producers may have other ideas of a sequence.
    #[serde(default)]
    pub sequence: Option<String>,
    /// What all messages of one conversation share.
    #[serde(default)]
    pub correlationid: Option<String>,
    /// The message that caused this one.
    #[serde(default)]
    pub causationid: Option<MessageId>,
    /// The queue that takes replies.
    #[serde(default)]
    pub replyto: Option<String>,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// Not the first dispatch of this message: a missing payload is no cause for alarm.
    #[serde(default)]
    pub redispatch: bool,
    /// All other attributes, as they came.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
}

impl Envelope {
    /// An envelope with nothing but what every message has.
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

    /// Reads an envelope.
    ///
    /// # Errors
    /// Text that is no envelope, and versions that this library does not know.
    pub fn decode(text: &str) -> Result<Self, EnvelopeError> {
        Self::checked(serde_json::from_str(text))
    }

    /// Reads an envelope from JSON that was parsed already.
    pub(crate) fn from_json(json: Value) -> Result<Self, EnvelopeError> {
        Self::checked(serde_json::from_value(json))
    }

    fn checked(read: serde_json::Result<Self>) -> Result<Self, EnvelopeError> {
        let envelope = read?;
        if envelope.specversion != "1.0" {
            return Err(EnvelopeError(format!("CloudEvents version `{}` is not known; 1.0 is", envelope.specversion)));
        }
        match envelope.cloakroomformat {
            None | Some(FORMAT) => {}
            Some(other) => {
                return Err(EnvelopeError(format!(
                    "envelope format {other} is not known; {FORMAT} is. Update this service before its senders"
                )));
            }
        }
        // SUBTLE: somebody else's reference is no claim of ours. Its payload would be "missing", and the message
        // would be taken for a duplicate and lost.
        if envelope.cloakroomformat.is_none() && envelope.dataref.is_some() {
            return Err(EnvelopeError("`dataref` of a foreign producer cannot be followed; send `data`".to_owned()));
        }
        if envelope.id.as_str().is_empty() || envelope.partition.as_str().is_empty() {
            return Err(EnvelopeError("`id` and `partitionkey` must not be empty".to_owned()));
        }
        if let Some(claim) = envelope.dataref.as_ref().filter(|claim| !claim.is_well_formed()) {
            return Err(EnvelopeError(format!("`dataref` is `{claim}`, which is no claim")));
        }
        Ok(envelope)
    }

    /// The identity of the logical message, as it is used in keys. Of a message with a claim it is the claim, which no
    /// other message ever has: two messages may share an id. Of one without a claim it is a function of source,
    /// partition, type and id. Foreign producers number for themselves, and perhaps for each partition and type.
    pub fn identity(&self) -> MessageId {
        match &self.dataref {
            Some(claim) => MessageId::new(claim.as_str()),
            None => {
                let parts = [self.source.as_str(), self.partition.as_str(), self.kind.as_str(), self.id.as_str()];
                MessageId::new(derived_id(&parts).to_string())
            }
        }
    }

    /// Notes the version that the sender's state has after the commit.
    pub fn set_sequence(&mut self, version: Version) {
        self.sequence = Some(format!("{:020}", version.number()));
    }

    /// At least as many bytes as it has when it is written with a claim of so many, found without writing it; none if it has parts of
    /// which that is not known.
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

    /// Writes the envelope, in characters that SQS takes: two are legal in JSON and refused there.
    pub fn encode(&self) -> String {
        self.encode_with(self.dataref.as_ref(), self.redispatch)
    }

    /// Writes it with this claim and mark in place of its own.
    pub(crate) fn encode_with(&self, dataref: Option<&Claim>, redispatch: bool) -> String {
        let sent = Sent { envelope: self, dataref, redispatch };
        let text = serde_json::to_string(&sent).expect("strings, numbers and JSON can always be written to memory");
        // The first byte of both is looked for first, since that is quick, and hardly any text has it.
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

/// An envelope as it is written. What differs from one dispatch to the next stands beside it, so that it need not be copied.
struct Sent<'a> {
    envelope: &'a Envelope,
    dataref: Option<&'a Claim>,
    redispatch: bool,
}

impl Serialize for Sent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Self { envelope, dataref, redispatch } = self;
        // All of them are named, so that none is forgotten.
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

/// Why a text is not an envelope.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvelopeError(String);

impl From<serde_json::Error> for EnvelopeError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl std::fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not an envelope that can be read: {}", self.0)
    }
}

crate::debug_is_display!(EnvelopeError);

impl std::error::Error for EnvelopeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_envelope_is_larger_than_it_was_said_to_be() {
        for text in ["", "a", "\u{0}", "\"\\", "\u{ffff}", "grün"] {
            let text = text.repeat(40);
            let mut envelope = Envelope::new(text.as_str().into(), &*text, &*text, text.as_str().into());
            let claim = Claim::from(text.as_str());
            // As it is, and once more with all that it may have.
            for _ in 0..2 {
                let said = envelope.encoded_bytes_max(text.len()).expect("it has no other parts");
                let written = envelope.encode_with(Some(&claim), true).len();
                assert!(written <= said, "{written} bytes, and not {said} at most: {envelope:?}");
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
        assert_eq!(envelope.encoded_bytes_max(0), None, "what others have added is written to be measured");
    }
}
