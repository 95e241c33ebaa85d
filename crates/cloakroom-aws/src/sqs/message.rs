//! Messages, as the core crate and as SQS know them.
//!
//! The core knows attributes as texts. SQS types them. So that a message that is parked or put back keeps what it
//! came with, an attribute that is not a plain `String` is carried as a text that no `String` can be: NUL, the type,
//! NUL, and the value (of binary ones in base64). SQS refuses NUL in texts.

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

/// How a queue is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// A standard queue; groups are not sent.
    Standard,
    /// A standard queue that is fair between groups.
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

/// The entry of a message, whose id is its number; or why SQS would not take it.
pub(crate) fn outgoing(
    number: usize,
    message: QueueMessage,
    flavour: Flavour,
) -> Result<Numbered<SendMessageBatchRequestEntry>, String> {
    let QueueMessage { body, attributes, delay_s, group, deduplication } = message;
    if body.is_empty() {
        return Err("SQS takes no empty message".to_owned());
    }
    let body = without_noncharacters(body);
    let mut bytes = body.len();
    let mut typed = HashMap::new();
    for (name, text) in attributes {
        let value = attribute_to_sdk(&text).ok_or_else(|| format!("attribute `{name}` is not of a type of SQS"))?;
        let payload = value.string_value.as_ref().map_or(0, String::len)
            + value.binary_value.as_ref().map_or(0, |bytes| bytes.as_ref().len());
        bytes += name.len() + value.data_type.len() + payload;
        typed.insert(name, value);
    }
    let entry = SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(body);
    let entry = entry.set_message_attributes(Some(typed).filter(|typed| !typed.is_empty()));
    let entry = match flavour {
        Flavour::Standard | Flavour::Fair if delay_s > DELAY_S_MAX => {
            return Err(format!("a delay of {delay_s} s; SQS takes at most {DELAY_S_MAX} s"));
        }
        Flavour::Standard => entry.delay_seconds(seconds(delay_s)),
        Flavour::Fair => entry.delay_seconds(seconds(delay_s)).set_message_group_id(group.map(token)),
        Flavour::Fifo => {
            let Some(group) = group else { return Err("a message without a group on a FIFO queue".to_owned()) };
            // Nothing new comes here with a delay: it is refused before the commit. What an older version has committed is
            // better early than never.
            if delay_s > 0 {
                tracing::warn!(delay_s, "FIFO queues know no delay per message; it is sent at once");
            }
            entry.message_group_id(token(group)).set_message_deduplication_id(deduplication.map(token))
        }
    };
    let entry = entry.build().map_err(|error| error.to_string())?;
    Ok(Numbered { number, bytes, entry })
}

/// SQS refuses two characters that JSON allows. A body that has them is JSON (what came from SQS cannot have any), and
/// JSON allows characters only in texts, where an escape stands for the same character. Without this, a message that
/// is committed already could never be sent.
fn without_noncharacters(body: String) -> String {
    if !body.contains('\u{fffe}') && !body.contains('\u{ffff}') {
        return body;
    }
    body.replace('\u{fffe}', r"\ufffe").replace('\u{ffff}', r"\uffff")
}

fn seconds(seconds: u32) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// A group or deduplication id that SQS takes: 1 to 128 printable ASCII characters. Partitions may be anything,
/// so what does not fit is replaced by an id that follows from it.
fn token(text: String) -> String {
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { text } else { derived_id(&["sqs", &text]).to_string() }
}

/// A received message. `None` if it has no receipt, so that nothing could be done about it.
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
