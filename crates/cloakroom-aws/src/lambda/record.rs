//! Conversion of the records of an event into deliveries.

use aws_lambda_events::event::sqs::{SqsMessage, SqsMessageAttribute};
use aws_sdk_sqs::{
    primitives::Blob,
    types::{Message, MessageAttributeValue, MessageSystemAttributeName},
};
use cloakroom::Delivery;

use crate::sqs::message::incoming;

/// Returns the id of a message, which names it in the answer, and its delivery.
pub(super) fn delivery(record: SqsMessage) -> (String, Delivery) {
    let id = record.message_id.unwrap_or_default();
    let system = record.attributes.into_iter();
    let system = system.map(|(name, value)| (MessageSystemAttributeName::from(name.as_str()), value)).collect();
    let attributes = record.message_attributes.into_iter();
    let attributes = attributes.filter_map(|(name, value)| Some((name, attribute(value)?))).collect();
    let message = Message::builder()
        .message_id(&id)
        // Lambda deletes messages itself, so the receipt handle is not used.
        .receipt_handle(record.receipt_handle.unwrap_or_default())
        .set_body(record.body)
        .set_attributes(Some(system))
        .set_message_attributes(Some(attributes))
        .build();
    (id, incoming(message).unwrap_or_default())
}

/// Returns `None` never: the type is always set.
fn attribute(value: SqsMessageAttribute) -> Option<MessageAttributeValue> {
    let SqsMessageAttribute { string_value, binary_value, data_type, .. } = value;
    MessageAttributeValue::builder()
        .data_type(data_type.unwrap_or_else(|| "String".to_owned()))
        .set_string_value(string_value)
        .set_binary_value(binary_value.map(|data| Blob::new(data.0)))
        .build()
        .ok()
}
