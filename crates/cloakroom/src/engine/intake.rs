//! Decoding of deliveries: envelopes, and messages of producers that do not write envelopes.
//!
//! | body | type | partition | identity |
//! |---|---|---|---|
//! | CloudEvents 1.0 in JSON | `type` | `partitionkey`; without it [`Message::partition`] of the data | `source`, partition, `type` and `id` |
//! | other JSON | the attribute [`TYPE`], or that of [`EndpointBuilder::plain`](crate::endpoint::EndpointBuilder::plain) | [`Message::partition`] of the body | the attribute [`SOURCE`] (`plain`), partition, type, and the attribute [`ID`] (the queue's own id of the message) |
//!
//! The data of an event may be in `data`. It may be in `data_base64` if its content type is JSON or
//! absent. A message without a claim is recognised as a duplicate until its dedupe entry expires:
//! 50 days as provisioned.
//!
//! A plain message without [`ID`] is a new message each time that its producer sends it. It stays
//! the same message while its queue delivers it again, and when SQS moves it to the dead-letter
//! queue. But a tool that *sends* the body again, as the redrive tasks of SQS do, makes another
//! message of it. Therefore such a message is parked as an envelope. Tools that put dead-letter
//! messages back should send the result of [`parking::put_back`](crate::engine::parking::put_back).
//!
//! A partition that is derived from data is part of the identity. If the code of
//! [`Message::partition`] changes while messages are in flight, these messages get another
//! identity.
//!
//! A message for which no envelope can be made is parked unchanged. This is also the case if the
//! envelope would be too large for the queue. An envelope needs about 300 bytes more than a plain
//! body.

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

/// Message attribute of a body that is not an envelope: the type.
pub const TYPE: &str = "cloakroom-type";
/// Message attribute of a body that is not an envelope: the id. It must be unique among the
/// messages of the same source and partition.
pub const ID: &str = "cloakroom-id";
/// Message attribute of a body that is not an envelope: the producer that chose the id.
pub const SOURCE: &str = "cloakroom-source";

/// The source of messages without [`SOURCE`].
const DEFAULT_SOURCE: &str = "plain";

/// Why a message cannot be decoded without the message types of an endpoint.
const NEEDS_ENDPOINT: &str = "Only the endpoint that handles its type can derive its partition";

/// Reads the partition from the data of a message.
type PartitionOf = fn(&Value) -> Result<Partition, serde_json::Error>;

/// The rules by which an endpoint decodes deliveries.
#[derive(Default)]
pub(crate) struct Intake {
    partitions: BTreeMap<&'static str, PartitionOf>,
    /// The type of messages that name none.
    plain: Option<&'static str>,
    /// The sources whose foreign messages are accepted. If it is empty, every source is accepted.
    sources: BTreeSet<String>,
}

/// A delivery with its envelope, or with the reason why it has none.
#[derive(Debug)]
pub(crate) struct Incoming<'d> {
    /// The delivery as received. If an envelope was made for a foreign message, it is the body here,
    /// and it is also the body that is parked.
    ///
    /// SUBTLE: (1) a plain message is committed and then parked. (2) Its plain body is sent again,
    /// and the queue gives it another id. Its identity would be another one, so it would be
    /// committed again (`a_plain_message_keeps_its_identity_when_parked`).
    pub(crate) delivery: Cow<'d, Delivery>,
    pub(crate) envelope: Result<Arc<Envelope>, String>,
}

impl Incoming<'_> {
    /// Returns the partition, if the message has an envelope.
    pub(crate) fn partition(&self) -> Option<&Partition> {
        self.envelope.as_ref().ok().map(|envelope| &envelope.partition)
    }
}

impl Intake {
    /// Adds a message type.
    pub(crate) fn add<M: Message>(&mut self) {
        self.partitions.insert(M::TYPE, |data| M::deserialize(data).map(|message| message.partition()));
    }

    /// Sets `M` as the type of messages that name none.
    pub(crate) const fn set_plain<M: Message>(&mut self) {
        self.plain = Some(M::TYPE);
    }

    /// Returns the type of messages that name none, if it is set and has no handler.
    pub(crate) fn unhandled(&self) -> Option<&'static str> {
        self.plain.filter(|kind| !self.partitions.contains_key(kind))
    }

    /// Decodes the envelope of a delivery, or makes one.
    pub(crate) fn accept<'d>(&self, limits: &Limits, delivery: Cow<'d, Delivery>) -> Incoming<'d> {
        let envelope = match Envelope::decode(&delivery.body) {
            Ok(envelope) => self.check_source(envelope).and_then(with_data).map(Arc::new),
            Err(error) => {
                let envelope = self.make_envelope(&delivery, &error).and_then(|envelope| self.check_source(envelope));
                match envelope.and_then(|envelope| with_body_of(limits, &delivery, envelope)) {
                    Ok(incoming) => return incoming,
                    Err(reason) => Err(reason),
                }
            }
        };
        Incoming { delivery, envelope }
    }

    /// Adds a source. From then on foreign messages from other sources are refused.
    pub(crate) fn accept_source(&mut self, source: String) {
        self.sources.insert(source);
    }

    /// Returns an error if the message is foreign and its source is not accepted.
    fn check_source(&self, envelope: Envelope) -> Result<Envelope, String> {
        let is_foreign = envelope.dataref.is_none();
        if is_foreign && !self.sources.is_empty() && !self.sources.contains(&envelope.source) {
            let (kind, source, accepted) = (&envelope.kind, &envelope.source, &self.sources);
            return Err(format!(
                "a foreign `{kind}` comes from source `{source}`; the endpoint accepts {accepted:?}. If that source may send to the \
                 endpoint, add it with `accept_source`"
            ));
        }
        Ok(envelope)
    }

    /// Makes an envelope for a body that is not one. `error` is the reason why it is not one.
    fn make_envelope(&self, delivery: &Delivery, error: &EnvelopeError) -> Result<Envelope, String> {
        match serde_json::from_str(&delivery.body) {
            Ok(Value::Object(event)) if event.contains_key("specversion") => self.complete_event(event, error),
            Ok(body) => self.wrap_plain(delivery, body, error),
            Err(_) => Err(error.to_string()),
        }
    }

    /// Adds the partition to a CloudEvents event, the only part that it lacks.
    fn complete_event(&self, mut event: Map<String, Value>, error: &EnvelopeError) -> Result<Envelope, String> {
        if event.contains_key("partitionkey") || event.contains_key("cloakroomformat") {
            return Err(error.to_string());
        }
        // A placeholder, so that the other attributes can be read and checked.
        event.insert("partitionkey".to_owned(), Value::from("-"));
        let envelope = Envelope::from_json(Value::Object(event)).map_err(|error| error.to_string())?;
        let envelope = with_data(envelope)?;
        let partition = self.partition(&envelope.kind, envelope.data.as_ref().unwrap_or(&Value::Null))?;
        Ok(Envelope { partition, ..envelope })
    }

    fn wrap_plain(&self, delivery: &Delivery, body: Value, error: &EnvelopeError) -> Result<Envelope, String> {
        let attribute = |name| delivery.attributes.get(name).map(String::as_str).filter(|text| !text.is_empty());
        // Recovery has no message types, so its error does not describe what an endpoint would do.
        if self.partitions.is_empty() {
            return Err(format!("{error}. {NEEDS_ENDPOINT}"));
        }
        let kind = attribute(TYPE).or(self.plain).ok_or_else(|| {
            format!(
                "{error}. Messages that are not envelopes are accepted if their type is known: set it when the endpoint is built \
                 (`plain`), or in their attribute `{TYPE}`"
            )
        })?;
        let id = attribute(ID).or(Some(&*delivery.id)).filter(|id| !id.is_empty()).ok_or_else(|| {
            format!("{error}, nor has it an identity: its queue gave it no id. Send an id in its attribute `{ID}`")
        })?;
        let partition = self.partition(kind, &body)?;
        let source = attribute(SOURCE).unwrap_or(DEFAULT_SOURCE);
        let envelope = Envelope::new(id.into(), source, kind, partition);
        // Without `cloakroomformat` the message remains a foreign one.
        Ok(Envelope { cloakroomformat: None, data: Some(body), ..envelope })
    }

    fn partition(&self, kind: &str, data: &Value) -> Result<Partition, String> {
        if self.partitions.is_empty() {
            return Err(format!("the message is a `{kind}` without a `partitionkey`. {NEEDS_ENDPOINT}"));
        }
        let read = self.partitions.get(kind).ok_or_else(|| {
            let handled = self.partitions.keys();
            format!("there is no handler for `{kind}`, so its partition cannot be derived; there are handlers for {handled:?}")
        })?;
        let partition = std::panic::catch_unwind(AssertUnwindSafe(|| read(data)))
            .map_err(|_| format!("the partition of a `{kind}` cannot be derived: `partition` panicked"))?
            .map_err(|error| format!("the payload is no `{kind}`: {error}"))?;
        match partition.as_str() {
            "" => Err(format!("a `{kind}` has an empty partition")),
            _ => Ok(partition),
        }
    }
}

/// Returns whether a body has its own id, as envelopes and events do.
pub(crate) fn is_event(body: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Event {
        #[serde(rename = "specversion")]
        _version: serde::de::IgnoredAny,
    }
    serde_json::from_str::<Event>(body).is_ok()
}

/// Returns the foreign message with its envelope as the body.
fn with_body_of(limits: &Limits, delivery: &Delivery, envelope: Envelope) -> Result<Incoming<'static>, String> {
    let attributes = delivery.attributes.clone();
    let message = QueueMessage { body: envelope.encode(), attributes, ..QueueMessage::default() };
    // The envelope must fit its queue, so that it can be parked.
    let what = format!("the envelope of a foreign `{}`", envelope.kind);
    check_size(limits, &what, &message)
        .map_err(|error| format!("{error}. Send a smaller body, or an envelope with `partitionkey`"))?;
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

/// Moves the content of `data_base64` to `data`.
fn with_data(mut envelope: Envelope) -> Result<Envelope, String> {
    const BASE64: &str = "data_base64";
    if envelope.dataref.is_some() || envelope.data.is_some() || !envelope.extensions.contains_key(BASE64) {
        return Ok(envelope);
    }
    if let Some(media_type) = envelope.datacontenttype.as_deref().filter(|media_type| !is_json(media_type)) {
        return Err(format!("`{BASE64}` holds `{media_type}`; the only type that it may hold is JSON"));
    }
    let encoded = envelope.extensions.remove(BASE64);
    let bytes = encoded.as_ref().and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.ok_or_else(|| format!("`{BASE64}` is no Base64"))?;
    let data = serde_json::from_slice(&bytes).map_err(|error| format!("`{BASE64}` holds no JSON: {error}"))?;
    envelope.data = Some(data);
    Ok(envelope)
}

/// Returns whether a media type, such as `application/cloudevents+json; charset=utf-8`, is JSON.
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
        intake.set_plain::<Upload>();
        let delivery = Delivery { id: "1".to_owned(), body: body.to_owned(), ..Delivery::default() };
        let incoming = intake.accept(&Limits::default(), Cow::Owned(delivery));
        incoming.partition().map(ToString::to_string)
    }

    #[test]
    fn partition_is_derived_for_every_message_that_has_one() {
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
