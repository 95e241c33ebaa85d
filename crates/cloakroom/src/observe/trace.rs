//! Spans, and the trace context that messages carry.
//!
//! Spans and log lines hold names of the application's own (endpoint, queue, message type), ids of messages, digests of claims,
//! versions and counts. They never hold payloads, states, partition or sort keys, nor texts that may quote them. Nor do they hold
//! claims: a reader of the log that has a claim and a role for the bucket could collect the payload.

use serde_json::Value;
use tracing::{Span, field::Empty};

use crate::{
    error::Error,
    format::{envelope::Envelope, name::Claim},
    observe::observer::Event,
    ports::queue::Delivery,
};

/// The extension attribute of CloudEvents beside `traceparent`.
pub(crate) const TRACESTATE: &str = "tracestate";

/// The span of all that is done for one delivery. [`name`] records which message it is.
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

/// Records what names a message.
pub(crate) fn name(span: &Span, id: &str, kind: Option<&str>, claim: Option<&Claim>) {
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

#[cfg(feature = "opentelemetry")]
pub(crate) use crate::observe::opentelemetry::context::adopt;
#[cfg(feature = "opentelemetry")]
use crate::observe::opentelemetry::context::current;

#[cfg(not(feature = "opentelemetry"))]
pub(crate) const fn adopt(_: &Span, _: crate::observe::traceparent::Traceparent, _: Option<&str>) {}

#[cfg(not(feature = "opentelemetry"))]
const fn current() -> Option<crate::observe::traceparent::Context> {
    None
}
