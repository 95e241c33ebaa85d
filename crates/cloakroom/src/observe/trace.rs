//! Spans, and the trace context of messages.
//!
//! Spans and log lines contain names of the application (endpoint, queue, message type), ids of
//! messages, digests of claims, versions and counts. They never contain payloads, states, partition
//! keys, sort keys, or texts that may quote one of these. They do not contain claims either: with a
//! claim and a role for the bucket, a reader of the log could read the payload.

use serde_json::Value;
use tracing::{Span, field::Empty};

use crate::{
    error::Error,
    format::{envelope::Envelope, name::Claim},
    observe::observer::Event,
    ports::queue::Delivery,
};

/// The CloudEvents extension attribute that accompanies `traceparent`.
pub(crate) const TRACESTATE: &str = "tracestate";

/// Creates the span for the processing of one delivery. [`record_identity`] adds the identity of
/// the message.
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

/// Records the identity of a message in its span.
pub(crate) fn record_identity(span: &Span, id: &str, kind: Option<&str>, claim: Option<&Claim>) {
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

/// Records the result of processing a delivery in its span.
pub(crate) fn record_end(span: &Span, event: Event, error: Option<&Error>) {
    span.record("outcome", event.name());
    if let Some(error) = error {
        span.record("otel.status_code", "ERROR");
        tracing::debug!(parent: span, outcome = event.name(), error = error.loggable(), "not finished");
    } else {
        tracing::debug!(parent: span, outcome = event.name(), "finished");
    }
}

/// Sets the trace context of an outgoing message to the current span, or else to the context of the
/// incoming message.
///
/// The envelope is committed with the record. So a worker that resumes the message sends the
/// context of the attempt that committed it.
pub(crate) fn propagate(incoming: &Envelope, outgoing: &mut Envelope) {
    let (traceparent, tracestate) = current().unwrap_or_else(|| {
        (incoming.traceparent.clone(), incoming.extensions.get(TRACESTATE).and_then(Value::as_str).map(str::to_owned))
    });
    outgoing.traceparent = traceparent;
    if let Some(tracestate) = tracestate {
        outgoing.extensions.insert(TRACESTATE.to_owned(), Value::String(tracestate));
    }
}

#[cfg(feature = "opentelemetry")]
use crate::observe::opentelemetry::context::current;
#[cfg(feature = "opentelemetry")]
pub(crate) use crate::observe::opentelemetry::context::set_parent;

#[cfg(not(feature = "opentelemetry"))]
pub(crate) const fn set_parent(_: &Span, _: crate::observe::traceparent::Traceparent, _: Option<&str>) {}

#[cfg(not(feature = "opentelemetry"))]
const fn current() -> Option<crate::observe::traceparent::Context> {
    None
}
