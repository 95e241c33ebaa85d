//! Workers as processes: how one is started and watched, and what it does itself.

use std::{
    io::{self, Write as _},
    process::{ExitCode, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cloakroom::{Counters, Counts, EndpointSettings, WorkerSettings};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::oneshot,
    task::JoinHandle,
};

use super::{Options, naive::naive, staff::work_on};
use crate::{
    shop::Service,
    site::{Clients, Failure, Site},
};

/// How often a worker process tells what happened.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// A worker in a process of its own, as seen by whoever started it. Dropped, it is killed.
pub(crate) struct WorkerProcess {
    child: Child,
    /// What it told last. What it did since is told by nobody if it is killed.
    told: Arc<Mutex<Counts>>,
    listener: JoinHandle<()>,
}

impl WorkerProcess {
    pub(crate) fn start(
        service: Service,
        options: &Options,
        environment: &[(&'static str, String)],
    ) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("starting a worker process failed: {error}"));
        let settings = Settings { endpoint: options.endpoint_settings(), worker: options.worker_settings() };
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
        let told = Arc::new(Mutex::new(Counts::default()));
        let listener = tokio::spawn(listen(output, Arc::clone(&told)));
        Ok(Self { child, told, listener })
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// SIGKILL. Returns what it told before.
    pub(crate) fn kill(mut self) -> Counts {
        // It fails only if the process has ended, which is what is wanted.
        let _ = self.child.start_kill();
        let counts = self.counts();
        tokio::spawn(async move { self.child.wait().await });
        counts
    }

    /// Lets it end, and returns all that it told.
    pub(crate) async fn finish(mut self) -> Counts {
        // The end of its input ends it, and its own end ends the listening.
        drop(self.child.stdin.take());
        let _ = self.child.wait().await;
        let _ = (&mut self.listener).await;
        self.counts()
    }
}

/// Reads what a worker process tells, a line at a time.
async fn listen(output: ChildStdout, told: Arc<Mutex<Counts>>) {
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
pub(crate) async fn work(options: WorkerOptions) -> Result<ExitCode, Failure> {
    let settings: Settings = serde_json::from_str(&options.settings)
        .map_err(|error| Failure::new(format!("`--settings` cannot be read: {error}")))?;
    let clients = Clients::new(|name| std::env::var(name).ok())?;
    let ports = Site::default().aws(&clients)?.ports();
    let ports = if options.naive { naive(ports) } else { ports };
    let counters = Arc::new(Counters::default());
    let endpoint = options.service.endpoint(ports, settings.endpoint, counters.clone())?;
    // It fails only when nobody listens any more.
    let tell = || writeln!(io::stdout(), "{}", serde_json::json!(counters.counts()));
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
