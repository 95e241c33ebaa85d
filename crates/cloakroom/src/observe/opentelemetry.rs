//! Metrics for OpenTelemetry, and the trace context of messages (feature `opentelemetry`).
//!
//! [`Metrics`] is an [`Observer`]. [`docs::metrics`](crate::docs::metrics) describes each metric
//! and how to react to it.
//!
//! Traces only need a layer of `tracing-opentelemetry` among the application's subscribers. Then a
//! message is processed in a child of the span that sent it, across queues and services. Its
//! envelope carries the context in the attributes `traceparent` and `tracestate`. Without such a
//! layer, outgoing messages get the context of the incoming message. A malformed context is
//! ignored.

pub(crate) mod context;
mod instruments;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use instruments::Instruments;
use opentelemetry::{KeyValue, StringValue, metrics::Meter};

use crate::{
    error::{ErrorKind, Retry},
    observe::{
        consumption::{Consumed, Used},
        observer::{Event, Observer, Timed},
    },
};

const SYSTEM: &str = "messaging.system";
const DESTINATION: &str = "messaging.destination.name";
const OPERATION: &str = "messaging.operation.name";
const OPERATION_TYPE: &str = "messaging.operation.type";
const ERROR_TYPE: &str = "error.type";
const OUTCOME: &str = "cloakroom.outcome";
const REASON: &str = "cloakroom.reason";
const SERVICE: &str = "cloakroom.service";
const SERVICE_OPERATION: &str = "cloakroom.operation";

/// Records events and measurements with an OpenTelemetry meter. The names follow the messaging
/// conventions where these have one.
///
/// ```
/// # use cloakroom::{Handled, Message, Partition, Tx, memory::Memory};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Ping;
/// # impl Message for Ping {
/// #     const TYPE: &'static str = "ping";
/// #     fn partition(&self) -> Partition { "p".into() }
/// # }
/// # async fn ping(_: &mut std::collections::BTreeMap<String, u64>, _: Ping, _: &mut Tx) -> Handled { Ok(()) }
/// # let ports = Memory::new().ports();
/// use std::sync::Arc;
/// use cloakroom::{Endpoint, observe::opentelemetry::Metrics};
///
/// let meter = opentelemetry::global::meter("pings");
/// let metrics = Arc::new(Metrics::new(&meter).consuming_from("pings"));
/// let endpoint = Endpoint::builder("pings").on(ping).observer(metrics).build(ports)?;
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Debug)]
pub struct Metrics {
    instruments: Instruments,
    /// The messaging system, and the queue of the incoming messages if it was set.
    source: Vec<KeyValue>,
    /// The attributes of sends by queue, created once for each queue.
    destinations: RwLock<BTreeMap<String, Arc<[KeyValue]>>>,
    /// The attributes of progress by queue, created once for each queue.
    progressing: RwLock<BTreeMap<String, Arc<[KeyValue]>>>,
}

impl Metrics {
    /// Creates the instruments.
    pub fn new(meter: &Meter) -> Self {
        let (destinations, progressing) = (RwLock::default(), RwLock::default());
        Self { instruments: Instruments::new(meter), source: vec![system()], destinations, progressing }
    }

    /// Sets the queue of the incoming messages, as `messaging.destination.name` of their metrics.
    #[must_use]
    pub fn consuming_from(self, queue: impl Into<String>) -> Self {
        Self { source: vec![system(), queue_name(queue.into())], ..self }
    }
}

/// Returns the attributes of a queue. Creates them at the first call.
fn of_queue<const N: usize>(
    known: &RwLock<BTreeMap<String, Arc<[KeyValue]>>>,
    queue: &str,
    make: impl FnOnce() -> [KeyValue; N],
) -> Arc<[KeyValue]> {
    if let Some(known) = known.read().unwrap_or_else(PoisonError::into_inner).get(queue) {
        return Arc::clone(known);
    }
    let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(known.entry(queue.to_owned()).or_insert_with(|| Arc::from(make())))
}

/// Calls `record` with `base` and further attributes. They are on the stack, because this is done
/// for every message.
fn record_with(base: &[KeyValue], further: [Option<KeyValue>; 3], record: impl FnOnce(&[KeyValue])) {
    let mut attributes = [const { None }; 5];
    let mut count = 0;
    for (slot, attribute) in attributes.iter_mut().zip(base.iter().cloned().chain(further.into_iter().flatten())) {
        *slot = Some(attribute);
        count += 1;
    }
    record(&attributes.map(|attribute| attribute.unwrap_or_else(system))[..count]);
}

/// Returns the attribute with the queue's name. Its clones share the name.
fn queue_name(queue: String) -> KeyValue {
    KeyValue::new(DESTINATION, StringValue::from(Arc::<str>::from(queue)))
}

fn system() -> KeyValue {
    KeyValue::new(SYSTEM, "aws_sqs")
}

impl Observer for Metrics {
    fn observe(&self, event: Event) {
        let instruments = &self.instruments;
        match event {
            Event::Processed
            | Event::Resumed
            | Event::Duplicate
            | Event::Parked
            | Event::Deferred
            | Event::GivenBack => {
                // The conventions require an error type. The exact type is recorded with the
                // duration.
                let failed = (event == Event::GivenBack).then(|| KeyValue::new(ERROR_TYPE, "_OTHER"));
                let outcome = KeyValue::new(OUTCOME, event.name());
                let further = [Some(KeyValue::new(OPERATION, "process")), Some(outcome), failed];
                record_with(&self.source, further, |attributes| instruments.consumed_messages.add(1, attributes));
            }
            Event::Conflict => instruments.conflicts.add(1, &[]),
            Event::UnknownCommit => instruments.unknown_commits.add(1, &[]),
            Event::Handled => instruments.handler_runs.add(1, &[]),
            Event::PayloadMissing => instruments.payloads_missing.add(1, &[]),
        }
    }

    fn took(&self, part: Timed, duration: Duration, error: Option<ErrorKind>) {
        let (instruments, seconds) = (&self.instruments, duration.as_secs_f64());
        let error = error.map(|kind| KeyValue::new(ERROR_TYPE, kind.name()));
        let own = error.as_slice();
        match part {
            Timed::Handle => instruments.handler_duration.record(seconds, own),
            Timed::Commit => instruments.commit_duration.record(seconds, own),
            Timed::Process => {
                let further = [Some(KeyValue::new(OPERATION, "process")), None, error];
                record_with(&self.source, further, |attributes| {
                    instruments.process_duration.record(seconds, attributes);
                });
            }
            Timed::Acknowledge => {
                let kind = KeyValue::new(OPERATION_TYPE, "settle");
                let further = [Some(KeyValue::new(OPERATION, "ack")), Some(kind), error];
                record_with(&self.source, further, |attributes| {
                    instruments.operation_duration.record(seconds, attributes);
                });
            }
            // A dispatch sends to several queues, so no queue is named.
            Timed::Dispatch => {
                let kind = KeyValue::new(OPERATION_TYPE, "send");
                let further = [Some(KeyValue::new(OPERATION, "send")), Some(kind), error];
                record_with(&[system()], further, |attributes| {
                    instruments.operation_duration.record(seconds, attributes);
                });
            }
        }
    }

    fn retried(&self, reason: Retry) {
        self.instruments.retries.add(1, &[KeyValue::new(REASON, reason.name())]);
    }

    fn sent(&self, queue: &str, messages: usize) {
        let make = || [system(), queue_name(queue.to_owned()), KeyValue::new(OPERATION, "send")];
        self.instruments.sent_messages.add(messages as u64, &of_queue(&self.destinations, queue, make));
    }

    fn progressed(&self, queue: &str) {
        let make = || [system(), queue_name(queue.to_owned())];
        self.instruments.progress.add(1, &of_queue(&self.progressing, queue, make));
    }

    fn consumed(&self, Consumed { service, operation, used }: Consumed) {
        let Used { requests, read_units, write_units, bytes, messages } = used;
        let attributes = [KeyValue::new(SERVICE, service.name()), KeyValue::new(SERVICE_OPERATION, operation)];
        self.instruments.requests.add(requests, &attributes);
        self.instruments.bytes.add(bytes, &attributes);
        if read_units > 0.0 {
            self.instruments.read_units.add(read_units, &attributes);
        }
        if write_units > 0.0 {
            self.instruments.write_units.add(write_units, &attributes);
        }
        if messages > 0 {
            self.instruments.messages.add(messages, &attributes);
        }
    }

    fn oldest_record(&self, age: Duration) {
        self.instruments.oldest_record.record(age.as_secs_f64(), &[]);
    }
}
