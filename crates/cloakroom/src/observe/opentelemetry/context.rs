//! Conversion between the trace context of messages and that of OpenTelemetry spans.

use std::str::FromStr as _;

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::observe::traceparent::{Context as Carried, Traceparent};

/// Makes a span the child of the span that sent a message.
///
/// SUBTLE: this must be called before the span is entered for the first time. After that its parent
/// cannot be changed (`a_message_is_processed_in_the_trace_of_its_sender`).
pub(crate) fn set_parent(span: &Span, parent: Traceparent, tracestate: Option<&str>) {
    let Traceparent { trace, span: id, flags } = parent;
    let state = tracestate.and_then(|text| TraceState::from_str(text).ok()).unwrap_or_default();
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let sender = SpanContext::new(TraceId::from(trace), SpanId::from(id), flags, true, state);
    // It fails if there is no OpenTelemetry layer. Then there is no trace to continue.
    let _ = span.set_parent(Context::new().with_remote_span_context(sender));
}

/// Returns the context of the current span. `None` if there is no OpenTelemetry layer.
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
