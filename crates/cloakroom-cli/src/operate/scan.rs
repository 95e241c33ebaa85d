//! Finding records in the table: the common part of `pending`, `sweep` and `payload orphans`.

use std::{collections::BTreeMap, fmt, sync::Arc};

use cloakroom::{
    ports::{Clock as _, Found},
    recovery::{Sweep, SweepSettings},
};
use cloakroom_aws::{Aws, TokioClock};
use serde::Serialize;

use crate::{operate::table::Table, site::Failure};

/// The options for the rate at which the table is read.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ScanRate {
    /// Segments of the table that are read in parallel
    #[arg(long, default_value_t = 4, value_name = "NUMBER")]
    segments: u32,
    /// Average read units per second; the whole table is read, at one read unit per 4 KB
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    units_per_second: u32,
}

/// The options that select records, and the rate.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ScanOptions {
    /// Only records of this endpoint; may be repeated
    #[arg(long = "endpoint", value_name = "NAME")]
    endpoints: Vec<String>,
    /// Only records whose commit is at least this long ago; the messages of younger ones are
    /// probably still in flight
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    older_than: humantime::Duration,
    /// Skip records older than this that send payloads, since these may have expired
    #[arg(long, value_name = "DURATION", default_value = "28d")]
    payload_ttl: humantime::Duration,
    #[command(flatten)]
    rate: ScanRate,
}

/// Returns the milliseconds of a duration.
pub(super) fn millis(duration: humantime::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl ScanRate {
    fn settings(&self) -> SweepSettings {
        let Self { segments, units_per_second: units_per_second_max } = *self;
        SweepSettings { segments, units_per_second_max, ..SweepSettings::default() }
    }

    /// Returns a sweep that reads every record, and changes nothing.
    pub(super) fn read_only_sweep(&self, aws: &Aws) -> Result<Sweep, Failure> {
        let settings = SweepSettings { older_than_ms: 0, dry_run: true, ..self.settings() };
        new_sweep(aws, settings)
    }
}

impl ScanOptions {
    pub(super) fn settings(self) -> SweepSettings {
        SweepSettings {
            endpoints: self.endpoints.into_iter().collect(),
            older_than_ms: millis(self.older_than),
            payload_ttl_ms: millis(self.payload_ttl),
            ..self.rate.settings()
        }
    }
}

/// Returns a sweep of an account's table.
pub(super) fn new_sweep(aws: &Aws, settings: SweepSettings) -> Result<Sweep, Failure> {
    Ok(Sweep::new(Arc::new(aws.records()), aws.ports(), settings)?)
}

/// A record in a report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Row {
    endpoint: String,
    partition: String,
    message: String,
    /// The age in seconds. `None` if it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    /// The number of its outgoing messages by queue.
    queues: BTreeMap<String, u64>,
    /// The reason why it cannot be finished, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<String>,
}

impl Row {
    pub(super) fn new(found: &Found, left: Option<String>) -> Self {
        let mut queues: BTreeMap<String, u64> = BTreeMap::new();
        for message in found.record.iter().flat_map(|record| &record.messages) {
            *queues.entry(message.queue.clone()).or_default() += 1;
        }
        Self {
            endpoint: found.endpoint.clone(),
            partition: found.partition.to_string(),
            message: found.message.to_string(),
            age_s: found.age(TokioClock.now()).map(|age| age.as_secs()),
            queues,
            left,
        }
    }
}

/// Rows, sorted.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    pub(super) fn push(&mut self, row: Row) {
        let index = self.0.partition_point(|other| *other < row);
        self.0.insert(index, row);
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |row: &Row| {
            let age = row.age_s.map_or_else(|| "?".to_owned(), age);
            let queues: Vec<String> = row.queues.iter().map(|(queue, count)| format!("{queue}: {count}")).collect();
            let (endpoint, partition, message) = (&row.endpoint, &row.partition, &row.message);
            let texts = [endpoint.clone(), partition.clone(), message.clone(), age, queues.join(", ")];
            let [a, b, c, d, e] = texts;
            [a, b, c, d, e, row.left.clone().unwrap_or_default()]
        };
        let heading = ["ENDPOINT", "PARTITION", "MESSAGE", "AGE", "TO QUEUES", "CANNOT BE FINISHED BECAUSE"];
        Table::new(heading, self.0.iter().map(row)).fmt(f)
    }
}

/// Formats a number of seconds, such as `1h 30m`.
pub(super) fn age(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}
