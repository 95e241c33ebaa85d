//! The configuration of a fleet: a deployment and its load.

use std::{fmt, time::Duration};

use cloakroom::{EndpointSettings, WorkerSettings};
use serde::{Deserialize, Serialize};

use crate::fleet::{
    latency::{Latencies, Latency},
    load_messages::PAYLOAD_BYTES_MIN,
    payload_place::PayloadPlace,
    shards::Sharding,
};

/// A deployment, and the load on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// Messages offered per second.
    pub rate_per_s: f64,
    /// The exponent of Zipf's law by which messages are spread over entities. With 0 they are
    /// spread evenly.
    pub skew: f64,
    /// The number of entities.
    pub entities: u64,
    /// Bytes in the payload of each message, incoming and outgoing.
    pub payload_bytes: usize,
    /// Where payloads are stored.
    pub payload_place: PayloadPlace,
    /// Physical partitions of the table.
    pub table: Sharding,
    /// Prefixes of the bucket, or physical partitions of the payload table.
    pub payloads: Sharding,
    /// The number of queues. Messages and workers are divided among them.
    pub queues: usize,
    /// Whether they are FIFO queues, with the partition as the message group.
    pub is_fifo: bool,
    /// The number of workers. Each is a process.
    pub workers: usize,
    /// The settings of each endpoint.
    pub endpoint: EndpointSettings,
    /// The settings of each worker.
    pub worker: WorkerSettings,
    /// The latencies of the services.
    pub latencies: Latencies,
    /// The virtual time before the measurement.
    pub warm_up: Duration,
    /// The virtual time of the measurement.
    pub measured: Duration,
    /// The seed. The same seed gives the same result.
    pub seed: u64,
}

impl Default for Fleet {
    /// A new table, a new bucket, one queue and 4 workers, with 1,000 messages per second.
    fn default() -> Self {
        Self {
            rate_per_s: 1_000.0,
            skew: 0.0,
            entities: 10_000,
            payload_bytes: 1_000,
            payload_place: PayloadPlace::Objects,
            table: Sharding::fixed(4),
            payloads: Sharding::fixed(1),
            queues: 1,
            is_fifo: false,
            workers: 4,
            endpoint: EndpointSettings::default(),
            worker: WorkerSettings { in_flight_max: 128, ..WorkerSettings::default() },
            latencies: Latencies::default(),
            warm_up: Duration::from_millis(400),
            measured: Duration::from_secs(1),
            seed: 1,
        }
    }
}

/// The reason why a fleet cannot be simulated.
#[derive(Clone, PartialEq, Eq)]
pub struct FleetError(pub(super) String);

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

cloakroom::debug_is_display!(FleetError);

impl std::error::Error for FleetError {}

impl From<cloakroom::Error> for FleetError {
    fn from(error: cloakroom::Error) -> Self {
        Self(format!("a worker of the fleet failed: {error}"))
    }
}

impl Fleet {
    pub(super) fn check(&self) -> Result<(), FleetError> {
        let wrong = |field: &str, value: &dyn fmt::Display, wanted: &str| {
            Err(FleetError(format!("`{field}` of the fleet is {value}; it must be {wanted}")))
        };
        if !(1.0..=10_000_000.0).contains(&self.rate_per_s) {
            return wrong("rate_per_s", &self.rate_per_s, "from 1 to 10,000,000 messages a second");
        }
        if !(0.0..=10.0).contains(&self.skew) {
            return wrong("skew", &self.skew, "from 0 (even) to 10");
        }
        if !(PAYLOAD_BYTES_MIN..=350 * 1024).contains(&self.payload_bytes) {
            let wanted = format!("from {PAYLOAD_BYTES_MIN} to 358,400 bytes");
            return wrong("payload_bytes", &self.payload_bytes, &wanted);
        }
        for (field, value) in [
            ("entities", self.entities),
            ("table.shards", self.table.shards as u64),
            ("payloads.shards", self.payloads.shards as u64),
            ("queues", self.queues as u64),
            ("workers", self.workers as u64),
        ] {
            if !(1..=100_000_000).contains(&value) {
                return wrong(field, &value, "from 1 to 100,000,000");
            }
        }
        for (field, Latency { p50_ms, p99_ms }) in self.latencies.all() {
            if !(1.0..=10_000.0).contains(&p50_ms) || !(p50_ms..=60_000.0).contains(&p99_ms) {
                let value = format!("{p50_ms} and {p99_ms} ms");
                return wrong(&format!("latencies.{field}"), &value, "1 ms or more, and no less at p99 than at p50");
            }
        }
        if self.measured < Duration::from_millis(100) {
            return wrong("measured", &format!("{:?}", self.measured), "100 ms or more");
        }
        Ok(())
    }
}
