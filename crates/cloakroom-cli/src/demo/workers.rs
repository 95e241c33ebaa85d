//! The workers of the demonstration, as tasks or as processes, and their crashes.

use std::sync::Arc;

use cloakroom::observe::{Counters, Counts};
use cloakroom_shop::{Service, Site};
use tokio::task::JoinHandle;

use crate::{
    demo::{
        lossy::Losses,
        naive::naive,
        options::Options,
        process::{ProcessReport, WorkerProcess},
        setup::Setup,
        worker_loop::run_worker,
    },
    site::Failure,
};

/// The counts of message outcomes, lost calls and crashes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    pub(crate) counts: Counts,
    pub(crate) losses: Losses,
    pub(crate) crashes: u64,
}

impl Events {
    /// Returns the number of finished messages, including duplicates and parked messages.
    pub(crate) const fn finished(&self) -> u64 {
        let Counts { processed, resumed, duplicate, parked, .. } = self.counts;
        processed + resumed + duplicate + parked
    }

    /// Returns the sum of both.
    pub(crate) fn and(self, next: Self) -> Self {
        let losses = self.losses.and(&next.losses);
        Self { counts: self.counts + next.counts, losses, crashes: self.crashes + next.crashes }
    }
}

/// All workers. A worker that is crashed is replaced at once.
pub(crate) struct Workers {
    slots: Vec<WorkerSlot>,
    starter: WorkerStarter,
    crashes: u64,
}

struct WorkerSlot {
    service: Service,
    worker: RunningWorker,
}

enum RunningWorker {
    Task(JoinHandle<Failure>),
    Process(WorkerProcess),
}

/// Starts and stops single workers.
struct WorkerStarter {
    options: Options,
    environment: Vec<(&'static str, String)>,
    site: Site,
    counters: Arc<Counters>,
    /// The sum of the last reports of the processes that have ended.
    ended_reports: ProcessReport,
    /// The number of processes that were started.
    started: u64,
}

impl Workers {
    /// Starts `--workers` workers of every service.
    pub(crate) fn start_all(options: &Options, setup: &Setup) -> Result<Self, Failure> {
        let mut starter = WorkerStarter {
            options: options.clone(),
            environment: setup.environment.clone(),
            site: setup.site.clone(),
            counters: Arc::default(),
            ended_reports: ProcessReport::default(),
            started: 0,
        };
        let services = Service::ALL.iter().flat_map(|service| vec![*service; options.workers]);
        let slots = services.map(|service| Ok(WorkerSlot { service, worker: starter.start(service)? }));
        Ok(Self { slots: slots.collect::<Result<_, Failure>>()?, starter, crashes: 0 })
    }

    /// Crashes one worker at its current await point, or its process at any point, and starts
    /// another one.
    pub(crate) fn crash_one(&mut self, pick: usize) -> Result<(), Failure> {
        let number = pick % self.slots.len();
        let slot = &mut self.slots[number];
        let next = self.starter.start(slot.service)?;
        let crashed = std::mem::replace(&mut slot.worker, next);
        self.starter.stop(crashed);
        self.crashes += 1;
        Ok(())
    }

    /// Fails if a worker has ended by itself, which it does only after a permanent error.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        for WorkerSlot { service, worker } in &mut self.slots {
            let has_ended = match worker {
                RunningWorker::Task(task) => task.is_finished(),
                RunningWorker::Process(process) => process.has_ended(),
            };
            if has_ended {
                let name = service.name();
                return Err(Failure::new(format!(
                    "a worker of `{name}` ended; run the command again with `CLOAKROOM_LOG=warn` to log the error"
                )));
            }
        }
        Ok(())
    }

    /// Returns the counts so far.
    pub(crate) fn events(&self) -> Events {
        let reports = self.slots.iter().filter_map(|slot| match &slot.worker {
            RunningWorker::Task(_) => None,
            RunningWorker::Process(process) => Some(process.last_report()),
        });
        let ProcessReport { counts, losses } =
            reports.fold(self.starter.ended_reports.clone(), |sum, report| sum.and(&report));
        Events { counts: counts + self.starter.counters.counts(), losses, crashes: self.crashes }
    }

    /// Stops all workers, and returns the counts. Processes send a last report.
    pub(crate) async fn stop(mut self) -> Events {
        for WorkerSlot { worker, .. } in self.slots.drain(..) {
            match worker {
                RunningWorker::Task(task) => task.abort(),
                RunningWorker::Process(process) => {
                    self.starter.ended_reports = self.starter.ended_reports.and(&process.finish().await)
                }
            }
        }
        self.events()
    }
}

impl WorkerStarter {
    fn start(&mut self, service: Service) -> Result<RunningWorker, Failure> {
        if self.options.processes {
            self.started += 1;
            let process = WorkerProcess::start(service, &self.options, self.started, &self.environment);
            return process.map(RunningWorker::Process);
        }
        let ports = self.site.aws().map_err(Failure::new)?.ports();
        let ports = if self.options.naive { naive(ports) } else { ports };
        let endpoint = service.endpoint(ports, self.options.endpoint_settings(), self.counters.clone())?;
        let settings = self.options.worker_settings();
        Ok(RunningWorker::Task(tokio::spawn(run_worker(endpoint, service, settings))))
    }

    fn stop(&mut self, worker: RunningWorker) {
        match worker {
            // The task is dropped at its current await point.
            RunningWorker::Task(task) => task.abort(),
            RunningWorker::Process(process) => self.ended_reports = self.ended_reports.and(&process.kill()),
        }
    }
}
