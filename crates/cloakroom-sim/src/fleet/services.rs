//! The services of one fleet: their limits, their latencies, and the measurements.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cloakroom::{
    PortError,
    error::Retry,
    observe::{Consumed, Consumption, Service, Used},
    ports::Clock as _,
};

use crate::fleet::{
    clock::FleetClock,
    config::Fleet,
    in_flight::InFlightMeter,
    latency::{Latencies, Latency},
    limit::Limit,
    offered::{HOTTEST, OfferedMessage},
    payload_place::PayloadPlace,
    shards::{Access, BUCKET, Shards, TABLE},
};

/// Higher latencies are counted as this one.
const LATENCY_MS_MAX: usize = 60_000;

/// The services.
pub(crate) struct Services {
    pub(crate) clock: Arc<FleetClock>,
    pub(crate) latencies: Latencies,
    pub(crate) payload_place: PayloadPlace,
    state: Mutex<State>,
}

struct State {
    random: fastrand::Rng,
    table: Shards,
    payloads: Shards,
    measured: Measured,
    hottest: InFlightMeter,
}

/// The measurements since the beginning of the measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) consumption: Consumption,
    pub(crate) throttles: BTreeMap<Limit, u64>,
    pub(crate) offered: u64,
    pub(crate) acknowledged: u64,
    /// Units of the table, without those of a payload table.
    pub(crate) table_units: Used,
    /// Write units of the hottest entity.
    pub(crate) hottest_units: f64,
    /// The number of messages by the milliseconds from their offer to their acknowledgement.
    latencies: Vec<u64>,
}

impl Measured {
    /// The latency, in milliseconds, that this share of messages does not exceed.
    pub(crate) fn latency_ms(&self, share: f64) -> u64 {
        let all: u64 = self.latencies.iter().sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut counted = 0;
        let found = self.latencies.iter().position(|count| {
            counted += count;
            counted >= wanted.max(1)
        });
        found.unwrap_or(0) as u64
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("latencies", &self.latencies).finish_non_exhaustive()
    }
}

impl Services {
    pub(crate) fn new(fleet: &Fleet, clock: Arc<FleetClock>) -> Self {
        let now = clock.now();
        let payloads = match fleet.payload_place {
            PayloadPlace::Objects => BUCKET,
            PayloadPlace::Items => TABLE,
        };
        let state = State {
            random: fastrand::Rng::with_seed(fleet.seed),
            table: Shards::new(TABLE, fleet.table, now),
            payloads: Shards::new(payloads, fleet.payloads, now),
            measured: Measured::default(),
            hottest: InFlightMeter::default(),
        };
        Self { clock, latencies: fleet.latencies, payload_place: fleet.payload_place, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the response of a request.
    pub(crate) async fn answer(&self, latency: Latency) {
        let time = latency.draw(&mut self.state().random);
        self.clock.sleep(time).await;
    }

    /// Makes a request for items of one partition of the table.
    pub(crate) fn table(
        &self,
        operation: &'static str,
        partition: &str,
        what: Access,
        units: f64,
    ) -> Result<(), PortError> {
        let now = self.clock.now();
        let mut state = self.state();
        let limit = match what {
            Access::Read => Limit::TableReads,
            Access::Write if partition == HOTTEST => Limit::EntityUnits,
            Access::Write => Limit::TableWrites,
        };
        let is_taken = state.table.take(partition, what, units, now);
        if is_taken {
            state.measured.table_units += used(what, units);
            state.measured.hottest_units += if limit == Limit::EntityUnits { units } else { 0.0 };
        }
        state.measured.request(Service::DynamoDb, operation, is_taken.then(|| used(what, units)), limit)
    }

    /// Makes a request for one payload.
    pub(crate) fn payload(
        &self,
        operation: &'static str,
        claim: &str,
        what: Access,
        bytes: usize,
    ) -> Result<(), PortError> {
        let now = self.clock.now();
        let mut state = self.state();
        let limit = match what {
            Access::Read => Limit::PayloadReads,
            Access::Write => Limit::PayloadWrites,
        };
        let (service, amount) = match self.payload_place {
            PayloadPlace::Objects => (Service::S3, 1.0),
            PayloadPlace::Items => (Service::DynamoDb, units(what, bytes)),
        };
        let is_taken = state.payloads.take(claim, what, amount, now);
        let used = match service {
            Service::DynamoDb => used(what, amount),
            Service::S3 | Service::S3Express | Service::Sqs | Service::SqsFifo => {
                Used { requests: 1, bytes: bytes as u64, ..Used::default() }
            }
        };
        state.measured.request(service, operation, is_taken.then_some(used), limit)
    }

    /// Counts a request to a queue: one for this many messages, or one that was refused because the
    /// limit of a group was exceeded.
    pub(crate) fn queue(
        &self,
        operation: &'static str,
        is_fifo: bool,
        messages: Option<usize>,
    ) -> Result<(), PortError> {
        let service = if is_fifo { Service::SqsFifo } else { Service::Sqs };
        let used = messages.map(|messages| Used { requests: 1, messages: messages as u64, ..Used::default() });
        self.state().measured.request(service, operation, used, Limit::GroupRequests)
    }

    /// Counts a limit that was met without an error.
    pub(crate) fn throttled(&self, limit: Limit) {
        *self.state().measured.throttles.entry(limit).or_default() += 1;
    }

    pub(crate) fn offered(&self, messages: u64) {
        self.state().measured.offered += messages;
    }

    /// Changes the number of messages in flight of the hottest entity.
    pub(crate) fn change_hottest(&self, message: &OfferedMessage, change: impl FnOnce(usize) -> usize) {
        if message.is_hottest {
            let now = self.clock.now();
            self.state().hottest.change(now, change);
        }
    }

    pub(crate) fn acknowledged(&self, message: &OfferedMessage) {
        let took = self.clock.now().since(message.offered_at).as_millis() as usize;
        let mut state = self.state();
        state.measured.acknowledged += 1;
        let at = took.min(LATENCY_MS_MAX);
        let latencies = &mut state.measured.latencies;
        latencies.resize(latencies.len().max(at + 1), 0);
        latencies[at] += 1;
    }

    /// Begins the measurement.
    pub(crate) fn begin(&self) {
        let now = self.clock.now();
        let mut state = self.state();
        state.measured = Measured::default();
        state.table.begin();
        state.payloads.begin();
        state.hottest.begin(now);
    }

    /// Returns the measurements over this time, and the utilisation of the limits of the services.
    pub(crate) fn end(&self, over: Duration) -> (Measured, BTreeMap<Limit, f64>) {
        let now = self.clock.now();
        let state = self.state();
        let utilisation = BTreeMap::from([
            (Limit::EntityTurns, state.hottest.busy(now, over)),
            (Limit::EntityUnits, state.measured.hottest_units / TABLE.writes / over.as_secs_f64()),
            (Limit::TableWrites, state.table.utilisation(Access::Write, over)),
            (Limit::TableReads, state.table.utilisation(Access::Read, over)),
            (Limit::PayloadWrites, state.payloads.utilisation(Access::Write, over)),
            (Limit::PayloadReads, state.payloads.utilisation(Access::Read, over)),
        ]);
        (state.measured.clone(), utilisation)
    }

    /// Returns the number of partitions of the table, of shards of the payload store, and of
    /// splits.
    pub(crate) fn shards(&self) -> (usize, usize, u64) {
        let state = self.state();
        (state.table.len(), state.payloads.len(), state.table.splits + state.payloads.splits)
    }
}

impl Measured {
    /// Counts a request. Without `used` the request was refused because of this limit.
    fn request(
        &mut self,
        service: Service,
        operation: &'static str,
        used: Option<Used>,
        limit: Limit,
    ) -> Result<(), PortError> {
        let refused = Used { requests: 1, ..Used::default() };
        self.consumption.add(Consumed { service, operation, used: used.unwrap_or(refused) });
        if used.is_some() {
            return Ok(());
        }
        *self.throttles.entry(limit).or_default() += 1;
        Err(PortError::new(operation, format!("throttled: {limit}"))
            .without_effect()
            .because(Retry::Throttled)
            .public())
    }
}

fn used(what: Access, units: f64) -> Used {
    match what {
        Access::Read => Used { requests: 1, read_units: units, ..Used::default() },
        Access::Write => Used { requests: 1, write_units: units, ..Used::default() },
    }
}

/// The units of DynamoDB for an item of this size: one for each started KB that is written, or 4 KB
/// that are read.
pub(crate) fn units(what: Access, bytes: usize) -> f64 {
    let unit = match what {
        Access::Read => 4 * 1024,
        Access::Write => 1024,
    };
    bytes.div_ceil(unit).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_started_kilobytes() {
        assert_eq!([0, 1, 1024, 1025].map(|bytes| units(Access::Write, bytes)), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!([0, 4096, 4097].map(|bytes| units(Access::Read, bytes)), [1.0, 1.0, 2.0]);
    }

    #[test]
    fn percentiles_follow_from_the_counts() {
        let measured = Measured { latencies: vec![0, 98, 0, 1, 1], ..Measured::default() };
        assert_eq!([0.5, 0.98, 0.99, 1.0].map(|share| measured.latency_ms(share)), [1, 1, 3, 4]);
        assert_eq!(Measured::default().latency_ms(0.5), 0);
    }
}
