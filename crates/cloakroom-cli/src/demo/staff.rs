//! The workers of the demonstration, as tasks or as processes, and how they are made to crash.

use std::{sync::Arc, time::Duration};

use cloakroom::{
    Endpoint, ErrorKind, Worker, WorkerSettings,
    observe::{Counters, Counts},
};
use cloakroom_shop::{Service, Site};
use tokio::task::JoinHandle;

use super::{
    Options, Scene,
    lossy::Losses,
    naive::naive,
    process::{Told, WorkerProcess},
};
use crate::site::Failure;

/// What happened to messages, calls and workers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    pub(crate) counts: Counts,
    pub(crate) losses: Losses,
    pub(crate) crashes: u64,
}

impl Events {
    /// Messages that came to an end, duplicates too.
    pub(crate) const fn finished(&self) -> u64 {
        let Counts { processed, resumed, duplicate, parked, .. } = self.counts;
        processed + resumed + duplicate + parked
    }

    /// All of one staff and of the next.
    pub(crate) fn and(self, next: Self) -> Self {
        let losses = self.losses.and(&next.losses);
        Self { counts: self.counts + next.counts, losses, crashes: self.crashes + next.crashes }
    }
}

/// All workers. A place is filled again at once when its worker was made to crash.
pub(crate) struct Staff {
    places: Vec<Place>,
    hands: Hands,
    crashes: u64,
}

struct Place {
    service: Service,
    worker: AtWork,
}

enum AtWork {
    Task(JoinHandle<Failure>),
    Process(WorkerProcess),
}

/// What it takes to start a worker.
struct Hands {
    options: Options,
    environment: Vec<(&'static str, String)>,
    site: Site,
    counters: Arc<Counters>,
    /// What processes told that are no more.
    told: Told,
    /// How many processes were started.
    started: u64,
}

impl Staff {
    /// Starts `--workers` workers of every service.
    pub(crate) fn hire(options: &Options, scene: &Scene) -> Result<Self, Failure> {
        let mut hands = Hands {
            options: options.clone(),
            environment: scene.environment.clone(),
            site: scene.site.clone(),
            counters: Arc::default(),
            told: Told::default(),
            started: 0,
        };
        let services = Service::ALL.iter().flat_map(|service| vec![*service; options.workers]);
        let places = services.map(|service| Ok(Place { service, worker: hands.start(service)? }));
        Ok(Self { places: places.collect::<Result<_, Failure>>()?, hands, crashes: 0 })
    }

    /// Ends one worker without warning, wherever it is, and starts another in its place.
    pub(crate) fn crash_one(&mut self, pick: usize) -> Result<(), Failure> {
        let number = pick % self.places.len();
        let place = &mut self.places[number];
        let next = self.hands.start(place.service)?;
        let crashed = std::mem::replace(&mut place.worker, next);
        self.hands.end(crashed);
        self.crashes += 1;
        Ok(())
    }

    /// Fails if a worker ended by itself: it does so only for what does not pass.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        for Place { service, worker } in &mut self.places {
            let has_ended = match worker {
                AtWork::Task(task) => task.is_finished(),
                AtWork::Process(process) => process.has_ended(),
            };
            if has_ended {
                let name = service.name();
                return Err(Failure::new(format!("a worker of `{name}` ended; `CLOAKROOM_LOG=warn` tells why")));
            }
        }
        Ok(())
    }

    /// What happened so far.
    pub(crate) fn events(&self) -> Events {
        let told = self.places.iter().filter_map(|place| match &place.worker {
            AtWork::Task(_) => None,
            AtWork::Process(process) => Some(process.told()),
        });
        let Told { counts, losses } = told.fold(self.hands.told.clone(), |sum, told| sum.and(&told));
        Events { counts: counts + self.hands.counters.counts(), losses, crashes: self.crashes }
    }

    /// Ends all workers. Processes tell the last of what they did.
    pub(crate) async fn dismiss(mut self) -> Events {
        for Place { worker, .. } in self.places.drain(..) {
            match worker {
                AtWork::Task(task) => task.abort(),
                AtWork::Process(process) => self.hands.told = self.hands.told.and(&process.finish().await),
            }
        }
        self.events()
    }
}

impl Hands {
    fn start(&mut self, service: Service) -> Result<AtWork, Failure> {
        if self.options.processes {
            self.started += 1;
            let process = WorkerProcess::start(service, &self.options, self.started, &self.environment);
            return process.map(AtWork::Process);
        }
        let ports = self.site.aws().map_err(Failure::new)?.ports();
        let ports = if self.options.naive { naive(ports) } else { ports };
        let endpoint = service.endpoint(ports, self.options.endpoint_settings(), self.counters.clone())?;
        let settings = self.options.worker_settings();
        Ok(AtWork::Task(tokio::spawn(work_on(endpoint, service, settings))))
    }

    fn end(&mut self, worker: AtWork) {
        match worker {
            // The task is dropped at whatever it is waiting for.
            AtWork::Task(task) => task.abort(),
            AtWork::Process(process) => self.told = self.told.and(&process.kill()),
        }
    }
}

/// Works until something fails that does not pass.
pub(super) async fn work_on(endpoint: Endpoint, service: Service, settings: WorkerSettings) -> Failure {
    loop {
        let worker = Worker::new(endpoint.clone(), service.name()).settings(settings.clone());
        if let Err(error) = worker.run(std::future::pending()).await {
            tracing::warn!(%error, service = service.name(), "worker ended");
            if error.kind() == ErrorKind::FixConfiguration {
                return error.into();
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
