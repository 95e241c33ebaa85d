//! The trace context and how it passes from message to message.

use crate::capture;
use crate::fixture;

use cloakroom::{Delivery, Outcome, format::Envelope, memory::Memory};
use fixture::{Act, World, stage::Fault};
use opentelemetry::trace::{SpanId, TraceId, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing_subscriber::layer::SubscriberExt as _;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SENDER: &str = "b7ad6b7169203331";

fn sampled() -> String {
    format!("00-{TRACE}-{SENDER}-01")
}

/// Runs `run` with an OpenTelemetry layer. Returns the exported spans.
fn traced(run: impl FnOnce()) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    capture::listening(subscriber, run);
    provider.force_flush().expect("an exporter in memory");
    exporter.get_finished_spans().expect("an exporter in memory")
}

#[track_caller]
fn span<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    let found: Vec<&SpanData> = spans.iter().filter(|span| span.name == name).collect();
    let [one] = found.as_slice() else { panic!("{} spans `{name}`", found.len()) };
    one
}

/// Returns a message that carries this context and whose handler sends a note.
fn from(world: &World, traceparent: &str, tracestate: Option<&str>) -> Delivery {
    let mut envelope = Envelope::decode(&world.claimed("m", &[Act::Note(1)]).body).expect("an envelope");
    envelope.traceparent = Some(traceparent.to_owned());
    envelope.extensions.extend(tracestate.map(|state| ("tracestate".to_owned(), state.into())));
    world.delivery(&envelope)
}

fn note(world: &World) -> Envelope {
    world.sent("notes").pop().expect("a note")
}

#[test]
fn a_message_is_processed_in_the_trace_of_its_sender() {
    let world = World::new();
    let delivery = from(&world, &sampled(), Some("vendor=value"));
    let spans = traced(|| assert_eq!(world.outcome(&delivery), Outcome::Processed));
    let process = span(&spans, "process");
    assert_eq!(process.span_context.trace_id(), TraceId::from_hex(TRACE).expect("hexadecimal"));
    assert_eq!(process.parent_span_id, SpanId::from_hex(SENDER).expect("hexadecimal"));
    assert!(process.parent_span_is_remote);
    for step in ["read_state", "read_record", "read_payload", "handle", "check_in", "commit", "dispatch", "settle"] {
        assert_eq!(span(&spans, step).parent_span_id, process.span_context.span_id(), "{step}");
    }
    // The parent of an outgoing message is the span of the handler.
    let handle = span(&spans, "handle").span_context.span_id();
    assert_eq!(note(&world).traceparent, Some(format!("00-{TRACE}-{handle}-01")));
    assert_eq!(note(&world).extensions.get("tracestate"), Some(&"vendor=value".into()));
}

#[test]
fn unsampled_trace_stays_unsampled() {
    let world = World::new();
    let delivery = from(&world, &format!("00-{TRACE}-{SENDER}-00"), None);
    let spans = traced(|| assert_eq!(world.outcome(&delivery), Outcome::Processed));
    assert!(spans.is_empty(), "{spans:?}");
    let traceparent = note(&world).traceparent.expect("a context");
    assert!(traceparent.starts_with(&format!("00-{TRACE}-")) && traceparent.ends_with("-00"), "{traceparent}");
}

#[test]
fn a_malformed_context_is_ignored() {
    for (traceparent, tracestate) in [("nonsense", None), (&*sampled(), Some("no state, ="))] {
        let world = World::new();
        let delivery = from(&world, traceparent, tracestate);
        let spans = traced(|| assert_eq!(world.outcome(&delivery), Outcome::Processed));
        let process = span(&spans, "process");
        assert_eq!(process.parent_span_id == SpanId::INVALID, traceparent == "nonsense");
        let sent = note(&world).traceparent.expect("a context");
        assert!(sent.contains(&process.span_context.trace_id().to_string()), "{sent}");
    }
}

#[test]
fn message_without_a_trace_context_starts_a_trace() {
    let world = World::new();
    let delivery = world.claimed("m", &[Act::Note(1)]);
    let spans = traced(|| assert_eq!(world.outcome(&delivery), Outcome::Processed));
    let (process, sent) = (span(&spans, "process"), note(&world).traceparent.expect("a context"));
    assert_eq!(process.parent_span_id, SpanId::INVALID);
    assert!(sent.contains(&process.span_context.trace_id().to_string()), "{sent}");
}

#[test]
fn trace_context_is_forwarded_without_a_tracing_layer() {
    let world = World::new();
    assert_eq!(world.outcome(&from(&world, &sampled(), Some("vendor=value"))), Outcome::Processed);
    assert_eq!(note(&world).traceparent, Some(sampled()));
    assert_eq!(note(&world).extensions.get("tracestate"), Some(&"vendor=value".into()));
}

#[test]
fn resumed_message_sends_the_trace_context_of_its_commit() {
    let world = World::new();
    let delivery = from(&world, &sampled(), None);
    world
        .stage
        .plan(|_, operation| matches!(operation, cloakroom_sim::wire::Operation::Send).then_some(Fault::Refused));
    let first = traced(|| assert!(world.process(&delivery).is_err()));
    world.fail(&[]);
    let second = traced(|| assert_eq!(world.outcome(&delivery), Outcome::Resumed));
    assert!(second.iter().all(|span| span.name != "handle"));
    let handle = span(&first, "handle").span_context.span_id();
    assert_eq!(note(&world).traceparent, Some(format!("00-{TRACE}-{handle}-01")));
}

/// A worker's spans of receive, process and acknowledge are connected.
#[test]
fn acknowledge_span_is_a_child_of_the_process_span() {
    let memory = Memory::with_queues(fixture::QUEUES);
    let endpoint = fixture::builder().build(memory.ports()).expect("a valid endpoint");
    let mut envelope = fixture::envelope("m", "account.double");
    envelope.data = Some(serde_json::json!({}));
    envelope.traceparent = Some(sampled());
    let spans = traced(|| {
        let message = cloakroom::ports::QueueMessage { body: envelope.encode(), ..Default::default() };
        memory.run(async {
            use cloakroom::ports::{Clock as _, Queue as _};
            memory.queues.get("accounts").send(vec![message]).await.pop().expect("one result").expect("sent");
            let shutdown = memory.clock.sleep(std::time::Duration::from_secs(60));
            cloakroom::Worker::new(endpoint, "accounts").run(shutdown).await.expect("a queue");
        });
    });
    let (process, acknowledge) = (span(&spans, "process"), span(&spans, "acknowledge"));
    assert_eq!(acknowledge.parent_span_id, process.span_context.span_id());
    let received = spans.iter().find(|span| span.name == "receive").expect("a receive");
    assert_eq!(process.links.links.first().map(|link| &link.span_context), Some(&received.span_context));
}
