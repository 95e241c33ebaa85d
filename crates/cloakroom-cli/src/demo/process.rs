//! Workers as processes: starting one, reading its reports, and what runs inside it.

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
use cloakroom_sim::wire::through_wire;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::oneshot,
    task::JoinHandle,
};

use crate::{
    demo::{
        lossy::{Losses, Lossy, LossySettings},
        naive::naive,
        options::Options,
        worker_loop::run_worker,
    },
    site::{self, Failure},
};

/// The interval at which a worker process reports its counts.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// The time that a worker process has to end after its standard input was closed.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest delay of a late call, in milliseconds.
const LATE_MS_MAX: u64 = 2_000;

/// A worker in a process of its own, as the process that started it sees it. Dropping it kills the
/// process.
pub(crate) struct WorkerProcess {
    child: Child,
    /// The last report. If the process is killed, its counts since that report are lost.
    last_report: Arc<Mutex<ProcessReport>>,
    listener: JoinHandle<()>,
}

/// A report of a worker process: the counts of messages and of lost calls since it started.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct ProcessReport {
    pub(crate) counts: Counts,
    pub(crate) losses: Losses,
}

impl ProcessReport {
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self { counts: self.counts + other.counts, losses: self.losses.and(&other.losses) }
    }
}

impl WorkerProcess {
    /// Starts a worker process. `number` distinguishes the seeds of the processes.
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
        let last_report = Arc::new(Mutex::new(ProcessReport::default()));
        let listener = tokio::spawn(read_reports(output, Arc::clone(&last_report)));
        Ok(Self { child, last_report, listener })
    }

    pub(crate) fn last_report(&self) -> ProcessReport {
        self.last_report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Kills the process with SIGKILL. Returns its last report.
    pub(crate) fn kill(mut self) -> ProcessReport {
        // This fails only if the process has already ended, which is no error here.
        let _ = self.child.start_kill();
        let last_report = self.last_report();
        tokio::spawn(async move { self.child.wait().await });
        last_report
    }

    /// Lets the process end, and returns its last report. Kills the process if it does not end
    /// within [`END_TIMEOUT`].
    pub(crate) async fn finish(mut self) -> ProcessReport {
        // The process ends at the end of its input. When it has ended, the listener ends.
        drop(self.child.stdin.take());
        if tokio::time::timeout(END_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        let _ = (&mut self.listener).await;
        self.last_report()
    }
}

/// Reads the reports of a worker process: one line of JSON each.
async fn read_reports(output: ChildStdout, last_report: Arc<Mutex<ProcessReport>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(report) = serde_json::from_str(&line) {
            *last_report.lock().unwrap_or_else(PoisonError::into_inner) = report;
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

/// Runs one worker until it is killed, or until the process that started it has ended.
#[expect(clippy::disallowed_methods, reason = "a binary may read the environment")]
pub(crate) async fn run_worker_process(options: WorkerOptions) -> Result<ExitCode, Failure> {
    let settings: Settings = serde_json::from_str(&options.settings)
        .map_err(|error| Failure::new(format!("`--settings` cannot be read: {error}")))?;
    let site = site::embedded(|name| std::env::var(name).ok())?;
    let ports = site.aws().map_err(Failure::new)?.ports();
    let ports = if options.naive { naive(ports) } else { ports };
    let wire = Lossy::new(&settings.lossy);
    let ports = through_wire(&wire, &ports);
    let counters = Arc::new(Counters::default());
    let endpoint = options.service.endpoint(ports, settings.endpoint, counters.clone())?;
    let report = || ProcessReport { counts: counters.counts(), losses: wire.losses() };
    // Writing fails only when the reader of standard output is gone.
    let print_report = || writeln!(io::stdout(), "{}", serde_json::json!(report()));
    let report_repeatedly = async {
        while print_report().is_ok() {
            tokio::time::sleep(REPORT_INTERVAL).await;
        }
    };
    tokio::select! {
        failure = run_worker(endpoint, options.service, settings.worker) => return Err(failure),
        () = report_repeatedly => {}
        _ = end_of_input() => {}
    }
    let _ = print_report();
    Ok(ExitCode::SUCCESS)
}

/// Resolves when the process that started this one has ended. Reads on a thread of its own, because
/// the runtime would not shut down before its own blocking read returns.
fn end_of_input() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = ended.send(());
    });
    end
}
