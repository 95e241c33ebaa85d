//! How records are looked for: what `pending` and `sweep` have in common.

use std::{collections::BTreeMap, fmt, sync::Arc};

use cloakroom::{
    ports::{Clock as _, Found},
    recovery::{Sweep, SweepSettings},
};
use cloakroom_aws::{Aws, TokioClock};
use serde::Serialize;

use super::table::Table;
use crate::site::Failure;

/// How fast a table is read.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Pace {
    /// In how many parts the table is read at a time
    #[arg(long, default_value_t = 4, value_name = "NUMBER")]
    segments: u32,
    /// How many read units the reading takes in a second, on average; the whole table is read, at a unit for each 4 KB
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    units_per_second: u32,
}

/// Which records are looked for, and how fast.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Reading {
    /// Only records of this endpoint; may be repeated
    #[arg(long = "endpoint", value_name = "NAME")]
    endpoints: Vec<String>,
    /// Only records whose commit is that long ago; workers are likely to have younger ones in hand
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    older_than: humantime::Duration,
    /// Leave records that are older than this if they send payloads, which may have expired
    #[arg(long, value_name = "DURATION", default_value = "28d")]
    payload_ttl: humantime::Duration,
    #[command(flatten)]
    pace: Pace,
}

/// Milliseconds of a duration.
pub(super) fn millis(duration: humantime::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Pace {
    fn settings(&self) -> SweepSettings {
        let Self { segments, units_per_second: units_per_second_max } = *self;
        SweepSettings { segments, units_per_second_max, ..SweepSettings::default() }
    }

    /// A sweep that comes to see every record, and changes nothing.
    pub(super) fn look(&self, aws: &Aws) -> Result<Sweep, Failure> {
        let settings = SweepSettings { older_than_ms: 0, dry_run: true, ..self.settings() };
        sweep(aws, settings)
    }
}

impl Reading {
    pub(super) fn settings(self) -> SweepSettings {
        SweepSettings {
            endpoints: self.endpoints.into_iter().collect(),
            older_than_ms: millis(self.older_than),
            payload_ttl_ms: millis(self.payload_ttl),
            ..self.pace.settings()
        }
    }
}

/// A sweep of an account's table.
pub(super) fn sweep(aws: &Aws, settings: SweepSettings) -> Result<Sweep, Failure> {
    Ok(Sweep::new(Arc::new(aws.records()), aws.ports(), settings)?)
}

/// A record, and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Row {
    endpoint: String,
    partition: String,
    message: String,
    /// None if it does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    /// How many messages it has for which queue.
    queues: BTreeMap<String, u64>,
    /// Why it cannot be finished, if it cannot.
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

/// Rows in one order, whatever order they were found in.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    pub(super) fn push(&mut self, row: Row) {
        let place = self.0.partition_point(|other| *other < row);
        self.0.insert(place, row);
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

/// A number of seconds as people write it.
pub(super) fn age(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}
