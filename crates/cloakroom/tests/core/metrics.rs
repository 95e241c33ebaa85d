//! The OpenTelemetry metrics. Every event is recorded under its name, and METRICS.md documents
//! every metric.

use std::{collections::BTreeMap, time::Duration};

use cloakroom::{
    ErrorKind,
    error::Retry,
    observe::{Consumed, Event, Observer as _, Service, Timed, Used, opentelemetry::Metrics},
};
use opentelemetry::{KeyValue, metrics::MeterProvider as _};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, Metric, MetricData},
};

/// The metrics that a meter recorded.
#[derive(Debug, Default)]
struct Recorded {
    /// The unit and the description of each metric, by name.
    described: BTreeMap<String, (String, String)>,
    /// The value of each data point, or the sum of a histogram, by name and attributes.
    points: BTreeMap<String, f64>,
}

impl Recorded {
    fn of(observe: impl FnOnce(&Metrics)) -> Self {
        let exporter = InMemoryMetricExporter::default();
        let provider =
            SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
        observe(&Metrics::new(&provider.meter("test")).consuming_from("orders"));
        provider.force_flush().expect("an exporter in memory");
        let exported = exporter.get_finished_metrics().expect("an exporter in memory");
        let mut recorded = Self::default();
        let metrics = exported.iter().flat_map(|all| all.scope_metrics()).flat_map(|scope| scope.metrics());
        metrics.for_each(|metric| recorded.add(metric));
        recorded
    }

    fn add(&mut self, metric: &Metric) {
        let described = (metric.unit().to_owned(), metric.description().to_owned());
        self.described.insert(metric.name().to_owned(), described);
        let mut points: Vec<(String, f64)> = Vec::new();
        match metric.data() {
            AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                points.extend(sum.data_points().map(|point| (text(point.attributes()), point.value() as f64)));
            }
            AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                points.extend(sum.data_points().map(|point| (text(point.attributes()), point.value())));
            }
            AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                points.extend(gauge.data_points().map(|point| (text(point.attributes()), point.value())));
            }
            AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                points.extend(histogram.data_points().map(|point| (text(point.attributes()), point.sum())));
            }
            AggregatedMetrics::U64(_) | AggregatedMetrics::I64(_) | AggregatedMetrics::F64(_) => {
                panic!("{} has an unexpected kind of data: {:?}", metric.name(), metric.data())
            }
        }
        self.points
            .extend(points.into_iter().map(|(attributes, value)| (format!("{}{attributes}", metric.name()), value)));
    }

    #[track_caller]
    fn assert_points(&self, expected: &[(&str, f64)]) {
        let expected: BTreeMap<String, f64> = expected.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
        assert_eq!(self.points, expected);
    }
}

/// Returns the attributes as text, sorted by name. Checks `messaging.system` and leaves it out.
fn text<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let mut all: BTreeMap<&str, String> = attributes.map(|one| (one.key.as_str(), one.value.to_string())).collect();
    if let Some(system) = all.remove("messaging.system") {
        assert_eq!(system, "aws_sqs");
    }
    all.iter().map(|(key, value)| format!(" {key}={value}")).collect()
}

fn used() -> Used {
    Used { requests: 1, read_units: 0.5, write_units: 4.0, bytes: 100, messages: 7 }
}

/// Makes every call of the `Observer` trait.
fn observe_all(metrics: &Metrics) {
    Event::ALL.into_iter().for_each(|event| metrics.observe(event));
    Retry::ALL.into_iter().for_each(|reason| metrics.retried(reason));
    for part in [Timed::Process, Timed::Handle, Timed::Commit, Timed::Dispatch, Timed::Acknowledge] {
        metrics.took(part, Duration::from_millis(250), None);
    }
    metrics.sent("bills", 3);
    metrics.progressed("orders");
    metrics.consumed(Consumed { service: Service::DynamoDb, operation: "GetItem", used: used() });
    metrics.oldest_record(Duration::from_secs(90));
}

#[test]
fn every_event_arrives_under_its_name() {
    let consumed = |outcome: &str| {
        let tail = "messaging.destination.name=orders messaging.operation.name=process";
        format!("messaging.client.consumed.messages cloakroom.outcome={outcome} {tail}")
    };
    let given_back = consumed("given_back").replace(" messaging.dest", " error.type=_OTHER messaging.dest");
    Recorded::of(|metrics| Event::ALL.into_iter().for_each(|event| metrics.observe(event))).assert_points(&[
        (&consumed("processed"), 1.0),
        (&consumed("resumed"), 1.0),
        (&consumed("duplicate"), 1.0),
        (&consumed("parked"), 1.0),
        (&consumed("deferred"), 1.0),
        (&given_back, 1.0),
        ("cloakroom.handler.runs", 1.0),
        ("cloakroom.commit.conflicts", 1.0),
        ("cloakroom.commit.unknown", 1.0),
        ("cloakroom.payload.missing", 1.0),
    ]);
}

#[test]
fn durations_are_in_seconds_and_have_the_error_as_an_attribute() {
    let recorded = Recorded::of(|metrics| {
        metrics.took(Timed::Process, Duration::from_millis(1500), None);
        metrics.took(Timed::Process, Duration::from_millis(2), Some(ErrorKind::AwaitService));
        metrics.took(Timed::Handle, Duration::from_millis(3), Some(ErrorKind::RetryMessage));
        metrics.took(Timed::Commit, Duration::from_micros(4500), None);
        metrics.took(Timed::Dispatch, Duration::from_millis(5), Some(ErrorKind::FixConfiguration));
        metrics.took(Timed::Dispatch, Duration::from_millis(6), None);
        metrics.took(Timed::Acknowledge, Duration::from_millis(7), None);
    });
    let orders = "messaging.destination.name=orders";
    recorded.assert_points(&[
        (&format!("messaging.process.duration {orders} messaging.operation.name=process"), 1.5),
        (
            &format!("messaging.process.duration error.type=await_service {orders} messaging.operation.name=process"),
            0.002,
        ),
        ("cloakroom.handler.duration error.type=retry_message", 0.003),
        ("cloakroom.commit.duration", 0.0045),
        (
            "messaging.client.operation.duration error.type=fix_configuration messaging.operation.name=send \
             messaging.operation.type=send",
            0.005,
        ),
        (
            "messaging.client.operation.duration messaging.operation.name=send messaging.operation.type=send",
            0.006,
        ),
        (
            &format!(
                "messaging.client.operation.duration {orders} messaging.operation.name=ack messaging.operation.type=settle"
            ),
            0.007,
        ),
    ]);
}

#[test]
fn sends_retries_and_consumption_are_recorded() {
    let recorded = Recorded::of(|metrics| {
        metrics.sent("bills", 2);
        metrics.sent("mails", 1);
        metrics.sent("bills", 3);
        metrics.retried(Retry::Throttled);
        metrics.progressed("orders");
        metrics.progressed("orders");
        metrics.oldest_record(Duration::from_secs(90));
        metrics.consumed(Consumed { service: Service::DynamoDb, operation: "TransactWriteItems", used: used() });
        metrics.consumed(Consumed {
            service: Service::S3,
            operation: "GetObject",
            used: Used { requests: 1, ..Used::default() },
        });
    });
    let transact = "cloakroom.operation=TransactWriteItems cloakroom.service=dynamodb";
    let get = "cloakroom.operation=GetObject cloakroom.service=s3";
    recorded.assert_points(&[
        ("messaging.client.sent.messages messaging.destination.name=bills messaging.operation.name=send", 5.0),
        ("messaging.client.sent.messages messaging.destination.name=mails messaging.operation.name=send", 1.0),
        ("cloakroom.retries cloakroom.reason=throttled", 1.0),
        ("cloakroom.worker.progress messaging.destination.name=orders", 2.0),
        ("cloakroom.outbox.oldest_record.age", 90.0),
        (&format!("cloakroom.consumed.requests {transact}"), 1.0),
        (&format!("cloakroom.consumed.read_units {transact}"), 0.5),
        (&format!("cloakroom.consumed.write_units {transact}"), 4.0),
        (&format!("cloakroom.consumed.bytes {transact}"), 100.0),
        (&format!("cloakroom.consumed.messages {transact}"), 7.0),
        (&format!("cloakroom.consumed.requests {get}"), 1.0),
        (&format!("cloakroom.consumed.bytes {get}"), 0.0),
    ]);
}

/// The table rows of METRICS.md whose first cell is in backticks.
fn documented() -> impl Iterator<Item = Vec<&'static str>> {
    let lines = include_str!("../../src/docs/METRICS.md").lines().filter(|line| line.starts_with("| `"));
    lines.map(|line| {
        let mut cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        cells[0] = cells[0].trim_matches('`');
        cells
    })
}

#[test]
fn the_documentation_has_every_metric_and_no_other() {
    let recorded = Recorded::of(observe_all);
    let rows = documented().filter(|row: &Vec<&str>| row.len() == 5);
    let table: BTreeMap<String, (String, String)> = rows
        .map(|row| {
            assert!(row.iter().all(|cell| !cell.is_empty()), "a cell of `{}` is empty", row[0]);
            (row[0].to_owned(), (row[1].trim_matches('`').to_owned(), row[2].to_owned()))
        })
        .collect();
    assert_eq!(recorded.described, table);
}

#[test]
fn documentation_has_every_attribute_value() {
    let names: Vec<&str> = documented().map(|row| row[0]).collect();
    let outcomes = [Event::Processed, Event::Resumed, Event::Duplicate, Event::Parked, Event::GivenBack];
    for name in outcomes.map(Event::name).into_iter().chain(Retry::ALL.map(Retry::name)) {
        assert!(names.contains(&name), "METRICS.md does not explain `{name}`");
    }
    for kind in [ErrorKind::RetryMessage, ErrorKind::AwaitService, ErrorKind::FixConfiguration] {
        assert!(include_str!("../../src/docs/METRICS.md").contains(&format!("`{}`", kind.name())), "{kind:?}");
    }
}
