//! Conversion of messages between the core crate and SQS.
//!
//! In the core crate, attributes are strings. In SQS they have types. A message that is parked or
//! sent again must keep its attributes. So an attribute whose type is not plain `String` is encoded
//! in a way that no `String` of SQS can contain: NUL, the type, NUL, and the value, in base64 if it
//! is binary. SQS refuses NUL in strings.

use std::collections::HashMap;

use aws_sdk_sqs::{
    primitives::Blob,
    types::{Message, MessageAttributeValue, MessageSystemAttributeName, SendMessageBatchRequestEntry},
};
use aws_smithy_types::base64;
use cloakroom::{
    Delivery,
    format::derived_id,
    ports::{QueueMessage, fifo::is_fifo},
};

use crate::sqs::batch::Numbered;

/// The kind of a queue, which decides which fields are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// A standard queue. Message groups are not sent.
    Standard,
    /// A standard queue that is fair between message groups.
    Fair,
    /// A FIFO queue.
    Fifo,
}

impl Flavour {
    pub(crate) fn of(queue: &str, fair: bool) -> Self {
        match (is_fifo(queue), fair) {
            (true, _) => Self::Fifo,
            (false, true) => Self::Fair,
            (false, false) => Self::Standard,
        }
    }
}

const DELAY_S_MAX: u32 = 900;

/// Returns the entry for a message, with its index as id, or why SQS would refuse it.
pub(crate) fn outgoing(
    number: usize,
    message: QueueMessage,
    flavour: Flavour,
) -> Result<Numbered<SendMessageBatchRequestEntry>, String> {
    let QueueMessage { body, attributes, delay_s, group, deduplication } = message;
    if body.is_empty() {
        return Err("SQS does not accept an empty message".to_owned());
    }
    let body = without_noncharacters(body);
    let mut bytes = body.len();
    let mut typed = HashMap::new();
    for (name, text) in attributes {
        let value =
            attribute_to_sdk(&text).ok_or_else(|| format!("attribute `{name}` has a type that SQS does not have"))?;
        let payload = value.string_value.as_ref().map_or(0, String::len)
            + value.binary_value.as_ref().map_or(0, |bytes| bytes.as_ref().len());
        bytes += name.len() + value.data_type.len() + payload;
        typed.insert(name, value);
    }
    let entry = SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(body);
    let entry = entry.set_message_attributes(Some(typed).filter(|typed| !typed.is_empty()));
    let entry = match flavour {
        Flavour::Standard | Flavour::Fair if delay_s > DELAY_S_MAX => {
            return Err(format!("the message has a delay of {delay_s} s; SQS accepts at most {DELAY_S_MAX} s"));
        }
        Flavour::Standard => entry.delay_seconds(seconds(delay_s)),
        Flavour::Fair => entry.delay_seconds(seconds(delay_s)).set_message_group_id(group.map(token)),
        Flavour::Fifo => {
            let Some(group) = group else {
                return Err("the message has no group, which a FIFO queue needs".to_owned());
            };
            // New messages with a delay are refused before their commit. A message that an older
            // version has committed is sent early rather than never.
            if delay_s > 0 {
                tracing::warn!(delay_s, "FIFO queues do not support a delay per message; the message is sent at once");
            }
            entry.message_group_id(token(group)).set_message_deduplication_id(deduplication.map(token))
        }
    };
    let entry = entry.build().map_err(|error| error.to_string())?;
    Ok(Numbered { number, bytes, entry })
}

/// SQS refuses two characters that JSON allows. A body that contains them is JSON, because a body
/// from SQS cannot contain them. JSON allows them only in strings, where an escape sequence means
/// the same. Without this, a committed message could never be sent.
fn without_noncharacters(body: String) -> String {
    if !body.contains('\u{fffe}') && !body.contains('\u{ffff}') {
        return body;
    }
    body.replace('\u{fffe}', r"\ufffe").replace('\u{ffff}', r"\uffff")
}

fn seconds(seconds: u32) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// Returns a group id or deduplication id that SQS accepts: 1 to 128 printable ASCII characters. A
/// partition may have any name, so one that does not fit is replaced by an id that is derived from
/// it.
fn token(text: String) -> String {
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { text } else { derived_id(&["sqs", &text]).to_string() }
}

/// Converts a received message. Returns `None` if it has no receipt handle: it could not be
/// deleted.
pub(crate) fn incoming(message: Message) -> Option<Delivery> {
    let system = |name: &MessageSystemAttributeName| message.attributes.as_ref().and_then(|all| all.get(name));
    let receive_count = system(&MessageSystemAttributeName::ApproximateReceiveCount);
    let group = system(&MessageSystemAttributeName::MessageGroupId).cloned();
    Some(Delivery {
        id: message.message_id.unwrap_or_default(),
        receive_count: receive_count.and_then(|digits| digits.parse().ok()).unwrap_or(1),
        group,
        receipt: message.receipt_handle?,
        body: message.body.unwrap_or_default(),
        attributes: message
            .message_attributes
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, attribute_from_sdk(value)))
            .collect(),
    })
}

const MARK: char = '\0';

fn attribute_from_sdk(value: MessageAttributeValue) -> String {
    let MessageAttributeValue { string_value, binary_value, data_type, .. } = value;
    let text = match binary_value {
        Some(bytes) if is_binary(&data_type) => base64::encode(bytes),
        Some(_) | None => string_value.unwrap_or_default(),
    };
    if data_type == "String" { text } else { format!("{MARK}{data_type}{MARK}{text}") }
}

fn attribute_to_sdk(text: &str) -> Option<MessageAttributeValue> {
    let (data_type, text) = match text.strip_prefix(MARK) {
        Some(marked) => marked.split_once(MARK)?,
        None => ("String", text),
    };
    let value = MessageAttributeValue::builder().data_type(data_type);
    let value = if is_binary(data_type) {
        value.binary_value(Blob::new(base64::decode(text).ok()?))
    } else {
        value.string_value(text)
    };
    value.build().ok()
}

fn is_binary(data_type: &str) -> bool {
    data_type == "Binary" || data_type.starts_with("Binary.")
}

#[cfg(test)]
mod tests;
