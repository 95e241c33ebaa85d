//! The instruments: names, units and descriptions. A test compares them with the table of
//! `docs/METRICS.md`.

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

/// The boundaries that the messaging conventions recommend for durations, in seconds.
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
                "Deliveries that ended, by `cloakroom.outcome`.",
            ),
            sent_messages: count("messaging.client.sent.messages", "{message}", "Messages that a queue has accepted."),
            process_duration: time("messaging.process.duration", "Time of one delivery, up to its acknowledgement."),
            operation_duration: time(
                "messaging.client.operation.duration",
                "Time to send the messages of one record (`send`), and to acknowledge one delivery (`ack`).",
            ),
            handler_duration: time("cloakroom.handler.duration", "Time of one run of a handler."),
            commit_duration: time("cloakroom.commit.duration", "Time of one commit, with its retries."),
            handler_runs: count("cloakroom.handler.runs", "{run}", "Runs of handlers, with or without a commit."),
            conflicts: count("cloakroom.commit.conflicts", "{commit}", "Commits that lost against another commit."),
            unknown_commits: count("cloakroom.commit.unknown", "{commit}", "Commits whose outcome remained unknown."),
            payloads_missing: count(
                "cloakroom.payload.missing",
                "{message}",
                "The loss alarm: payloads that were missing at the first receive of a first dispatch.",
            ),
            retries: count(
                "cloakroom.retries",
                "{retry}",
                "Retries of passes, calls and sends, by `cloakroom.reason`.",
            ),
            progress: count(
                "cloakroom.worker.progress",
                "{event}",
                "Receives that a queue has answered, and deliveries that ended.",
            ),
            oldest_record: age.with_description("Age of the oldest outbox record that is not finished.").build(),
            requests: count(
                "cloakroom.consumed.requests",
                "{request}",
                "Requests to AWS, by `cloakroom.service` and `cloakroom.operation`; of SQS, one for each 64 KB.",
            ),
            read_units: units("cloakroom.consumed.read_units", "Read request units of DynamoDB."),
            write_units: units("cloakroom.consumed.write_units", "Write request units of DynamoDB."),
            bytes: count("cloakroom.consumed.bytes", "By", "Bytes in the bodies of requests and responses."),
            messages: count(
                "cloakroom.consumed.messages",
                "{message}",
                "Messages in successful requests to SQS: received, sent, deleted, or extended.",
            ),
        }
    }
}
