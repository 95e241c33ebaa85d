//! The instruments: names, units and descriptions. The table of `docs/METRICS.md` has the same ones, and a test for it.

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

/// What the messaging conventions recommend for durations.
const BOUNDARIES_S: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Debug)]
pub(super) struct Instruments {
    pub(super) consumed_messages: Counter<u64>,
    pub(super) sent_messages: Counter<u64>,
    pub(super) process_duration: Histogram<f64>,
    pub(super) operation_duration: Histogram<f64>,
    pub(super) handler_duration: Histogram<f64>,
    pub(super) commit_duration: Histogram<f64>,
    pub(super) handler_runs: Counter<u64>,
    pub(super) conflicts: Counter<u64>,
    pub(super) unknown_commits: Counter<u64>,
    pub(super) payloads_missing: Counter<u64>,
    pub(super) retries: Counter<u64>,
    pub(super) progress: Counter<u64>,
    pub(super) oldest_record: Gauge<f64>,
    pub(super) requests: Counter<u64>,
    pub(super) read_units: Counter<f64>,
    pub(super) write_units: Counter<f64>,
    pub(super) bytes: Counter<u64>,
    pub(super) messages: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let count =
            |name, unit, description| meter.u64_counter(name).with_unit(unit).with_description(description).build();
        let units =
            |name, description| meter.f64_counter(name).with_unit("{unit}").with_description(description).build();
        let time = |name, description| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
            histogram.with_boundaries(BOUNDARIES_S.to_vec()).build()
        };
        let age = meter.f64_gauge("cloakroom.outbox.oldest_record.age").with_unit("s");
        Self {
            consumed_messages: count(
                "messaging.client.consumed.messages",
                "{message}",
                "Deliveries that came to an end, by `cloakroom.outcome`.",
            ),
            sent_messages: count("messaging.client.sent.messages", "{message}", "Messages that a queue has taken."),
            process_duration: time("messaging.process.duration", "Processing one delivery, up to its acknowledgement."),
            operation_duration: time(
                "messaging.client.operation.duration",
                "Sending what one record holds (`send`), and acknowledging one delivery (`ack`).",
            ),
            handler_duration: time("cloakroom.handler.duration", "One run of a handler."),
            commit_duration: time("cloakroom.commit.duration", "One commit, with its repetitions."),
            handler_runs: count("cloakroom.handler.runs", "{run}", "Runs of handlers, those for nothing among them."),
            conflicts: count("cloakroom.commit.conflicts", "{commit}", "Commits that were lost to another one."),
            unknown_commits: count("cloakroom.commit.unknown", "{commit}", "Commits whose outcome stayed unknown."),
            payloads_missing: count(
                "cloakroom.payload.missing",
                "{message}",
                "The loss alarm: payloads that were missing at the first receive of a first dispatch.",
            ),
            retries: count(
                "cloakroom.retries",
                "{retry}",
                "Passes, calls and sends of messages that were repeated, by `cloakroom.reason`.",
            ),
            progress: count(
                "cloakroom.worker.progress",
                "{event}",
                "Receives that a queue has answered, and messages that a worker has brought to their end.",
            ),
            oldest_record: age.with_description("Age of the oldest outbox record that is not finished.").build(),
            requests: count(
                "cloakroom.consumed.requests",
                "{request}",
                "Requests to AWS, by `cloakroom.service` and `cloakroom.operation`; of SQS, by 64 KB of messages.",
            ),
            read_units: units("cloakroom.consumed.read_units", "Read request units of DynamoDB."),
            write_units: units("cloakroom.consumed.write_units", "Write request units of DynamoDB."),
            bytes: count("cloakroom.consumed.bytes", "By", "Bytes in the bodies of requests and answers."),
            messages: count(
                "cloakroom.consumed.messages",
                "{message}",
                "Messages that requests to SQS carried and that got through: received, sent, deleted, or extended.",
            ),
        }
    }
}
