//! Which message a delivery is, for its span.

use serde::Deserialize;
use serde_json::Value;
use tracing::Span;

use crate::{
    engine::intake::{self, Incoming},
    format::name::Claim,
    observe::{trace, traceparent::Traceparent},
    ports::queue::Delivery,
};

/// What names a message whose envelope cannot be read.
#[derive(Deserialize)]
struct Label {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    dataref: Option<Claim>,
}

/// Records which message a delivery is, as intake knows it, and makes the span a child of the span that sent the message.
pub(crate) fn identify(span: &Span, incoming: &Incoming<'_>) {
    // Nothing listens: an envelope that cannot be read need not be read again.
    if span.is_disabled() {
        return;
    }
    let Ok(envelope) = &incoming.envelope else { return identify_unreadable(span, &incoming.delivery) };
    trace::name(span, envelope.id.as_str(), Some(&envelope.kind), envelope.dataref.as_ref());
    let text = envelope.traceparent.as_deref();
    if let Some((text, parent)) = text.and_then(|text| Some((text, Traceparent::read(text)?))) {
        span.record("traceparent", text);
        trace::adopt(span, parent, envelope.extensions.get(trace::TRACESTATE).and_then(Value::as_str));
    }
}

/// Records what is known of a message without an envelope: what its body says if it resembles one, or else its attributes and its
/// queue.
fn identify_unreadable(span: &Span, delivery: &Delivery) {
    if let Ok(Label { id, kind, dataref }) = serde_json::from_str(&delivery.body) {
        return trace::name(span, &id, Some(&kind), dataref.as_ref());
    }
    let attribute = |name| delivery.attributes.get(name).map(String::as_str);
    trace::name(span, attribute(intake::ID).unwrap_or(&delivery.id), attribute(intake::TYPE), None);
}
