//! A message: its content, and the state of its delivery.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// The number of a message, which orders the messages of a queue. Deliveries also have numbers from
/// the same sequence, so the receipts of two deliveries are always different.
pub(super) type Number = u64;

/// The immutable part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) attributes: Attributes,
    pub(super) trace_header: Option<String>,
    pub(super) group: Option<String>,
    pub(super) deduplication_id: Option<String>,
    pub(super) sent_at: Millis,
    /// The ARN of the source queue, if the message was moved to a dead-letter queue.
    pub(super) dead_letter_source: Option<String>,
}

/// Message attributes by name. Their checksum uses the same order.
pub(super) type Attributes = BTreeMap<String, Attribute>;

/// One message attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attribute {
    pub(super) data_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) string_value: Option<String>,
    /// Base64, as in the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) binary_value: Option<String>,
}

impl Attribute {
    pub(super) fn is_binary(&self) -> bool {
        self.data_type == "Binary" || self.data_type.starts_with("Binary.")
    }

    /// Returns the bytes of the value. `None` if it is not valid base64, or if there is not exactly
    /// one value.
    pub(super) fn value(&self) -> Option<Vec<u8>> {
        match (&self.string_value, &self.binary_value) {
            (Some(text), None) => Some(text.as_bytes().to_vec()),
            (None, Some(base64)) => STANDARD.decode(base64).ok(),
            _ => None,
        }
    }
}

impl Content {
    pub(super) fn size(&self) -> usize {
        size(&self.body, &self.attributes)
    }
}

/// Returns the size of a message in bytes, for limits and billing.
pub(super) fn size(body: &str, attributes: &Attributes) -> usize {
    let attributes = attributes.iter().map(|(name, attribute)| {
        let value = attribute.value().map_or(0, |value| value.len());
        name.len() + attribute.data_type.len() + value
    });
    body.len() + attributes.sum::<usize>()
}

/// Returns the checksum of a body, which senders and receivers compare.
pub(super) fn md5_of_body(body: &str) -> String {
    hex(&Md5::digest(body.as_bytes()))
}

/// Returns the checksum of attributes: each part is preceded by its length in four bytes.
pub(super) fn md5_of_attributes<'a>(
    attributes: impl IntoIterator<Item = (&'a String, &'a Attribute)>,
) -> Option<String> {
    let mut digest = Md5::new();
    let mut any = false;
    for (name, attribute) in attributes {
        any = true;
        let value = attribute.value().unwrap_or_default();
        add_with_length(&mut digest, name.as_bytes());
        add_with_length(&mut digest, attribute.data_type.as_bytes());
        digest.update([if attribute.is_binary() { 2 } else { 1 }]);
        add_with_length(&mut digest, &value);
    }
    any.then(|| hex(&digest.finalize()))
}

fn add_with_length(digest: &mut Md5, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    digest.update(length.to_be_bytes());
    digest.update(bytes);
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

/// A message in a queue.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) content: Arc<Content>,
    pub(super) delivery: Delivery,
    /// Changes whenever `delivery.state` changes, which invalidates older entries of the receive
    /// order and of the deadlines.
    pub(super) state_version: Number,
}

/// The state of the delivery of a message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Delivery {
    pub(super) state: State,
    /// How often the message was received.
    pub(super) received: u32,
    pub(super) first_received_at: Option<Millis>,
    /// The receipt of the latest delivery, which can delete the message.
    pub(super) receipt: Option<Number>,
    /// Whether the message is an injected duplicate. It is not duplicated again.
    pub(super) copy: bool,
}

/// Whether a message can be received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    #[default]
    Ready,
    /// Not visible before this time.
    Delayed { until: Millis },
    /// Received, and not visible before this time.
    InFlight { until: Millis },
}

/// One delivery of a message.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) number: Number,
    pub(super) content: Arc<Content>,
    pub(super) delivery: Delivery,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_checksums_match_those_of_sqs() {
        assert_eq!(md5_of_body("hello"), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(md5_of_attributes(&Attributes::new()), None);
        let attributes = Attributes::from([(
            "k".to_owned(),
            Attribute { data_type: "String".into(), string_value: Some("v".into()), binary_value: None },
        )]);
        let framed = b"\0\0\0\x01k\0\0\0\x06String\x01\0\0\0\x01v";
        assert_eq!(md5_of_attributes(&attributes), Some(hex(&Md5::digest(framed))));
    }
}
