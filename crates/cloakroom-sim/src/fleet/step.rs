//! The measurements of a fleet under one load.

use std::{collections::BTreeMap, sync::Arc};

use cloakroom::observe::{Consumption, Counts, Service, Used};
use serde::{Deserialize, Serialize};

use crate::fleet::{
    config::Fleet,
    limit::Limit,
    queue::{self, Inbox, QueueMeasurement},
    services::Services,
};

/// The parts of a fleet at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The number of workers.
    pub workers: usize,
    /// The number of messages that all workers together can process at a time.
    pub in_flight_max: usize,
    /// The number of queues.
    pub queues: usize,
    /// Physical partitions of the table.
    pub table_partitions: usize,
    /// Prefixes of the bucket, or physical partitions of the payload table.
    pub payload_shards: usize,
    /// How many partitions and shards were created by splits.
    pub splits: u64,
    /// The number of entities.
    pub entities: u64,
}

/// The measurements under one load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The deployment.
    pub deployment: Deployment,
    /// The exponent of Zipf's law. 0 is even.
    pub skew: f64,
    /// Messages that were offered per second.
    pub offered_per_s: f64,
    /// Messages that were acknowledged per second.
    pub reached_per_s: f64,
    /// Messages that waited in the queues at the end.
    pub waiting: u64,
    /// Messages that workers were processing, on average.
    #[serde(rename = "in_hand")]
    pub in_flight: f64,
    /// The median latency from offer to acknowledgement, in milliseconds.
    pub latency_p50_ms: u64,
    /// The 99th percentile of the latency, in milliseconds.
    pub latency_p99_ms: u64,
    /// Counts of what happened to messages.
    pub counts: Counts,
    /// The requests to the services, and what they used.
    pub consumption: Consumption,
    /// Messages that were acknowledged.
    pub acknowledged: u64,
    /// Units of the table, without those of a payload table.
    pub table_units: Used,
    /// How often each limit was met.
    pub throttles: BTreeMap<Limit, u64>,
    /// The used share of each limit. For limits of several shards or queues it is the share of the
    /// busiest one.
    pub utilisation: BTreeMap<Limit, f64>,
    /// The limit that binds, or that would bind first.
    pub binding: Limit,
}

impl Step {
    /// Whether the fleet keeps up with the load.
    pub fn keeps_up(&self) -> bool {
        self.reached_per_s >= 0.95 * self.offered_per_s
    }

    /// The average number of messages in each request of this operation to queues, such as
    /// `ReceiveMessage`. At most ten.
    pub fn fill(&self, operation: &str) -> f64 {
        let mut used = self.consumption.of(Service::Sqs, operation);
        used += self.consumption.of(Service::SqsFifo, operation);
        used.messages as f64 / used.requests.max(1) as f64
    }
}

impl Fleet {
    pub(crate) fn step(&self, services: &Services, inboxes: &[Arc<Inbox>], counts: Counts) -> Step {
        let over = self.measured;
        let (measured, mut utilisation) = services.end(over);
        let measured_queues: Vec<QueueMeasurement> = inboxes.iter().map(|inbox| inbox.end(over)).collect();
        let mean_in_flight: f64 = measured_queues.iter().map(|queue| queue.in_flight).sum();
        let busiest = |share: fn(&QueueMeasurement) -> f64| measured_queues.iter().map(share).fold(0.0, f64::max);
        let in_flight_max = self.workers * self.worker.in_flight_max;
        let in_flight = busiest(|queue| queue.in_flight) / queue::in_flight_max(self.is_fifo) as f64;
        utilisation.insert(Limit::InFlight, in_flight);
        if self.is_fifo {
            utilisation.insert(Limit::GroupRequests, busiest(|queue| queue.requests));
        }
        utilisation.insert(Limit::Workers, mean_in_flight / in_flight_max as f64);
        utilisation.insert(Limit::Receives, busiest(|queue| queue.unserved));
        let per_second = |messages: u64| messages as f64 / over.as_secs_f64();
        let (table_partitions, payload_shards, splits) = services.shards();
        Step {
            deployment: Deployment {
                workers: self.workers,
                in_flight_max,
                queues: self.queues,
                table_partitions,
                payload_shards,
                splits,
                entities: self.entities,
            },
            skew: self.skew,
            offered_per_s: per_second(measured.offered),
            reached_per_s: per_second(measured.acknowledged),
            waiting: measured_queues.iter().map(|queue| queue.waiting as u64).sum(),
            in_flight: mean_in_flight,
            latency_p50_ms: measured.latency_ms(0.5),
            latency_p99_ms: measured.latency_ms(0.99),
            counts,
            acknowledged: measured.acknowledged,
            table_units: measured.table_units,
            binding: binding(&measured.throttles, &utilisation, measured.acknowledged),
            throttles: measured.throttles,
            consumption: measured.consumption,
            utilisation,
        }
    }
}

/// A limit binds if it refuses more than this many requests for each message. Fewer refusals are
/// random.
const REFUSED: f64 = 0.01;

/// Returns the limit that refused most requests. If none refused many, the limit with the highest
/// utilisation.
fn binding(throttles: &BTreeMap<Limit, u64>, utilisation: &BTreeMap<Limit, f64>, acknowledged: u64) -> Limit {
    let refused = |limit: &Limit| throttles.get(limit).copied().unwrap_or_default();
    let is_often = |limit: &Limit| refused(limit) as f64 > REFUSED * acknowledged as f64;
    let most_refused = Limit::ALL.into_iter().filter(is_often).max_by_key(refused);
    let used = |limit: &Limit| utilisation.get(limit).copied().unwrap_or_default();
    let most_used = Limit::ALL.into_iter().max_by(|a, b| used(a).total_cmp(&used(b)));
    most_refused.or(most_used).unwrap_or(Limit::Workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binding_limit_is_the_most_refused_and_else_the_most_used_one() {
        let utilisation = BTreeMap::from([(Limit::Workers, 0.9), (Limit::TableWrites, 0.7)]);
        assert_eq!(binding(&BTreeMap::new(), &utilisation, 100), Limit::Workers);
        let throttles = BTreeMap::from([(Limit::TableWrites, 8), (Limit::PayloadReads, 6)]);
        assert_eq!(binding(&throttles, &utilisation, 100), Limit::TableWrites);
        assert_eq!(binding(&throttles, &utilisation, 1_000), Limit::Workers);
    }
}
