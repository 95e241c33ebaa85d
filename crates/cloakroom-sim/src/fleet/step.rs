//! What was measured of a fleet under one load.

use std::{collections::BTreeMap, sync::Arc};

use cloakroom::observe::{Consumption, Counts, Service, Used};
use serde::{Deserialize, Serialize};

use super::{
    Fleet, Limit,
    cloud::Cloud,
    queue::{self, Inbox, Seen},
};

/// What a fleet consists of, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Workers.
    pub workers: usize,
    /// Messages that they hold at a time, all together.
    pub in_flight_max: usize,
    /// Queues.
    pub queues: usize,
    /// Physical partitions of the table.
    pub table_partitions: usize,
    /// Prefixes of the bucket, or physical partitions of the payload table.
    pub payload_shards: usize,
    /// How many of both came into being by splits.
    pub splits: u64,
    /// Entities.
    pub entities: u64,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The deployment.
    pub deployment: Deployment,
    /// Exponent of Zipf's law; 0 is even.
    pub skew: f64,
    /// Messages that were offered in a second.
    pub offered_per_s: f64,
    /// Messages that were acknowledged in a second.
    pub reached_per_s: f64,
    /// Messages that waited in the queues at the end.
    pub waiting: u64,
    /// Messages in the hands of workers, on average.
    pub in_hand: f64,
    /// Half of the messages took no longer, from their offer to their acknowledgement.
    pub latency_p50_ms: u64,
    /// 99 % took no longer.
    pub latency_p99_ms: u64,
    /// What happened to messages.
    pub counts: Counts,
    /// What was asked of the services.
    pub consumption: Consumption,
    /// Messages that were acknowledged.
    pub acknowledged: u64,
    /// Units of the table; those of a payload table are not in it.
    pub table_units: Used,
    /// How often a limit was met.
    pub throttles: BTreeMap<Limit, u64>,
    /// The share of each limit that was used; of what there are many, of the busiest.
    pub utilisation: BTreeMap<Limit, f64>,
    /// The limit that binds, or would bind first.
    pub binding: Limit,
}

impl Step {
    /// Whether it keeps up with what is offered.
    pub fn keeps_up(&self) -> bool {
        self.reached_per_s >= 0.95 * self.offered_per_s
    }

    /// Messages in each request to queues of this operation, such as `ReceiveMessage`, on average: ten are possible.
    pub fn fill(&self, operation: &str) -> f64 {
        let mut used = self.consumption.of(Service::Sqs, operation);
        used += self.consumption.of(Service::SqsFifo, operation);
        used.messages as f64 / used.requests.max(1) as f64
    }
}

impl Fleet {
    pub(crate) fn step(&self, cloud: &Cloud, inboxes: &[Arc<Inbox>], counts: Counts) -> Step {
        let over = self.measured;
        let (measured, mut utilisation) = cloud.end(over);
        let seen: Vec<Seen> = inboxes.iter().map(|inbox| inbox.end(over)).collect();
        let in_hand: f64 = seen.iter().map(|seen| seen.in_hand).sum();
        let busiest = |share: fn(&Seen) -> f64| seen.iter().map(share).fold(0.0, f64::max);
        let in_flight_max = self.workers * self.worker.in_flight_max;
        let in_flight = busiest(|seen| seen.in_hand) / queue::in_flight_max(self.is_fifo) as f64;
        utilisation.insert(Limit::InFlight, in_flight);
        if self.is_fifo {
            utilisation.insert(Limit::GroupRequests, busiest(|seen| seen.requests));
        }
        utilisation.insert(Limit::Workers, in_hand / in_flight_max as f64);
        utilisation.insert(Limit::Receives, busiest(|seen| seen.unserved));
        let per_second = |messages: u64| messages as f64 / over.as_secs_f64();
        let (table_partitions, payload_shards, splits) = cloud.shards();
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
            waiting: seen.iter().map(|seen| seen.waiting as u64).sum(),
            in_hand,
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

/// A limit binds if it refuses more than so many requests for each message; a few refusals are only bad luck.
const REFUSED: f64 = 0.01;

/// What was refused most; if nothing was refused often, what is used most.
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
    fn what_was_refused_often_binds_and_else_what_is_used_most() {
        let utilisation = BTreeMap::from([(Limit::Workers, 0.9), (Limit::TableWrites, 0.7)]);
        assert_eq!(binding(&BTreeMap::new(), &utilisation, 100), Limit::Workers);
        let throttles = BTreeMap::from([(Limit::TableWrites, 8), (Limit::PayloadReads, 6)]);
        assert_eq!(binding(&throttles, &utilisation, 100), Limit::TableWrites);
        assert_eq!(binding(&throttles, &utilisation, 1_000), Limit::Workers);
    }
}
