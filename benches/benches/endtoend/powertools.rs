//! The real AWS Lambda Powertools for Python, in processes that this one starts.

use std::process::Stdio;

use async_trait::async_trait;
use cloakroom::{Delivery, PortError, ports::QueueMessage};
use cloakroom_bench::{
    LoadSettings, Order, RunError, Site, Stop,
    contestants::{Contestant, IdempotencyTable, Sent},
};
use futures::future::join_all;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::Mutex,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/powertools/worker.py");

/// A number of processes, each with one batch in flight. Queues and items are the same as those of
/// the contestant [`IdempotencyTable`].
#[derive(Debug)]
pub(crate) struct Powertools {
    python: String,
    processes: usize,
    environment: Vec<(&'static str, String)>,
    running: Mutex<Vec<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

#[async_trait]
impl Contestant for Powertools {
    fn name(&self) -> &'static str {
        "powertools-python"
    }

    fn promise(&self) -> &'static str {
        IdempotencyTable.promise()
    }

    fn payload_bytes_max(&self) -> usize {
        IdempotencyTable.payload_bytes_max()
    }

    async fn message(&self, site: &Site, order: Order) -> Result<QueueMessage, PortError> {
        IdempotencyTable.message(site, order).await
    }

    async fn prepare(&self, site: &Site) -> Result<(), RunError> {
        let mut processes = self.running.lock().await;
        for _ in 0..self.processes {
            processes.push(self.start(site)?);
        }
        for process in &mut *processes {
            let ready = process.output.next_line().await.map_err(|error| failed(&error))?;
            ready.ok_or_else(|| {
                RunError::Failed("a process of Powertools has ended: see its standard error".to_owned())
            })?;
        }
        Ok(())
    }

    /// The first worker takes all processes, so further workers do nothing.
    async fn work(&self, site: &Site, _: &LoadSettings, stop: Stop) -> Result<(), RunError> {
        let (mut children, outputs): (Vec<_>, Vec<_>) =
            self.running.lock().await.drain(..).map(|Process { child, output }| (child, output)).unzip();
        let reading = join_all(outputs.into_iter().map(async |mut output| {
            while let Ok(Some(line)) = output.next_line().await {
                if let Ok(number) = line.trim().parse() {
                    site.ended(number);
                }
            }
        }));
        tokio::select! {
            _ = reading, if !children.is_empty() => {
                return Err(RunError::Failed("all processes of Powertools have ended: see their standard error".to_owned()));
            }
            () = stop.wait() => {}
        }
        for child in &mut children {
            // No message is in flight any more. `kill` also waits for the process, so its CPU time
            // is counted.
            child.kill().await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn sent(&self, delivery: &Delivery) -> Option<Sent> {
        IdempotencyTable.sent(delivery)
    }
}

impl Powertools {
    pub(crate) fn new(python: String, processes: usize, environment: Vec<(&'static str, String)>) -> Self {
        Self { python, processes, environment, running: Mutex::default() }
    }

    fn start(&self, site: &Site) -> Result<Process, RunError> {
        let mut command = Command::new(&self.python);
        command
            .arg(SCRIPT)
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
            .env("BENCH_TABLE", site.table())
            .env("BENCH_QUEUE_PREFIX", site.queue_prefix())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let output = child.stdout.take().expect("it is piped");
        Ok(Process { child, output: BufReader::new(output).lines() })
    }
}

fn failed(error: &std::io::Error) -> RunError {
    RunError::Failed(format!("failed to run Python: {error}; `benches/powertools/run` installs what it needs"))
}
