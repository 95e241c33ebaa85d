//! Running a fleet.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloakroom::{
    Ports, Worker, WorkerSettings,
    memory::SeededRandom,
    observe::Counters,
    ports::{Limits, Queue as _},
};
use futures::{
    StreamExt as _,
    future::{BoxFuture, Either, FutureExt as _, select},
    stream::FuturesUnordered,
};

use crate::fleet::{
    clock::FleetClock,
    config::{Fleet, FleetError},
    limit::Limit,
    load::Load,
    load_messages,
    payloads::Payloads,
    queue::{self, Inbox},
    queues::FleetQueues,
    services::Services,
    shards::Sharding,
    step::Step,
    store::Table,
};

/// The share of each limit that a [sized](Fleet::sized) fleet should use.
const HEADROOM: f64 = 0.6;

impl Fleet {
    /// Returns a fleet with as many workers, queues, partitions and prefixes as use about 60 % of
    /// each if keys are even. This assumes that the load is known in advance, and that the shards
    /// are created for it. A small fleet is run first to measure what one message takes. There are
    /// at least ten entities for each message per second, so that few messages meet at one entity.
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
            queues: needed(step.in_flight / queue::in_flight_max(self.is_fifo) as f64),
            // A worker receives ten messages at a time.
            workers: needed(step.in_flight / self.worker.in_flight_max as f64).max(needed(receiving)),
            ..self
        })
    }

    /// Simulates the fleet.
    ///
    /// # Errors
    /// If a field is out of range. The error names the field.
    pub fn run(&self) -> Result<Step, FleetError> {
        self.check()?;
        let clock = Arc::new(FleetClock::default());
        let services = Arc::new(Services::new(self, Arc::clone(&clock)));
        let payloads = Arc::new(Payloads::new(Arc::clone(&services), load_messages::payload(self.payload_bytes)));
        let inboxes: Vec<_> = (0..self.queues).map(|number| self.inbox(number, &services)).collect();
        let by_name: BTreeMap<_, _> =
            inboxes.iter().map(|inbox| (inbox.name().to_owned(), Arc::clone(inbox))).collect();
        let ports = Ports {
            store: Arc::new(Table::new(Arc::clone(&services))),
            payloads: payloads.clone(),
            queues: Arc::new(FleetQueues { inboxes: by_name, services: Arc::clone(&services) }),
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(self.seed)),
            limits: Limits::default(),
        };
        let counters = Arc::new(Counters::default());
        let workers = (0..self.workers).map(|number| self.worker(number, &ports, &inboxes, &counters));
        let mut workers: FuturesUnordered<_> = workers.collect::<Result<_, _>>()?;
        let mut load = Load::new(Arc::clone(&services), payloads, inboxes.clone(), self);
        let (warm_up, measured) = (self.warm_up, self.measured);
        let offering = std::pin::pin!(async {
            load.offer(warm_up).await;
            services.begin();
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
            Ok(counts) => Ok(self.step(&services, &inboxes, counts)),
            Err(Some(error)) => Err(error.into()),
            Err(None) => Err(FleetError("a worker of the fleet ended without an error; please report it".to_owned())),
        }
    }

    fn inbox(&self, number: usize, services: &Arc<Services>) -> Arc<Inbox> {
        let suffix = if self.is_fifo { ".fifo" } else { "" };
        let workers = (0..self.workers).filter(|worker| worker % self.queues == number).count();
        let room = workers * self.worker.in_flight_max;
        Arc::new(Inbox::new(format!("fleet-{number}{suffix}"), Arc::clone(services), workers, room))
    }

    fn worker(
        &self,
        number: usize,
        ports: &Ports,
        inboxes: &[Arc<Inbox>],
        counters: &Arc<Counters>,
    ) -> Result<BoxFuture<'static, Result<(), cloakroom::Error>>, FleetError> {
        // Each worker has its own seed, as a process has, so its random numbers do not depend on
        // the other workers.
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        let ports = Ports { random: Arc::new(SeededRandom::new(seed)), ..ports.clone() };
        let endpoint = load_messages::endpoint(ports, self.endpoint.clone(), counters.clone())?;
        let inbox = inboxes[number % inboxes.len()].name().to_owned();
        let worker = Worker::new(endpoint, inbox).settings(self.worker.clone());
        Ok(worker.run(std::future::pending()).boxed())
    }
}
