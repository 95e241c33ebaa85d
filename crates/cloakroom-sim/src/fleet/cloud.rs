//! The services of one fleet: what they take, how long it takes, and what was measured of it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cloakroom::{
    PortError, Timestamp,
    error::Retry,
    observe::{Consumed, Consumption, Service, Used},
    ports::Clock as _,
};

use super::{
    Fleet, Latencies, Latency, Limit, PayloadPlace,
    clock::FleetClock,
    load::{HOTTEST, Request},
    shards::{BUCKET, Shards, TABLE, Use},
};

/// Latencies above this are counted as this.
const LATENCY_MS_MAX: usize = 60_000;

/// The services.
pub(crate) struct Cloud {
    pub(crate) clock: Arc<FleetClock>,
    pub(crate) latencies: Latencies,
    pub(crate) payload_place: PayloadPlace,
    inside: Mutex<Inside>,
}

struct Inside {
    dice: fastrand::Rng,
    table: Shards,
    payloads: Shards,
    measured: Measured,
    hottest: Hand,
}

/// What was measured since the measuring began.
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
    /// How many messages took so many milliseconds from their offer to their acknowledgement.
    latencies: Vec<u64>,
}

/// How many messages are in hand, and for how long that was so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hand {
    pub(crate) messages: usize,
    since: Timestamp,
    /// Milliseconds with at least one message, since the measuring began.
    busy_ms: u64,
    /// Messages times milliseconds, since the measuring began.
    message_ms: u64,
}

impl Hand {
    pub(crate) fn change(&mut self, now: Timestamp, change: impl FnOnce(usize) -> usize) {
        let passed = now.since(self.since).as_millis() as u64;
        self.busy_ms += passed * u64::from(self.messages > 0);
        self.message_ms += passed * self.messages as u64;
        (self.messages, self.since) = (change(self.messages), now);
    }

    pub(crate) fn begin(&mut self, now: Timestamp) {
        *self = Self { messages: self.messages, since: now, ..Self::default() };
    }

    /// The share of time with at least one message.
    pub(crate) fn busy(mut self, now: Timestamp, over: Duration) -> f64 {
        self.change(now, |messages| messages);
        self.busy_ms as f64 / over.as_millis() as f64
    }

    /// Messages in the middle of time.
    pub(crate) fn mean(mut self, now: Timestamp, over: Duration) -> f64 {
        self.change(now, |messages| messages);
        self.message_ms as f64 / over.as_millis() as f64
    }
}

impl Measured {
    /// The latency, in milliseconds, that such a share of messages does not exceed.
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

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("latencies", &self.latencies).finish_non_exhaustive()
    }
}

impl Cloud {
    pub(crate) fn new(fleet: &Fleet, clock: Arc<FleetClock>) -> Self {
        let now = clock.now();
        let payloads = match fleet.payload_place {
            PayloadPlace::Objects => BUCKET,
            PayloadPlace::Items => TABLE,
        };
        let inside = Inside {
            dice: fastrand::Rng::with_seed(fleet.seed),
            table: Shards::new(TABLE, fleet.table, now),
            payloads: Shards::new(payloads, fleet.payloads, now),
            measured: Measured::default(),
            hottest: Hand::default(),
        };
        Self { clock, latencies: fleet.latencies, payload_place: fleet.payload_place, inside: Mutex::new(inside) }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an answer.
    pub(crate) async fn answer(&self, latency: Latency) {
        let time = latency.draw(&mut self.inside().dice);
        self.clock.sleep(time).await;
    }

    /// A request on items of one partition of the table.
    pub(crate) fn table(
        &self,
        operation: &'static str,
        partition: &str,
        what: Use,
        units: f64,
    ) -> Result<(), PortError> {
        let now = self.clock.now();
        let mut inside = self.inside();
        let limit = match what {
            Use::Read => Limit::TableReads,
            Use::Write if partition == HOTTEST => Limit::EntityUnits,
            Use::Write => Limit::TableWrites,
        };
        let is_taken = inside.table.take(partition, what, units, now);
        if is_taken {
            inside.measured.table_units += used(what, units);
            inside.measured.hottest_units += if limit == Limit::EntityUnits { units } else { 0.0 };
        }
        inside.measured.request(Service::DynamoDb, operation, is_taken.then(|| used(what, units)), limit)
    }

    /// A request on one payload.
    pub(crate) fn payload(
        &self,
        operation: &'static str,
        claim: &str,
        what: Use,
        bytes: usize,
    ) -> Result<(), PortError> {
        let now = self.clock.now();
        let mut inside = self.inside();
        let limit = match what {
            Use::Read => Limit::PayloadReads,
            Use::Write => Limit::PayloadWrites,
        };
        let (service, amount) = match self.payload_place {
            PayloadPlace::Objects => (Service::S3, 1.0),
            PayloadPlace::Items => (Service::DynamoDb, units(what, bytes)),
        };
        let is_taken = inside.payloads.take(claim, what, amount, now);
        let used = match service {
            Service::DynamoDb => used(what, amount),
            Service::S3 | Service::S3Express | Service::Sqs | Service::SqsFifo => {
                Used { requests: 1, bytes: bytes as u64, ..Used::default() }
            }
        };
        inside.measured.request(service, operation, is_taken.then_some(used), limit)
    }

    /// A request to a queue that was taken, for so many messages, or that was refused since it was one too many for a group.
    pub(crate) fn queue(
        &self,
        operation: &'static str,
        is_fifo: bool,
        messages: Option<usize>,
    ) -> Result<(), PortError> {
        let service = if is_fifo { Service::SqsFifo } else { Service::Sqs };
        let used = messages.map(|messages| Used { requests: 1, messages: messages as u64, ..Used::default() });
        self.inside().measured.request(service, operation, used, Limit::GroupRequests)
    }

    /// Something was not to be had, and nobody is told.
    pub(crate) fn throttled(&self, limit: Limit) {
        *self.inside().measured.throttles.entry(limit).or_default() += 1;
    }

    pub(crate) fn offered(&self, messages: u64) {
        self.inside().measured.offered += messages;
    }

    /// A message was leased, or its lease is over.
    pub(crate) fn in_hand(&self, request: &Request, change: impl FnOnce(usize) -> usize) {
        if request.is_hottest {
            let now = self.clock.now();
            self.inside().hottest.change(now, change);
        }
    }

    pub(crate) fn acknowledged(&self, request: &Request) {
        let took = self.clock.now().since(request.offered).as_millis() as usize;
        let mut inside = self.inside();
        inside.measured.acknowledged += 1;
        let at = took.min(LATENCY_MS_MAX);
        let latencies = &mut inside.measured.latencies;
        latencies.resize(latencies.len().max(at + 1), 0);
        latencies[at] += 1;
    }

    /// Measures from now on.
    pub(crate) fn begin(&self) {
        let now = self.clock.now();
        let mut inside = self.inside();
        inside.measured = Measured::default();
        inside.table.begin();
        inside.payloads.begin();
        inside.hottest.begin(now);
    }

    /// What was measured over this time, and the use of what the cloud itself limits.
    pub(crate) fn end(&self, over: Duration) -> (Measured, BTreeMap<Limit, f64>) {
        let now = self.clock.now();
        let inside = self.inside();
        let utilisation = BTreeMap::from([
            (Limit::EntityTurns, inside.hottest.busy(now, over)),
            (Limit::EntityUnits, inside.measured.hottest_units / TABLE.writes / over.as_secs_f64()),
            (Limit::TableWrites, inside.table.utilisation(Use::Write, over)),
            (Limit::TableReads, inside.table.utilisation(Use::Read, over)),
            (Limit::PayloadWrites, inside.payloads.utilisation(Use::Write, over)),
            (Limit::PayloadReads, inside.payloads.utilisation(Use::Read, over)),
        ]);
        (inside.measured.clone(), utilisation)
    }

    /// Partitions of the table, those of the payload store, and how many splits there were.
    pub(crate) fn shards(&self) -> (usize, usize, u64) {
        let inside = self.inside();
        (inside.table.len(), inside.payloads.len(), inside.table.splits + inside.payloads.splits)
    }
}

impl Measured {
    /// Counts a request; without a use it was refused, because of this limit.
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

fn used(what: Use, units: f64) -> Used {
    match what {
        Use::Read => Used { requests: 1, read_units: units, ..Used::default() },
        Use::Write => Used { requests: 1, write_units: units, ..Used::default() },
    }
}

/// Units of DynamoDB for an item of this size: one for each begun KB that is written, or 4 KB that are read.
pub(crate) fn units(what: Use, bytes: usize) -> f64 {
    let unit = match what {
        Use::Read => 4 * 1024,
        Use::Write => 1024,
    };
    bytes.div_ceil(unit).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_begun_kilobytes() {
        assert_eq!([0, 1, 1024, 1025].map(|bytes| units(Use::Write, bytes)), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!([0, 4096, 4097].map(|bytes| units(Use::Read, bytes)), [1.0, 1.0, 2.0]);
    }

    #[test]
    fn percentiles_are_those_of_the_counts() {
        let measured = Measured { latencies: vec![0, 98, 0, 1, 1], ..Measured::default() };
        assert_eq!([0.5, 0.98, 0.99, 1.0].map(|share| measured.latency_ms(share)), [1, 1, 3, 4]);
        assert_eq!(Measured::default().latency_ms(0.5), 0);
    }
}
