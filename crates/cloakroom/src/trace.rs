//! Spans, and the trace context that messages carry.
//!
//! Spans and log lines hold names of the application's own (endpoint, queue, message type), ids of messages, digests of claims,
//! versions and counts. They never hold payloads, states, partition or sort keys, nor texts that may quote them. Nor do they hold
//! claims: a reader of the log that has a claim and a role for the bucket could collect the payload.

use serde::Deserialize;
use serde_json::Value;
use tracing::{Span, field::Empty};

use crate::{
    Claim, Delivery, Envelope, Error, Event,
    intake::{self, Arrival},
};

/// The extension attribute of CloudEvents beside `traceparent`.
const TRACESTATE: &str = "tracestate";

/// What names a message whose envelope cannot be read.
#[derive(Deserialize)]
struct Label {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    dataref: Option<Claim>,
}

/// The span of all that is done for one delivery. [`identify`] records which message it is.
pub(crate) fn process(endpoint: &str, delivery: &Delivery) -> Span {
    tracing::info_span!(
        "process",
        otel.kind = "consumer",
        otel.status_code = Empty,
        endpoint,
        receive_count = delivery.receive_count,
        message_id = Empty,
        message_type = Empty,
        claim_digest = Empty,
        traceparent = Empty,
        outcome = Empty,
    )
}

/// Records which message a delivery is, as intake knows it, and makes the span a child of the span that sent the message.
pub(crate) fn identify(span: &Span, arrival: &Arrival<'_>) {
    // Nothing listens: an envelope that cannot be read need not be read again.
    if span.is_disabled() {
        return;
    }
    let Ok(envelope) = &arrival.envelope else { return identify_unreadable(span, &arrival.delivery) };
    name(span, envelope.id.as_str(), Some(&envelope.kind), envelope.dataref.as_ref());
    let text = envelope.traceparent.as_deref();
    if let Some((text, parent)) = text.and_then(|text| Some((text, Traceparent::read(text)?))) {
        span.record("traceparent", text);
        adopt(span, parent, envelope.extensions.get(TRACESTATE).and_then(Value::as_str));
    }
}

/// Records what is known of a message without an envelope: what its body says if it resembles one, or else its attributes and its
/// queue.
fn identify_unreadable(span: &Span, delivery: &Delivery) {
    if let Ok(Label { id, kind, dataref }) = serde_json::from_str(&delivery.body) {
        return name(span, &id, Some(&kind), dataref.as_ref());
    }
    let attribute = |name| delivery.attributes.get(name).map(String::as_str);
    name(span, attribute(intake::ID).unwrap_or(&delivery.id), attribute(intake::TYPE), None);
}

fn name(span: &Span, id: &str, kind: Option<&str>, claim: Option<&Claim>) {
    if !id.is_empty() {
        span.record("message_id", id);
    }
    if let Some(kind) = kind {
        span.record("message_type", kind);
    }
    if let Some(claim) = claim.filter(|claim| claim.is_well_formed()) {
        span.record("claim_digest", claim.digest());
    }
}

/// Notes how the work on a delivery ended.
pub(crate) fn ended(span: &Span, event: Event, error: Option<&Error>) {
    span.record("outcome", event.name());
    if let Some(error) = error {
        span.record("otel.status_code", "ERROR");
        tracing::debug!(parent: span, outcome = event.name(), error = error.loggable(), "not finished");
    } else {
        tracing::debug!(parent: span, outcome = event.name(), "finished");
    }
}

/// Lets an outgoing message carry the context of the span that sends it, or else that of the incoming message.
///
/// The envelope is committed with the record, so whoever resumes sends what the attempt that committed wrote.
pub(crate) fn pass_on(incoming: &Envelope, outgoing: &mut Envelope) {
    let (traceparent, tracestate) = current().unwrap_or_else(|| {
        (incoming.traceparent.clone(), incoming.extensions.get(TRACESTATE).and_then(Value::as_str).map(str::to_owned))
    });
    outgoing.traceparent = traceparent;
    if let Some(tracestate) = tracestate {
        outgoing.extensions.insert(TRACESTATE.to_owned(), Value::String(tracestate));
    }
}

/// `traceparent` and `tracestate`.
pub(crate) type Context = (Option<String>, Option<String>);

#[cfg(feature = "opentelemetry")]
use crate::opentelemetry::context::{adopt, current};

#[cfg(not(feature = "opentelemetry"))]
const fn adopt(_: &Span, _: Traceparent, _: Option<&str>) {}

#[cfg(not(feature = "opentelemetry"))]
const fn current() -> Option<Context> {
    None
}

/// The `traceparent` of W3C: who sent a message, in which trace, and whether that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traceparent {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    pub(crate) flags: u8,
}

impl Traceparent {
    /// None if it is malformed; a message is not to blame for that.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let mut hex = |length: usize| {
            let is_hex = |part: &&str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            parts.next().filter(|part| part.len() == length).filter(is_hex)
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // Later versions may have more to say than this one.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let read = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (read.trace != 0 && read.span != 0).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn a_traceparent_is_read_as_w3c_has_it() {
        let read = |text: &str| Traceparent::read(text);
        let expected =
            Traceparent { trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, span: 0xb7ad_6b71_6920_3331, flags: 1 };
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-01")), Some(expected));
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-00")), Some(Traceparent { flags: 0, ..expected }));
        assert_eq!(read(&format!("01-{TRACE}-{SPAN}-01-more")), Some(expected), "a later version");
    }

    #[test]
    fn what_is_malformed_is_ignored() {
        for text in [
            "",
            "-",
            "00",
            &format!("00-{TRACE}-{SPAN}"),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            &format!("00-{TRACE}{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}-1"),
            &format!("00-{TRACE}-{SPAN}-ü"),
        ] {
            assert_eq!(Traceparent::read(text), None, "{text}");
        }
    }
}
