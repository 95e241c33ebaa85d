//! The trace context of messages, as spans of OpenTelemetry have it.

use std::str::FromStr as _;

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::observe::traceparent::{Context as Carried, Traceparent};

/// Makes a span the child of the one that sent a message.
///
/// SUBTLE: before the span is entered for the first time; after that its parent cannot be changed
/// (`a_message_is_processed_in_the_trace_of_its_sender`).
pub(crate) fn adopt(span: &Span, parent: Traceparent, tracestate: Option<&str>) {
    let Traceparent { trace, span: id, flags } = parent;
    let state = tracestate.and_then(|text| TraceState::from_str(text).ok()).unwrap_or_default();
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let sender = SpanContext::new(TraceId::from(trace), SpanId::from(id), flags, true, state);
    // Fails if no layer of OpenTelemetry listens: then there is nothing to tell.
    let _ = span.set_parent(Context::new().with_remote_span_context(sender));
}

/// The context of the current span; none if no layer of OpenTelemetry listens.
pub(crate) fn current() -> Option<Carried> {
    let context = Span::current().context();
    let span = context.span();
    let current = span.span_context();
    if !current.is_valid() {
        return None;
    }
    let (trace, id, flags) = (current.trace_id(), current.span_id(), current.trace_flags() & TraceFlags::SAMPLED);
    let state = current.trace_state().header();
    Some((Some(format!("00-{trace}-{id}-{flags:02x}")), Some(state).filter(|state| !state.is_empty())))
}
