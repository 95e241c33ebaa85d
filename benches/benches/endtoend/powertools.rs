//! The real AWS Lambda Powertools for Python, as processes that this one starts.

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

/// As many processes as one is told, each with one batch in hand. In SQS and DynamoDB everything is as the idempotency table
/// of this project has it.
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
    told: Lines<BufReader<ChildStdout>>,
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
            let ready = process.told.next_line().await.map_err(|error| failed(&error))?;
            ready.ok_or_else(|| RunError::Failed("a process of Powertools has ended: see what it wrote".to_owned()))?;
        }
        Ok(())
    }

    /// The first worker is all processes; there is nothing left for others.
    async fn work(&self, site: &Site, _: &LoadSettings, stop: Stop) -> Result<(), RunError> {
        let (mut children, outputs): (Vec<_>, Vec<_>) =
            self.running.lock().await.drain(..).map(|Process { child, told }| (child, told)).unzip();
        let telling = join_all(outputs.into_iter().map(async |mut told| {
            while let Ok(Some(line)) = told.next_line().await {
                if let Ok(number) = line.trim().parse() {
                    site.ended(number);
                }
            }
        }));
        tokio::select! {
            _ = telling, if !children.is_empty() => {
                return Err(RunError::Failed("all processes of Powertools have ended: see what they wrote".to_owned()));
            }
            () = stop.wait() => {}
        }
        for child in &mut children {
            // Nothing is in hand any more that could be lost; waiting makes its processor time known.
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
        Ok(Process { child, told: BufReader::new(output).lines() })
    }
}

fn failed(error: &std::io::Error) -> RunError {
    RunError::Failed(format!("Python cannot be run: {error}; `benches/powertools/run` installs what it needs"))
}
