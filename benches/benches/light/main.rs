//! The speed of light: how much CPU (user and system) the library takes beside the same requests to AWS, done by hand with
//! the clients of the SDK. What is measured is the client; the embedded AWS runs in a process of its own.
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

/// Whatever went wrong. Nobody reads it but who runs the benchmark.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Messages in hand at a time, with either contestant.
const IN_FLIGHT_MAX: usize = 60;

/// What both do.
#[derive(Clone, Copy, Debug)]
struct Contest {
    placement: Placement,
    messages: usize,
}

#[derive(Clone, Copy, Debug)]
enum Contestant {
    Ours,
    Raw,
}

/// One thread: what is measured does not depend on how the work is spread.
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
        let mut arena = Arena { services, runs: 0 };
        let contest = Contest { placement, messages };
        if let Some(contestant) = only {
            for _ in 0..pairs {
                let run = arena.run(contest, contestant).await?;
                println!("{placement:?}, {contestant:?}: {:.1} µs of CPU a message", run.cpu_us());
            }
            continue;
        }
        // Connections are opened, and code is read in, before anything counts.
        let warm = Contest { messages: messages.min(200), ..contest };
        arena.pair(warm, true).await?;
        println!("\n{placement:?}, payloads on S3; {messages} messages of 1 KB, each with one outgoing");
        if shared {
            println!("ours with shared requests, raw with one for each item");
        }
        println!("{:>6} {:>16} {:>16} {:>8}", "pair", "ours, µs each", "raw, µs each", "ratio");
        let mut measured = Vec::with_capacity(pairs);
        for number in 1..=pairs {
            let pair = arena.pair(contest, number % 2 == 1).await?;
            println!("{number:>6} {:>16.1} {:>16.1} {:>8.3}", pair.ours.cpu_us(), pair.raw.cpu_us(), pair.ratio());
            measured.push(pair);
        }
        print!("{}", Summary::of(&measured, shared)?);
    }
    Ok(())
}

/// Where the contestants meet.
struct Arena {
    services: Services,
    runs: usize,
}

impl Arena {
    /// One run of each, on messages of its own. Who begins changes, so that nobody profits from what the other leaves behind.
    async fn pair(&mut self, contest: Contest, ours_first: bool) -> Result<Pair, Failure> {
        if ours_first {
            let ours = self.run(contest, Contestant::Ours).await?;
            Ok(Pair { ours, raw: self.run(contest, Contestant::Raw).await? })
        } else {
            let raw = self.run(contest, Contestant::Raw).await?;
            Ok(Pair { ours: self.run(contest, Contestant::Ours).await?, raw })
        }
    }

    /// One run. It counts if it has done the work.
    async fn run(&mut self, contest: Contest, contestant: Contestant) -> Result<Run, Failure> {
        let Contest { placement, messages } = contest;
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
