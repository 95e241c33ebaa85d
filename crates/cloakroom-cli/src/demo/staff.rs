//! The workers of the demonstration, as tasks or as processes, and how they are made to crash.

use std::{
    io::Write as _,
    ops::Add,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cloakroom::{Counters, Counts, Endpoint, EndpointSettings, ErrorKind, Worker, WorkerSettings};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::Instant,
};

use super::{Options, naive::naive};
use crate::{
    shop::Service,
    site::{Clients, Failure, Site},
};

/// How often a worker process tells what happened.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// When the next worker crashes, and which.
pub(crate) struct Trouble {
    random: fastrand::Rng,
    every: Duration,
    at: Option<Instant>,
}

impl Trouble {
    pub(crate) fn new(seed: u64, every: Duration) -> Self {
        let mut trouble = Self { random: fastrand::Rng::with_seed(seed), every, at: None };
        trouble.plan();
        trouble
    }

    fn plan(&mut self) {
        self.at = (!self.every.is_zero()).then(|| Instant::now() + self.every.mul_f64(2.0 * self.random.f64()));
    }

    /// Waits for the next crash.
    pub(crate) async fn next(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Any number, to choose whom it befalls; plans the next one.
    pub(crate) fn pick(&mut self) -> usize {
        self.plan();
        self.random.usize(..)
    }
}

/// What happened to messages and workers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Events {
    pub(crate) counts: Counts,
    pub(crate) crashes: u64,
}

impl Events {
    /// Messages that came to an end, duplicates too.
    pub(crate) const fn finished(&self) -> u64 {
        let Counts { processed, resumed, duplicate, parked, .. } = self.counts;
        processed + resumed + duplicate + parked
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
    /// The process, and what it told last. What it did since is told by nobody if it is killed.
    Process(Child, Told),
}

/// What a process tells, and the task that listens.
struct Told {
    counts: Arc<Mutex<Counts>>,
    listener: JoinHandle<()>,
}

impl Told {
    fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it takes to start a worker.
struct Hands {
    options: Options,
    environment: Vec<(&'static str, String)>,
    clients: Clients,
    site: Site,
    counters: Arc<Counters>,
    /// What processes told that are no more.
    told: Counts,
}

impl Staff {
    /// Starts `--workers` workers of every service.
    pub(crate) fn hire(
        options: &Options,
        environment: &[(&'static str, String)],
        clients: &Clients,
        site: &Site,
    ) -> Result<Self, Failure> {
        let hands = Hands {
            options: options.clone(),
            environment: environment.to_vec(),
            clients: clients.clone(),
            site: site.clone(),
            counters: Arc::default(),
            told: Counts::default(),
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
                AtWork::Process(process, _) => process.try_wait().is_ok_and(|status| status.is_some()),
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
            AtWork::Process(_, told) => Some(told.counts()),
        });
        let counts = told.fold(self.hands.told + self.hands.counters.counts(), Counts::add);
        Events { counts, crashes: self.crashes }
    }

    /// Ends all workers. Processes tell the last of what they did.
    pub(crate) async fn dismiss(mut self) -> Events {
        for Place { worker, .. } in self.places.drain(..) {
            match worker {
                AtWork::Task(task) => task.abort(),
                AtWork::Process(mut process, mut told) => {
                    // The end of its input ends it, and its own end ends the listening.
                    drop(process.stdin.take());
                    let _ = process.wait().await;
                    let _ = (&mut told.listener).await;
                    self.hands.told = self.hands.told + told.counts();
                }
            }
        }
        self.events()
    }
}

impl Hands {
    fn start(&self, service: Service) -> Result<AtWork, Failure> {
        if self.options.processes { self.start_process(service) } else { self.start_task(service) }
    }

    fn start_task(&self, service: Service) -> Result<AtWork, Failure> {
        let ports = self.site.aws(&self.clients)?.ports();
        let ports = if self.options.naive { naive(ports) } else { ports };
        let endpoint = service.endpoint(ports, self.options.endpoint_settings(), self.counters.clone())?;
        let settings = self.options.worker_settings();
        Ok(AtWork::Task(tokio::spawn(work_on(endpoint, service, settings))))
    }

    fn start_process(&self, service: Service) -> Result<AtWork, Failure> {
        let failed = |error| Failure::new(format!("starting a worker process failed: {error}"));
        let settings = Settings { endpoint: self.options.endpoint_settings(), worker: self.options.worker_settings() };
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["worker", "--service", service.name()]);
        command.args(["--settings", &serde_json::json!(settings).to_string()]);
        if self.options.naive {
            command.arg("--naive");
        }
        command.envs(self.environment.iter().cloned());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(failed)?;
        let counts = Arc::new(Mutex::new(Counts::default()));
        let output = child.stdout.take().ok_or_else(|| Failure::new("a worker process has no output"))?;
        let listener = tokio::spawn(listen(output, Arc::clone(&counts)));
        Ok(AtWork::Process(child, Told { counts, listener }))
    }

    fn end(&mut self, worker: AtWork) {
        match worker {
            // The task is dropped at whatever it is waiting for.
            AtWork::Task(task) => task.abort(),
            AtWork::Process(mut child, told) => {
                // SIGKILL. It fails only if the process has ended, which is what is wanted.
                let _ = child.start_kill();
                tokio::spawn(async move { child.wait().await });
                self.told = self.told + told.counts();
            }
        }
    }
}

/// Works until something fails that does not pass.
async fn work_on(endpoint: Endpoint, service: Service, settings: WorkerSettings) -> Failure {
    loop {
        let worker = Worker::new(endpoint.clone(), service.name()).settings(settings.clone());
        if let Err(error) = worker.run(std::future::pending()).await {
            tracing::warn!(%error, service = service.name(), "worker ended");
            if error.kind() == ErrorKind::MendConfiguration {
                return error.into();
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads what a worker process tells, a line at a time.
async fn listen(output: tokio::process::ChildStdout, told: Arc<Mutex<Counts>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(counts) = serde_json::from_str(&line) {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        }
    }
}

/// Options of a worker process.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WorkerOptions {
    #[arg(long, value_enum)]
    service: Service,
    #[arg(long)]
    settings: String,
    #[arg(long)]
    naive: bool,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Settings {
    endpoint: EndpointSettings,
    worker: WorkerSettings,
}

/// Runs one worker until it is killed, or until whoever started it is gone.
#[expect(clippy::disallowed_methods, reason = "a binary may read the environment")]
pub(crate) async fn work(options: WorkerOptions) -> Result<std::process::ExitCode, Failure> {
    let settings: Settings = serde_json::from_str(&options.settings)
        .map_err(|error| Failure::new(format!("`--settings` cannot be read: {error}")))?;
    let clients = Clients::new(|name| std::env::var(name).ok())?;
    let ports = Site::default().aws(&clients)?.ports();
    let ports = if options.naive { naive(ports) } else { ports };
    let counters = Arc::new(Counters::default());
    let endpoint = options.service.endpoint(ports, settings.endpoint, counters.clone())?;
    // It fails only when nobody listens any more.
    let tell = || writeln!(std::io::stdout(), "{}", serde_json::json!(counters.counts()));
    let tell_again_and_again = async {
        while tell().is_ok() {
            tokio::time::sleep(TELL_EVERY).await;
        }
    };
    let mut nothing = Vec::new();
    let mut stdin = tokio::io::stdin();
    tokio::select! {
        failure = work_on(endpoint, options.service, settings.worker) => return Err(failure),
        () = tell_again_and_again => {}
        _ = stdin.read_to_end(&mut nothing) => {}
    }
    let _ = tell();
    Ok(std::process::ExitCode::SUCCESS)
}
