//! All contestants end to end on embedded AWS, with the same workload: messages per second,
//! latency, requests and audit.
//!
//! Run it with `cargo bench -p cloakroom-benches --bench endtoend`. These options may follow `--`:
//!
//! - `'{"rate_per_s": 200, "extent": {"seconds": 30}}'` sets the workload, in the JSON of
//!   `LoadSettings`.
//! - `--json` prints the report as JSON.
//! - `--powertools PYTHON` adds the real AWS Lambda Powertools. `benches/powertools/run` sets this
//!   option.
//! - `--only NAMES`, separated by commas, measures only these contestants.

mod powertools;
mod table;

use std::{error::Error, sync::Arc};

use cloakroom_bench::{
    Faults, LoadSettings, Pricing, Progress, Target,
    contestants::{self, Contestant},
    run,
};
use powertools::Powertools;

/// A service that passes messages between threads should have such an allocator. The one of the C
/// library takes a third of the CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Default)]
struct Options {
    load: LoadSettings,
    json: bool,
    python: Option<String>,
    only: Vec<String>,
    processes: usize,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self { processes: 1, ..Self::default() };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("option `{argument}` needs a value"));
            match argument.as_str() {
                // `cargo bench` adds this option.
                "--bench" => {}
                "--json" => options.json = true,
                "--powertools" => options.python = Some(value()?),
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--processes" => options.processes = value()?.parse()?,
                json if json.starts_with('{') => options.load = serde_json::from_str(json)?,
                other => return Err(format!("`{other}` is neither an option nor JSON with a workload").into()),
            }
        }
        Ok(options)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Options { load, json, python, only, processes } = Options::read(std::env::args().skip(1))?;
    let target = Target::embedded(Faults::default()).await?;
    let mut contestants = contestants::all();
    contestants.retain(|contestant| contestant.payload_bytes_max() >= load.payload_bytes);
    if let (Some(python), Some(local)) = (python, target.local()) {
        let powertools: Arc<dyn Contestant> = Arc::new(Powertools::new(python, processes, local.environment()));
        contestants.insert(0, powertools);
    }
    contestants.retain(|contestant| only.is_empty() || only.iter().any(|name| name == contestant.name()));
    let mut last = String::new();
    let progress = |progress: &Progress| {
        if last != progress.contestant {
            last.clone_from(&progress.contestant);
            eprintln!("{} ({} of {})", progress.contestant, progress.number, progress.contestants);
        }
    };
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    let report = run(&load, &contestants, &target, &Pricing::none(), progress, stop).await?;
    target.end().await;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table::Table(&report));
    }
    let balances = report.measured.iter().all(|measured| measured.audit.balances());
    if balances { Ok(()) } else { Err("the books do not balance".into()) }
}
