//! Everybody end to end on embedded AWS, with the same workload: messages a second, latency, requests and audit.
//!
//! `cargo bench -p cloakroom-benches --bench endtoend`, perhaps with `-- '{"rate_per_s": 200, "extent": {"seconds": 30}}'`:
//! settings of the workload in JSON, as `LoadSettings` has them. With `--json` the report is printed as data. With
//! `--powertools PYTHON` the real AWS Lambda Powertools take part, too; `benches/powertools/run` sees to that. With
//! `--only NAMES`, separated by commas, the others do not.

mod powertools;
mod table;

use std::{error::Error, sync::Arc};

use cloakroom_bench::{
    Faults, LoadSettings, Pricing, Progress, Target,
    contestants::{self, Contestant},
    run,
};
use powertools::Powertools;

/// Services that pass messages from thread to thread should have such an allocator: that of the C library takes a third of their time.
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
            let mut value = || arguments.next().ok_or(format!("`{argument}` wants a value"));
            match argument.as_str() {
                // What cargo adds.
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
    let mut everybody = contestants::all();
    everybody.retain(|contestant| contestant.payload_bytes_max() >= load.payload_bytes);
    if let (Some(python), Some(local)) = (python, target.local()) {
        let powertools: Arc<dyn Contestant> = Arc::new(Powertools::new(python, processes, local.environment()));
        everybody.insert(0, powertools);
    }
    everybody.retain(|contestant| only.is_empty() || only.iter().any(|name| name == contestant.name()));
    let mut told = String::new();
    let progress = |progress: &Progress| {
        if told != progress.contestant {
            told.clone_from(&progress.contestant);
            eprintln!("{} ({} of {})", progress.contestant, progress.number, progress.contestants);
        }
    };
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    let report = run(&load, &everybody, &target, &Pricing::none(), progress, stop).await?;
    target.end().await;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table::Table(&report));
    }
    let balances = report.measured.iter().all(|measured| measured.audit.balances());
    if balances { Ok(()) } else { Err("the books do not balance".into()) }
}
