//! Workers as processes: how one is started and watched, and what it does itself.

use std::{
    io::{self, Write as _},
    process::{ExitCode, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cloakroom::{
    EndpointSettings, WorkerSettings,
    observe::{Counters, Counts},
};
use cloakroom_shop::Service;
use cloakroom_sim::wire::by_way_of;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    Options,
    lossy::{Losses, Lossy, LossySettings},
    naive::naive,
    staff::work_on,
};
use crate::site::{self, Failure};

/// How often a worker process tells what happened.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// How long a worker process may take to end when it is told to.
const END_WITHIN: Duration = Duration::from_secs(5);
/// How late calls are that its wire delays.
const LATE_MS_MAX: u64 = 2_000;

/// A worker in a process of its own, as seen by whoever started it. Dropped, it is killed.
pub(crate) struct WorkerProcess {
    child: Child,
    /// What it told last. What it did since is told by nobody if it is killed.
    told: Arc<Mutex<Told>>,
    listener: JoinHandle<()>,
}

/// What a worker process tells: what happened to messages, and to calls.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Told {
    pub(crate) counts: Counts,
    pub(crate) losses: Losses,
}

impl Told {
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self { counts: self.counts + other.counts, losses: self.losses.and(&other.losses) }
    }
}

impl WorkerProcess {
    /// Starts the process of this number.
    pub(crate) fn start(
        service: Service,
        options: &Options,
        number: u64,
        environment: &[(&'static str, String)],
    ) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("starting a worker process failed: {error}"));
        let settings = Settings {
            endpoint: options.endpoint_settings(),
            worker: options.worker_settings(),
            lossy: LossySettings {
                rate: options.lossy,
                late_ms_max: LATE_MS_MAX,
                seed: options.seed.wrapping_add(number),
            },
        };
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["worker", "--service", service.name()]);
        command.args(["--settings", &serde_json::json!(settings).to_string()]);
        if options.naive {
            command.arg("--naive");
        }
        command.envs(environment.iter().cloned());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(failed)?;
        let output = child.stdout.take().ok_or_else(|| Failure::new("a worker process has no output"))?;
        let told = Arc::new(Mutex::new(Told::default()));
        let listener = tokio::spawn(listen(output, Arc::clone(&told)));
        Ok(Self { child, told, listener })
    }

    pub(crate) fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// SIGKILL. Returns what it told before.
    pub(crate) fn kill(mut self) -> Told {
        // It fails only if the process has ended, which is what is wanted.
        let _ = self.child.start_kill();
        let told = self.told();
        tokio::spawn(async move { self.child.wait().await });
        told
    }

    /// Lets it end, and returns all that it told. One that does not end by itself is killed.
    pub(crate) async fn finish(mut self) -> Told {
        // The end of its input ends it, and its own end ends the listening.
        drop(self.child.stdin.take());
        if tokio::time::timeout(END_WITHIN, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        let _ = (&mut self.listener).await;
        self.told()
    }
}

/// Reads what a worker process tells, a line at a time.
async fn listen(output: ChildStdout, told: Arc<Mutex<Told>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(news) = serde_json::from_str(&line) {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = news;
        }
    }
}

/// Options of a worker process.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WorkerOptions {
    #[arg(long)]
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
    lossy: LossySettings,
}

/// Runs one worker until it is killed, or until whoever started it is gone.
#[expect(clippy::disallowed_methods, reason = "a binary may read the environment")]
pub(crate) async fn work(options: WorkerOptions) -> Result<ExitCode, Failure> {
    let settings: Settings = serde_json::from_str(&options.settings)
        .map_err(|error| Failure::new(format!("`--settings` cannot be read: {error}")))?;
    let site = site::embedded(|name| std::env::var(name).ok())?;
    let ports = site.aws().map_err(Failure::new)?.ports();
    let ports = if options.naive { naive(ports) } else { ports };
    let wire = Lossy::new(&settings.lossy);
    let ports = by_way_of(&wire, &ports);
    let counters = Arc::new(Counters::default());
    let endpoint = options.service.endpoint(ports, settings.endpoint, counters.clone())?;
    // It fails only when nobody listens any more.
    let told = || Told { counts: counters.counts(), losses: wire.losses() };
    let tell = || writeln!(io::stdout(), "{}", serde_json::json!(told()));
    let tell_again_and_again = async {
        while tell().is_ok() {
            tokio::time::sleep(TELL_EVERY).await;
        }
    };
    tokio::select! {
        failure = work_on(endpoint, options.service, settings.worker) => return Err(failure),
        () = tell_again_and_again => {}
        _ = end_of_input() => {}
    }
    let _ = tell();
    Ok(ExitCode::SUCCESS)
}

/// Ready when whoever started this process is gone. On a thread of its own, since the runtime would wait for
/// a read of its own even when all else has ended.
fn end_of_input() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = ended.send(());
    });
    end
}
