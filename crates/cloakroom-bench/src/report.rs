//! The results of a run, as data. They are written as JSON, and drawn as a page of HTML.

use std::collections::BTreeMap;

use cloakroom::observe::Consumption;
use serde::{Deserialize, Serialize};

/// The format version of [`Report`].
pub const FORMAT: u32 = 1;

/// One run: a workload, and the results of each contestant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The start time, in the format of RFC 3339.
    pub began: String,
    /// The services: `embedded AWS`, an address, or an account and its region.
    pub target: String,
    /// The workload.
    pub workload: Workload,
    /// The region whose prices were used.
    pub price_region: String,
    /// The results, in the order in which the contestants ran.
    pub measured: Vec<Measured>,
    /// Whether the run was interrupted. Then the results are correct but incomplete.
    pub interrupted: bool,
    /// Remarks for the reader, such as that the machine could not offer the rate.
    pub remarks: Vec<String>,
}

/// The workload of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// The intended rate, in messages per second. `None` in a closed loop, where each message was
    /// offered when an earlier one had ended.
    pub rate_per_s: Option<f64>,
    /// The number of messages for each contestant.
    pub messages: u64,
    /// The number of entities.
    pub entities: u64,
    /// The exponent of the Zipf distribution of messages over entities. 0 is even.
    pub skew: f64,
    /// The payload size of each message, in bytes.
    pub payload_bytes: u64,
    /// The maximum number of messages that a worker has in flight.
    pub in_flight_max: usize,
    /// The number of workers.
    pub workers: usize,
}

/// The results of one contestant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The contestant's name, as on the command line.
    pub contestant: String,
    /// Its guarantee, in a few words.
    pub promise: String,
    /// The number of messages that ended.
    pub messages: u64,
    /// The time from the first offer to the last end, in seconds.
    pub seconds: f64,
    /// The rate that was really offered, in messages per second on average. `None` in a closed
    /// loop.
    pub offered_per_s: Option<f64>,
    /// The number of messages that ended in each second since the start.
    pub ended_by_second: Vec<u64>,
    /// The time from when a message should have been offered to its end. It includes the delay of
    /// the load generator.
    pub latency: Latency,
    /// The requests to the services, as the clients metered them.
    pub consumption: Consumption,
    /// The cost of a million messages in dollars, by service.
    pub dollars_per_million: BTreeMap<String, f64>,
    /// The user and system time of this process, in seconds. It includes embedded services.
    pub cpu_seconds: f64,
    /// The counts of events, such as duplicates caught and commits lost.
    pub counts: BTreeMap<String, u64>,
    /// The result of the audit.
    pub audit: Audit,
}

/// Latencies in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50_us: u64,
    /// The 90th percentile.
    pub p90_us: u64,
    /// The 99th percentile.
    pub p99_us: u64,
    /// The 99.9th percentile.
    pub p999_us: u64,
    /// The maximum.
    pub max_us: u64,
    /// Points of the distribution: percentile and microseconds.
    pub curve: Vec<(f64, u64)>,
}

/// The audit of a contestant: the differences between the expected and the actual results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The number of messages without an effect.
    pub lost: u64,
    /// The number of effects beyond one for each message.
    pub doubled: u64,
    /// The number of outgoing messages that were not sent.
    pub unsent: u64,
    /// The number of identities beyond one for each outgoing message. The receiver would process
    /// each of them.
    pub sent_twice: u64,
}

impl Audit {
    /// Returns whether each message had one effect and sent its outgoing message once.
    pub const fn balances(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.unsent == 0 && self.sent_twice == 0
    }
}
