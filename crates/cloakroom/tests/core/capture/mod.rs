//! A subscriber that keeps the spans and events of our crates, at every level.
#![allow(dead_code, reason = "the wire tests use a part of it")]

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use tracing::{
    Dispatch, Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, filter::LevelFilter, layer::Context, layer::SubscriberExt as _, registry::LookupSpan};

/// A span: whose child it is, and its name and fields.
#[derive(Debug, Default)]
struct Seen {
    parent: Option<u64>,
    text: String,
}

#[derive(Debug, Default)]
struct Log {
    /// In the order in which they began.
    spans: Vec<(u64, Seen)>,
    /// Each with the number of the span that it is in.
    events: Vec<(String, Option<u64>)>,
    /// The number of each span that is open: ids are used again.
    open: BTreeMap<u64, u64>,
}

/// What was captured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture(Arc<Mutex<Log>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {}={value}", field.name());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !is_ours(attributes.metadata()) {
            return;
        }
        let parent = context.span(id).and_then(|span| span.parent().map(|parent| parent.id().into_u64()));
        let mut text = attributes.metadata().name().to_owned();
        attributes.record(&mut Fields(&mut text));
        let mut log = self.log();
        let number = log.spans.len() as u64;
        let parent = parent.and_then(|id| log.open.get(&id).copied());
        log.open.insert(id.into_u64(), number);
        log.spans.push((number, Seen { parent, text }));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut log = self.log();
        let Some(number) = log.open.get(&id.into_u64()).copied() else { return };
        values.record(&mut Fields(&mut log.spans[number as usize].1.text));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if is_ours(event.metadata()) {
            let mut text = format!("{}", event.metadata().level());
            event.record(&mut Fields(&mut text));
            let span = context.event_span(event).map(|span| span.id().into_u64());
            let mut log = self.log();
            let number = span.and_then(|id| log.open.get(&id).copied());
            log.events.push((text, number));
        }
    }
}

fn is_ours(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.target().starts_with("cloakroom")
}

impl Capture {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something, and captures what this thread says meanwhile.
    pub(crate) fn of(run: impl FnOnce()) -> Self {
        Self::up_to(LevelFilter::TRACE, run)
    }

    /// The same, for one who listens no further than to this level.
    pub(crate) fn up_to(level: LevelFilter, run: impl FnOnce()) -> Self {
        let capture = Self::default();
        listening(tracing_subscriber::registry().with(level).with(capture.clone()), run);
        capture
    }

    /// The spans, each with its fields and two spaces before it for each that it is in.
    pub(crate) fn tree(&self) -> Vec<String> {
        let log = self.log();
        let mut lines = Vec::new();
        let roots = log.spans.iter().filter(|(_, seen)| seen.parent.is_none());
        roots.for_each(|(number, _)| branch(&log.spans, *number, 0, &mut lines));
        lines
    }

    /// What events said.
    pub(crate) fn events(&self) -> Vec<String> {
        self.log().events.iter().map(|(event, _)| event.clone()).collect()
    }

    /// The span that each of the events is in, which are said to be so.
    pub(crate) fn spans_of(&self, event: &str) -> Vec<String> {
        let log = self.log();
        let events = log.events.iter().filter(|(said, _)| said.contains(event));
        events.map(|(_, span)| span.map_or_else(String::new, |span| log.spans[span as usize].1.text.clone())).collect()
    }

    /// Everything, as text.
    pub(crate) fn text(&self) -> String {
        [self.tree(), self.events()].concat().join("\n")
    }
}

/// Runs something with a subscriber of this thread's own.
pub(crate) fn listening(subscriber: impl Subscriber + Send + Sync, run: impl FnOnce()) {
    /// SUBTLE: as long as there is but one subscriber, a span or event that first comes up on a thread without it is
    /// switched off for all threads, and tests in parallel would capture nothing. So there always is another one.
    static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&OTHER);
    tracing::subscriber::with_default(subscriber, run);
}

fn branch(spans: &[(u64, Seen)], number: u64, depth: usize, lines: &mut Vec<String>) {
    lines.push(format!("{}{}", "  ".repeat(depth), spans[number as usize].1.text));
    let children = spans.iter().filter(|(_, seen)| seen.parent == Some(number));
    children.for_each(|(child, _)| branch(spans, *child, depth + 1, lines));
}
