//! A subscriber that captures the spans and events of our crates, at every level.
#![allow(dead_code, reason = "the wire tests use only a part of this module")]

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

/// A span: its parent, and its name and fields.
#[derive(Debug, Default)]
struct CapturedSpan {
    parent: Option<u64>,
    text: String,
}

#[derive(Debug, Default)]
struct Log {
    /// Spans in the order in which they began.
    spans: Vec<(u64, CapturedSpan)>,
    /// Events, each with the number of its span.
    events: Vec<(String, Option<u64>)>,
    /// The number of each open span, by id. Ids are reused.
    open: BTreeMap<u64, u64>,
}

/// The captured spans and events.
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
        log.spans.push((number, CapturedSpan { parent, text }));
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

    /// Runs `run` and captures the spans and events of this thread.
    pub(crate) fn of(run: impl FnOnce()) -> Self {
        Self::up_to(LevelFilter::TRACE, run)
    }

    /// Like `of`, for a subscriber with this maximum level.
    pub(crate) fn up_to(level: LevelFilter, run: impl FnOnce()) -> Self {
        let capture = Self::default();
        listening(tracing_subscriber::registry().with(level).with(capture.clone()), run);
        capture
    }

    /// Returns the spans with their fields, indented by two spaces per level.
    pub(crate) fn tree(&self) -> Vec<String> {
        let log = self.log();
        let mut lines = Vec::new();
        let roots = log.spans.iter().filter(|(_, span)| span.parent.is_none());
        roots.for_each(|(number, _)| append_subtree(&log.spans, *number, 0, &mut lines));
        lines
    }

    /// Returns the texts of the events.
    pub(crate) fn events(&self) -> Vec<String> {
        self.log().events.iter().map(|(event, _)| event.clone()).collect()
    }

    /// Returns the span of each event whose text contains `event`.
    pub(crate) fn spans_of(&self, event: &str) -> Vec<String> {
        let log = self.log();
        let events = log.events.iter().filter(|(text, _)| text.contains(event));
        events.map(|(_, span)| span.map_or_else(String::new, |span| log.spans[span as usize].1.text.clone())).collect()
    }

    /// Returns all spans and events as text.
    pub(crate) fn text(&self) -> String {
        [self.tree(), self.events()].concat().join("\n")
    }
}

/// Runs `run` with its own subscriber for this thread.
pub(crate) fn listening(subscriber: impl Subscriber + Send + Sync, run: impl FnOnce()) {
    /// SUBTLE: this second subscriber must always exist. (1) Only one subscriber exists. (2) A
    /// thread without it reaches a span or event first. (3) The span or event is switched off for
    /// all threads. Then tests that run in parallel would capture nothing.
    static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&OTHER);
    tracing::subscriber::with_default(subscriber, run);
}

fn append_subtree(spans: &[(u64, CapturedSpan)], number: u64, depth: usize, lines: &mut Vec<String>) {
    lines.push(format!("{}{}", "  ".repeat(depth), spans[number as usize].1.text));
    let children = spans.iter().filter(|(_, span)| span.parent == Some(number));
    children.for_each(|(child, _)| append_subtree(spans, *child, depth + 1, lines));
}
