//! What comes in: envelopes, and messages of foreign producers that are none.
//!
//! | what the body is | type | partition | identity |
//! |---|---|---|---|
//! | CloudEvents 1.0 in JSON | `type` | `partitionkey`; without it [`Message::partition`] of the data | `source`, partition, `type` and `id` |
//! | other JSON | the attribute [`TYPE`], or that of [`EndpointBuilder::plain`](crate::endpoint::EndpointBuilder::plain) | [`Message::partition`] of the body | the attribute [`SOURCE`] (`plain`), partition, type, and the attribute [`ID`] (the queue's own id of the message) |
//!
//! The data of an event may be in `data`, or in `data_base64` if its content type is JSON or absent. Whatever has no claim is
//! recognised for as long as its dedupe entry lives: 50 days as provisioned.
//!
//! A plain message that does not say [`ID`] is a new one each time that its producer sends it. It stays the same one while the
//! queue delivers it again, and when the queue moves it to its dead-letter queue; but whoever *sends* what is there, as the move
//! tasks of SQS do, makes another message of it. So such a message is parked as the envelope that it was turned into, and tools that put
//! messages back should send what [`parking::put_back`](crate::engine::parking::put_back) makes of them.
//!
//! A partition that is derived from data is part of the identity: a [`Message::partition`] that changes while messages are in flight makes
//! others of them. What cannot be turned into an envelope, be it that the envelope would not fit its queue (it needs some 300 bytes
//! more than a plain body), is parked as it came.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::{
    format::{
        envelope::{Envelope, EnvelopeError},
        name::Partition,
    },
    handler::message::Message,
    ports::{
        limits::{Limits, check_size},
        queue::{Delivery, QueueMessage},
    },
};

/// Message attribute of a body that is no envelope: its type.
pub const TYPE: &str = "cloakroom-type";
/// Message attribute of a body that is no envelope: its id, of which no other message of the same source and partition has the
/// same.
pub const ID: &str = "cloakroom-id";
/// Message attribute of a body that is no envelope: who numbers its messages.
pub const SOURCE: &str = "cloakroom-source";

/// The source of messages that do not say theirs.
const SOMEBODY: &str = "plain";

/// Why a message cannot be read without an endpoint's message types.
const ONLY_ITS_ENDPOINT: &str = "Only the endpoint that handles its type can derive its partition";

/// How the partition is read from a message's data.
type PartitionOf = fn(&Value) -> Result<Partition, serde_json::Error>;

/// How an endpoint takes what comes in.
#[derive(Default)]
pub(crate) struct Intake {
    partitions: BTreeMap<&'static str, PartitionOf>,
    /// The type of messages that say none.
    plain: Option<&'static str>,
    /// The sources from which foreign messages are accepted; any if it is empty.
    sources: BTreeSet<String>,
}

/// A delivery, and its envelope or why it has none.
#[derive(Debug)]
pub(crate) struct Incoming<'d> {
    /// As it came; or, of a foreign message, with its envelope for a body. It is this one that is parked.
    ///
    /// SUBTLE: who sends the body of a foreign message gives it another id of its queue, and so another identity. If it was
    /// committed before, it would be committed again when it is put back (`a_plain_message_keeps_its_identity_when_parked`).
    pub(crate) delivery: Cow<'d, Delivery>,
    pub(crate) envelope: Result<Arc<Envelope>, String>,
}

impl Incoming<'_> {
    /// Its partition, if it can be told.
    pub(crate) fn partition(&self) -> Option<&Partition> {
        self.envelope.as_ref().ok().map(|envelope| &envelope.partition)
    }
}

impl Intake {
    /// Knows a type from now on.
    pub(crate) fn add<M: Message>(&mut self) {
        self.partitions.insert(M::TYPE, |data| M::deserialize(data).map(|message| message.partition()));
    }

    /// Takes messages that say no type for `M`s.
    pub(crate) const fn take_plain<M: Message>(&mut self) {
        self.plain = Some(M::TYPE);
    }

    /// The type for which messages that say none are taken, if there is one without a handler.
    pub(crate) fn unhandled(&self) -> Option<&'static str> {
        self.plain.filter(|kind| !self.partitions.contains_key(kind))
    }

    /// Reads the envelope of a delivery, or makes one.
    pub(crate) fn accept<'d>(&self, limits: &Limits, delivery: Cow<'d, Delivery>) -> Incoming<'d> {
        let envelope = match Envelope::decode(&delivery.body) {
            Ok(envelope) => self.check_source(envelope).and_then(with_data).map(Arc::new),
            Err(error) => {
                let adopted = self.adopt(&delivery, &error).and_then(|envelope| self.check_source(envelope));
                match adopted.and_then(|envelope| enclosed(limits, &delivery, envelope)) {
                    Ok(incoming) => return incoming,
                    Err(reason) => Err(reason),
                }
            }
        };
        Incoming { delivery, envelope }
    }

    /// Accepts foreign messages from this source, and no longer from all.
    pub(crate) fn accept_source(&mut self, source: String) {
        self.sources.insert(source);
    }

    /// Refuses a foreign message from a source that is not accepted.
    fn check_source(&self, envelope: Envelope) -> Result<Envelope, String> {
        let is_foreign = envelope.dataref.is_none();
        if is_foreign && !self.sources.is_empty() && !self.sources.contains(&envelope.source) {
            let (kind, source, accepted) = (&envelope.kind, &envelope.source, &self.sources);
            return Err(format!(
                "a foreign `{kind}` comes from source `{source}`; the endpoint accepts {accepted:?}. If that source may send to \
                 it, name it with `accept_source` when the endpoint is built"
            ));
        }
        Ok(envelope)
    }

    /// Makes an envelope for a body that is none, as `error` says.
    fn adopt(&self, delivery: &Delivery, error: &EnvelopeError) -> Result<Envelope, String> {
        match serde_json::from_str(&delivery.body) {
            Ok(Value::Object(event)) if event.contains_key("specversion") => self.adopt_event(event, error),
            Ok(body) => self.adopt_plain(delivery, body, error),
            Err(_) => Err(error.to_string()),
        }
    }

    /// An event lacks nothing but its partition.
    fn adopt_event(&self, mut event: Map<String, Value>, error: &EnvelopeError) -> Result<Envelope, String> {
        if event.contains_key("partitionkey") || event.contains_key("cloakroomformat") {
            return Err(error.to_string());
        }
        // Stands for the one to come, so that all the rest can be read and checked.
        event.insert("partitionkey".to_owned(), Value::from("-"));
        let envelope = Envelope::from_json(Value::Object(event)).map_err(|error| error.to_string())?;
        let envelope = with_data(envelope)?;
        let partition = self.partition(&envelope.kind, envelope.data.as_ref().unwrap_or(&Value::Null))?;
        Ok(Envelope { partition, ..envelope })
    }

    fn adopt_plain(&self, delivery: &Delivery, body: Value, error: &EnvelopeError) -> Result<Envelope, String> {
        let told = |name| delivery.attributes.get(name).map(String::as_str).filter(|text| !text.is_empty());
        // Recovery has no types, so its words are not about what an endpoint would do.
        if self.partitions.is_empty() {
            return Err(format!("{error}. {ONLY_ITS_ENDPOINT}"));
        }
        let kind = told(TYPE).or(self.plain).ok_or_else(|| {
            format!(
                "{error}. Messages that are no envelope are taken if their type is known: say it when the endpoint is built \
                 (`plain`), or in their attribute `{TYPE}`"
            )
        })?;
        let id = told(ID).or(Some(&*delivery.id)).filter(|id| !id.is_empty()).ok_or_else(|| {
            format!("{error}, nor has it an identity: its queue gives none; send one in its attribute `{ID}`")
        })?;
        let partition = self.partition(kind, &body)?;
        let source = told(SOURCE).unwrap_or(SOMEBODY);
        let envelope = Envelope::new(id.into(), source, kind, partition);
        // A foreign message it is, and stays.
        Ok(Envelope { cloakroomformat: None, data: Some(body), ..envelope })
    }

    fn partition(&self, kind: &str, data: &Value) -> Result<Partition, String> {
        if self.partitions.is_empty() {
            return Err(format!("the message is a `{kind}` without a `partitionkey`. {ONLY_ITS_ENDPOINT}"));
        }
        let read = self.partitions.get(kind).ok_or_else(|| {
            let handled = self.partitions.keys();
            format!("there is no handler for `{kind}`, which would tell its partition; there are {handled:?}")
        })?;
        let partition = std::panic::catch_unwind(AssertUnwindSafe(|| read(data)))
            .map_err(|_| format!("the partition of a `{kind}` cannot be told: `partition` panicked"))?
            .map_err(|error| format!("the payload is no `{kind}`: {error}"))?;
        match partition.as_str() {
            "" => Err(format!("a `{kind}` has an empty partition")),
            _ => Ok(partition),
        }
    }
}

/// Whether a body says who it is, as envelopes and events do.
pub(crate) fn is_event(body: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Event {
        #[serde(rename = "specversion")]
        _version: serde::de::IgnoredAny,
    }
    serde_json::from_str::<Event>(body).is_ok()
}

/// The foreign message as the envelope that it has become.
fn enclosed(limits: &Limits, delivery: &Delivery, envelope: Envelope) -> Result<Incoming<'static>, String> {
    let attributes = delivery.attributes.clone();
    let message = QueueMessage { body: envelope.encode(), attributes, ..QueueMessage::default() };
    // It must be possible to park it.
    let what = format!("the envelope that a foreign `{}` is put into", envelope.kind);
    check_size(limits, &what, &message)
        .map_err(|error| format!("{error}: send less, or an envelope with `partitionkey`"))?;
    let QueueMessage { body, attributes, .. } = message;
    let Delivery { id, receipt, receive_count, group, .. } = delivery;
    let delivery = Delivery {
        id: id.clone(),
        body,
        attributes,
        receipt: receipt.clone(),
        receive_count: *receive_count,
        group: group.clone(),
    };
    Ok(Incoming { delivery: Cow::Owned(delivery), envelope: Ok(Arc::new(envelope)) })
}

/// Puts what is in `data_base64` where it is looked for.
fn with_data(mut envelope: Envelope) -> Result<Envelope, String> {
    const BASE64: &str = "data_base64";
    if envelope.dataref.is_some() || envelope.data.is_some() || !envelope.extensions.contains_key(BASE64) {
        return Ok(envelope);
    }
    if let Some(media_type) = envelope.datacontenttype.as_deref().filter(|media_type| !is_json(media_type)) {
        return Err(format!("`{BASE64}` holds `{media_type}`; of what is binary only JSON can be read"));
    }
    let encoded = envelope.extensions.remove(BASE64);
    let bytes = encoded.as_ref().and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.ok_or_else(|| format!("`{BASE64}` is no Base64"))?;
    let data = serde_json::from_slice(&bytes).map_err(|error| format!("`{BASE64}` holds no JSON: {error}"))?;
    envelope.data = Some(data);
    Ok(envelope)
}

/// Whether a media type, such as `application/cloudevents+json; charset=utf-8`, is JSON.
fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Upload {
        folder: String,
    }

    impl Message for Upload {
        const TYPE: &'static str = "upload";
        fn partition(&self) -> Partition {
            Partition::new(&*self.folder)
        }
    }

    fn partition_of(body: &str) -> Option<String> {
        let mut intake = Intake::default();
        intake.add::<Upload>();
        intake.take_plain::<Upload>();
        let delivery = Delivery { id: "1".to_owned(), body: body.to_owned(), ..Delivery::default() };
        let incoming = intake.accept(&Limits::default(), Cow::Owned(delivery));
        incoming.partition().map(ToString::to_string)
    }

    #[test]
    fn the_partition_is_told_of_every_message_that_has_one() {
        let event = |rest: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"upload",{rest}}}"#);
        for (body, partition) in [
            (event(r#""partitionkey":"p","data":{"folder":"f"}"#), Some("p")),
            (event(r#""data":{"folder":"f"}"#), Some("f")),
            (event(r#""data_base64":"eyJmb2xkZXIiOiJmIn0=""#), Some("f")),
            (r#"{"folder":"f"}"#.to_owned(), Some("f")),
            (event(r#""data":{}"#), None),
            (r#"{"folder":7}"#.to_owned(), None),
            ("no JSON".to_owned(), None),
        ] {
            assert_eq!(partition_of(&body).as_deref(), partition, "{body}");
        }
    }
}
