//! The identity of a delivery in its span.

use serde::Deserialize;
use serde_json::Value;
use tracing::Span;

use crate::{
    engine::intake::{self, Incoming},
    format::name::Claim,
    observe::{trace, traceparent::Traceparent},
    ports::queue::Delivery,
};

/// The identifying attributes of a message whose envelope cannot be decoded.
#[derive(Deserialize)]
struct Label {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    dataref: Option<Claim>,
}

/// Records the identity of a delivery in its span, and makes the span a child of the span that sent
/// the message.
pub(crate) fn identify(span: &Span, incoming: &Incoming<'_>) {
    // Nothing would record the identity, so an envelope that cannot be decoded is not parsed again.
    if span.is_disabled() {
        return;
    }
    let Ok(envelope) = &incoming.envelope else { return identify_unreadable(span, &incoming.delivery) };
    trace::record_identity(span, envelope.id.as_str(), Some(&envelope.kind), envelope.dataref.as_ref());
    let text = envelope.traceparent.as_deref();
    if let Some((text, parent)) = text.and_then(|text| Some((text, Traceparent::read(text)?))) {
        span.record("traceparent", text);
        trace::set_parent(span, parent, envelope.extensions.get(trace::TRACESTATE).and_then(Value::as_str));
    }
}

/// Records what is known about a message without an envelope. It comes from the body if the body
/// resembles an envelope, otherwise from the message attributes and the queue.
fn identify_unreadable(span: &Span, delivery: &Delivery) {
    if let Ok(Label { id, kind, dataref }) = serde_json::from_str(&delivery.body) {
        return trace::record_identity(span, &id, Some(&kind), dataref.as_ref());
    }
    let attribute = |name| delivery.attributes.get(name).map(String::as_str);
    trace::record_identity(span, attribute(intake::ID).unwrap_or(&delivery.id), attribute(intake::TYPE), None);
}
