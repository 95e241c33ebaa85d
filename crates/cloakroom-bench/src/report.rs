//! What a run has measured, as data: it is written as JSON, and drawn as a page of HTML.

use std::collections::BTreeMap;

use cloakroom::observe::Consumption;
use serde::{Deserialize, Serialize};

/// The form of [`Report`] that this version writes.
pub const FORMAT: u32 = 1;

/// One run: a workload, and what became of it with each contestant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// When it began, as RFC 3339 writes it.
    pub began: String,
    /// Against what: `embedded AWS`, an address, or an account and its region.
    pub target: String,
    /// What was offered.
    pub workload: Workload,
    /// The region whose prices were taken.
    pub price_region: String,
    /// In the order in which they ran.
    pub measured: Vec<Measured>,
    /// It was ended before its time: what it has is true, and not all.
    pub interrupted: bool,
    /// What its reader has to know, such as that the machine could not offer the rate.
    pub remarks: Vec<String>,
}

/// What was offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Messages a second that were to be offered; none if each was offered when one before it had ended (a closed loop).
    pub rate_per_s: Option<f64>,
    /// Messages for each contestant.
    pub messages: u64,
    /// Entities that they are for.
    pub entities: u64,
    /// Exponent of Zipf's law by which they are spread; 0 is even.
    pub skew: f64,
    /// Bytes in the payload of each.
    pub payload_bytes: u64,
    /// Messages that a worker has in hand at most.
    pub in_flight_max: usize,
    /// Workers.
    pub workers: usize,
}

/// What became of it with one contestant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The contestant's name, as `--compare` takes it.
    pub contestant: String,
    /// What it promises, in a few words.
    pub promise: String,
    /// Messages that ended.
    pub messages: u64,
    /// From the first offer to the last end.
    pub seconds: f64,
    /// Messages that were really offered in a second, on average; none in a closed loop.
    pub offered_per_s: Option<f64>,
    /// Messages that ended in each second from the beginning.
    pub ended_by_second: Vec<u64>,
    /// From the moment at which a message should have been offered to its end: so a queue that forms in front of the load is
    /// counted, too.
    pub latency: Latency,
    /// What the services were asked for, as the client saw it.
    pub consumption: Consumption,
    /// Dollars for a million messages, by service.
    pub dollars_per_million: BTreeMap<String, f64>,
    /// Processor time of this process, user and system; embedded services are part of it.
    pub cpu_seconds: f64,
    /// Things that happened and have a number, such as duplicates caught and commits lost.
    pub counts: BTreeMap<String, u64>,
    /// The books at the end.
    pub audit: Audit,
}

/// Latencies in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the messages took no longer.
    pub p50_us: u64,
    /// 90 %.
    pub p90_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// 99.9 %.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// Points of the distribution: percentile, and microseconds.
    pub curve: Vec<(f64, u64)>,
}

/// The books of a contestant: what should have happened to every entity, and what did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Messages without an effect.
    pub lost: u64,
    /// Effects beyond one for each message.
    pub doubled: u64,
    /// Outgoing messages that were not sent.
    pub unsent: u64,
    /// Claims beyond one for each outgoing message, each of which its receiver would process.
    pub sent_twice: u64,
}

impl Audit {
    /// Whether each message had one effect, and sent what it had to send.
    pub const fn balances(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.unsent == 0 && self.sent_twice == 0
    }
}
