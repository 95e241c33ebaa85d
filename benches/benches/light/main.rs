//! The lower bound: the CPU time (user and system) of the library, compared with the same requests
//! to AWS made directly with the SDK. Only the client is measured. The embedded AWS runs in a
//! process of its own.
//!
//! `cargo bench -p cloakroom-benches --bench light -- --pairs 10 --messages 2000`

mod cpu;
mod options;
mod ours;
mod raw;
mod services;
mod summary;
mod workload;

use std::process::ExitCode;

use cloakroom::ports::Placement;

use options::Options;
use raw::Raw;
use services::Services;
use summary::{Pair, Run, Summary};
use workload::Workload;

/// Any error. Only the person who runs the benchmark reads it, so its text is enough.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The maximum number of messages in flight, for both contestants.
const IN_FLIGHT_MAX: usize = 60;

/// What both contestants process.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    placement: Placement,
    messages: usize,
}

#[derive(Clone, Copy, Debug)]
enum Contestant {
    Ours,
    Raw,
}

/// Runs on one thread, so the result does not depend on the distribution of work over threads.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some(services::SERVE) => services::serve().await,
        _ => compare(&arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("light: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn compare(arguments: &[String]) -> Result<(), Failure> {
    let Options { pairs, messages, placements, only, shared } = Options::read(arguments)?;
    for placement in placements {
        let services = Services::start(shared).await?;
        let mut comparison = Comparison { services, runs: 0 };
        let scenario = Scenario { placement, messages };
        if let Some(contestant) = only {
            for _ in 0..pairs {
                let run = comparison.run(scenario, contestant).await?;
                println!("{placement:?}, {contestant:?}: {:.1} µs of CPU a message", run.cpu_us());
            }
            continue;
        }
        // A first pair opens connections and loads code. It is not counted.
        let warm = Scenario { messages: messages.min(200), ..scenario };
        comparison.pair(warm, true).await?;
        println!("\n{placement:?}, payloads on S3; {messages} messages of 1 KB, each with one outgoing");
        if shared {
            println!("ours with shared requests, raw with one for each item");
        }
        println!("{:>6} {:>16} {:>16} {:>8}", "pair", "ours, µs each", "raw, µs each", "ratio");
        let mut measured = Vec::with_capacity(pairs);
        for number in 1..=pairs {
            let pair = comparison.pair(scenario, number % 2 == 1).await?;
            println!("{number:>6} {:>16.1} {:>16.1} {:>8.3}", pair.ours.cpu_us(), pair.raw.cpu_us(), pair.ratio());
            measured.push(pair);
        }
        print!("{}", Summary::of(&measured, shared)?);
    }
    Ok(())
}

/// The services on which the contestants run.
struct Comparison {
    services: Services,
    runs: usize,
}

impl Comparison {
    /// Runs each contestant once, on messages of its own. The caller alternates which is first, so
    /// that neither profits from the effects of the other one's run.
    async fn pair(&mut self, scenario: Scenario, ours_first: bool) -> Result<Pair, Failure> {
        if ours_first {
            let ours = self.run(scenario, Contestant::Ours).await?;
            Ok(Pair { ours, raw: self.run(scenario, Contestant::Raw).await? })
        } else {
            let raw = self.run(scenario, Contestant::Raw).await?;
            Ok(Pair { ours: self.run(scenario, Contestant::Ours).await?, raw })
        }
    }

    /// Runs a contestant once. Returns an error if it did not process every message.
    async fn run(&mut self, scenario: Scenario, contestant: Contestant) -> Result<Run, Failure> {
        let Scenario { placement, messages } = scenario;
        self.runs += 1;
        let workload = Workload { run: self.runs, messages };
        workload.supply(&self.services, placement).await?;
        let (usage, began) = (self.services.usage()?, cpu::used()?);
        match contestant {
            Contestant::Ours => ours::work_on(self.services.aws.ports(), placement, messages).await?,
            Contestant::Raw => Raw::new(&self.services, placement).work_on(messages).await?,
        }
        let cpu = cpu::used()?.saturating_sub(began);
        let run = Run { cpu, messages, usage: self.services.usage()?.since(&usage) };
        workload.check(&self.services).await?;
        run.check()?;
        Ok(run)
    }
}
