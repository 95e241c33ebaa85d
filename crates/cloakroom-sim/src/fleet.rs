//! A fleet: many workers with the engine that ships, on virtual time, against the limits of AWS. It says how many messages a
//! second a deployment takes, what they cost in units and requests, and **which limit binds first**.
//!
//! What is simulated is all of it, message by message: nothing is scaled up from a smaller run. For high rates less
//! virtual time passes.
//!
//! | service | limits | what is assumed |
//! |---|---|---|
//! | DynamoDB | 1,000 write and 3,000 read units a second for each physical partition; units are computed from the items | the items of one partition key stay in one physical partition; burst capacity is left out; account quotas were raised |
//! | S3 | 3,500 PUT and DELETE, 5,500 GET a second for each prefix | claims spread evenly, since they are random |
//! | SQS | 120,000 messages in flight for a standard queue; 20,000, order, and 300 requests of a kind a second for a FIFO group; ten messages a request | no duplicates |
//! | all | [`Latencies`] | a request takes effect when it is answered; a worker's own processor time is none |
//! | splits | [`Sharding`] | a shard splits after so long a time at four fifths of what it takes |
//!
//! ```
//! use cloakroom_sim::fleet::Fleet;
//!
//! let step = Fleet { rate_per_s: 200.0, ..Fleet::default() }.run()?;
//! assert!(step.reached_per_s > 180.0, "it keeps up");
//! # Ok::<(), cloakroom_sim::fleet::FleetError>(())
//! ```

mod clock;
mod cloud;
mod hot;
mod latency;
mod limit;
mod load;
mod payloads;
mod queue;
mod queues;
mod shards;
mod step;
mod store;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use cloakroom::{
    EndpointSettings, Ports, Worker, WorkerSettings,
    memory::SeededRandom,
    observe::Counters,
    ports::{Limits, Queue as _},
};
use futures::{
    StreamExt as _,
    future::{BoxFuture, Either, FutureExt as _, select},
    stream::FuturesUnordered,
};
use serde::{Deserialize, Serialize};

pub use hot::{Ladder, sustained};
pub use latency::{Latencies, Latency};
pub use limit::Limit;
pub use payloads::PayloadPlace;
pub use shards::Sharding;
pub use step::{Deployment, Step};

use self::{
    clock::FleetClock,
    cloud::Cloud,
    load::{Load, PAYLOAD_BYTES_MIN},
    payloads::Payloads,
    queue::Inbox,
    queues::Everywhere,
    store::Table,
};

/// How much of a limit a [sized](Fleet::sized) fleet is to use.
const HEADROOM: f64 = 0.6;

/// A deployment, and the load that it is put under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// Messages offered in a second.
    pub rate_per_s: f64,
    /// Exponent of Zipf's law by which messages are spread over entities; 0 is even.
    pub skew: f64,
    /// Entities that they are for.
    pub entities: u64,
    /// Bytes in the payload of each message, incoming and outgoing.
    pub payload_bytes: usize,
    /// Where payloads are kept.
    pub payload_place: PayloadPlace,
    /// Physical partitions of the table.
    pub table: Sharding,
    /// Prefixes of the bucket, or physical partitions of the payload table.
    pub payloads: Sharding,
    /// Queues among which messages and workers are divided.
    pub queues: usize,
    /// They are FIFO queues, and the partition is the message group.
    pub is_fifo: bool,
    /// Workers; each is a process of its own.
    pub workers: usize,
    /// How each endpoint processes a message.
    pub endpoint: EndpointSettings,
    /// How each worker takes messages.
    pub worker: WorkerSettings,
    /// How long services take.
    pub latencies: Latencies,
    /// Virtual time before anything is measured.
    pub warm_up: Duration,
    /// Virtual time that is measured.
    pub measured: Duration,
    /// The same seed does the same.
    pub seed: u64,
}

impl Default for Fleet {
    /// A new table, a new bucket, one queue, and 4 workers, under 1,000 messages a second.
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

/// Why a fleet cannot be simulated.
#[derive(Clone, PartialEq, Eq)]
pub struct FleetError(String);

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

cloakroom::debug_is_display!(FleetError);

impl std::error::Error for FleetError {}

impl From<cloakroom::Error> for FleetError {
    fn from(error: cloakroom::Error) -> Self {
        Self(format!("the fleet's workers do not work: {error}"))
    }
}

impl Fleet {
    /// As many workers, queues, partitions and prefixes as it takes to use about 60 % of each, if keys are even; whoever
    /// knows the load beforehand has them made beforehand. What one message takes is found out by a small fleet first.
    /// There are at least ten entities for each message a second, so that few of them meet.
    ///
    /// # Errors
    /// See [`Fleet::run`].
    pub fn sized(self) -> Result<Self, FleetError> {
        self.check()?;
        let wide = Sharding::fixed(64);
        let worker = WorkerSettings { in_flight_max: self.worker.in_flight_max.max(128), ..self.worker.clone() };
        let pilot = Self {
            rate_per_s: 1_000.0,
            skew: 0.0,
            entities: 100_000,
            table: wide,
            payloads: wide,
            queues: 1,
            is_fifo: false,
            workers: 8,
            worker,
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(2),
            ..self.clone()
        };
        let step = pilot.run()?;
        let needed = |of_one: f64| ((of_one * self.rate_per_s / step.reached_per_s / HEADROOM).ceil() as usize).max(1);
        let receiving = step.reached_per_s / 10.0 * self.latencies.receive.mean_ms() / 1_000.0;
        let [table_writes, table_reads] = [step.table_units.write_units, step.table_units.read_units]
            .map(|units| units / pilot.measured.as_secs_f64());
        let [payload_writes, payload_reads] = [Limit::PayloadWrites, Limit::PayloadReads]
            .map(|limit| step.utilisation.get(&limit).copied().unwrap_or_default() * wide.shards as f64);
        Ok(Self {
            entities: self.entities.max((10.0 * self.rate_per_s).ceil() as u64),
            table: Sharding {
                shards: needed(table_writes / 1_000.0).max(needed(table_reads / 3_000.0)).max(4),
                ..self.table
            },
            payloads: Sharding { shards: needed(payload_writes).max(needed(payload_reads)), ..self.payloads },
            queues: needed(step.in_hand / queue::in_flight_max(self.is_fifo) as f64),
            // A worker receives ten messages at a time.
            workers: needed(step.in_hand / self.worker.in_flight_max as f64).max(needed(receiving)),
            ..self
        })
    }

    /// Simulates it.
    ///
    /// # Errors
    /// A field that makes no sense, named.
    pub fn run(&self) -> Result<Step, FleetError> {
        self.check()?;
        let clock = Arc::new(FleetClock::default());
        let cloud = Arc::new(Cloud::new(self, Arc::clone(&clock)));
        let payloads = Arc::new(Payloads::new(Arc::clone(&cloud), load::payload(self.payload_bytes)));
        let inboxes: Vec<_> = (0..self.queues).map(|number| self.inbox(number, &cloud)).collect();
        let by_name: BTreeMap<_, _> =
            inboxes.iter().map(|inbox| (inbox.name().to_owned(), Arc::clone(inbox))).collect();
        let ports = Ports {
            store: Arc::new(Table::new(Arc::clone(&cloud))),
            payloads: payloads.clone(),
            queues: Arc::new(Everywhere { inboxes: by_name, cloud: Arc::clone(&cloud) }),
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(self.seed)),
            limits: Limits::default(),
        };
        let counters = Arc::new(Counters::default());
        let workers = (0..self.workers).map(|number| self.worker(number, &ports, &inboxes, &counters));
        let mut workers: FuturesUnordered<_> = workers.collect::<Result<_, _>>()?;
        let mut load = Load::new(Arc::clone(&cloud), payloads, inboxes.clone(), self);
        let (warm_up, measured) = (self.warm_up, self.measured);
        let offering = std::pin::pin!(async {
            load.offer(warm_up).await;
            cloud.begin();
            inboxes.iter().for_each(|inbox| inbox.begin());
            let before = counters.counts();
            load.offer(measured).await;
            counters.counts() - before
        });
        let counts = clock.run(async {
            match select(offering, workers.next()).await {
                Either::Left((counts, _)) => Ok(counts),
                Either::Right((ended, _)) => Err(ended.and_then(Result::err)),
            }
        });
        match counts {
            Ok(counts) => Ok(self.step(&cloud, &inboxes, counts)),
            Err(Some(error)) => Err(error.into()),
            Err(None) => Err(FleetError("a worker of the fleet ended, and nobody had stopped it".to_owned())),
        }
    }

    fn inbox(&self, number: usize, cloud: &Arc<Cloud>) -> Arc<Inbox> {
        let suffix = if self.is_fifo { ".fifo" } else { "" };
        let workers = (0..self.workers).filter(|worker| worker % self.queues == number).count();
        let room = workers * self.worker.in_flight_max;
        Arc::new(Inbox::new(format!("fleet-{number}{suffix}"), Arc::clone(cloud), workers, room))
    }

    fn worker(
        &self,
        number: usize,
        ports: &Ports,
        inboxes: &[Arc<Inbox>],
        counters: &Arc<Counters>,
    ) -> Result<BoxFuture<'static, Result<(), cloakroom::Error>>, FleetError> {
        // Of its own, as a process has: what one worker draws does not depend on the others.
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        let ports = Ports { random: Arc::new(SeededRandom::new(seed)), ..ports.clone() };
        let endpoint = load::endpoint(ports, self.endpoint.clone(), counters.clone())?;
        let inbox = inboxes[number % inboxes.len()].name().to_owned();
        let worker = Worker::new(endpoint, inbox).settings(self.worker.clone());
        Ok(worker.run(std::future::pending()).boxed())
    }

    fn check(&self) -> Result<(), FleetError> {
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
