//! `cloakroom fleet`: the throughput of simulated fleets, and the limit that each of them reaches
//! first.

mod plot;
mod table;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use cloakroom::{EndpointSettings, observe::prices::Prices, ports::Placement};
use cloakroom_sim::fleet::{Fleet, FleetError, Ladder, PayloadPlace, Sharding, Step, sustained};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{site::Failure, terminal};

const ABOUT: &str = "Simulates fleets of workers against the limits of AWS, and reports which limit binds first";

const MORE: &str =
    "The workers and the engine are the real ones, on virtual time. Tables, buckets and queues are simulated, with \
the limits of AWS and assumed latencies. For each rate a fleet is sized by the needs of one message: workers, queues, \
partitions of the table and prefixes of the bucket. Each of them is used to about 60 % if keys are even. \
Then a single entity receives messages at rising rates until its backlog grows.

Every message is simulated. A million messages a second take some minutes and 3 GB of memory; lower rates take \
seconds.";

/// Messages that are measured at each rate. The measured time is at least 1 and at most 10 seconds.
const MESSAGES: f64 = 20_000.0;
/// The lowest and the highest rate for the hot entity.
const HOT_PER_S: (f64, f64) = (5.0, 3_000.0);
/// The values of `fold_max` for the hot entity.
const FOLDS: [usize; 4] = [1, 10, 32, 48];

/// Options of the fleet simulation.
#[derive(Clone, Debug, clap::Args)]
#[command(about = ABOUT, long_about = format!("{ABOUT}.\n\n{MORE}"))]
pub(crate) struct Options {
    /// Messages offered per second; each rate gets a fleet of its own
    #[arg(long, value_delimiter = ',', value_name = "RATES",
        default_values_t = [1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6])]
    rates: Vec<f64>,
    /// Exponents of the Zipf distribution of messages over entities; 0 is even
    #[arg(long, value_delimiter = ',', value_name = "S", default_values_t = [0.0, 1.05])]
    skew: Vec<f64>,
    /// Where outbox records are stored
    #[arg(long, value_enum, default_value_t = Records::Embedded)]
    placement: Records,
    /// Messages of one partition that are committed together at most, in the part `rates`
    #[arg(long, default_value_t = EndpointSettings::default().fold_max, value_name = "N")]
    fold_max: usize,
    /// Where payloads are kept
    #[arg(long, value_enum, default_value_t = Payloads::Dynamodb)]
    payloads: Payloads,
    /// Bytes in each payload
    #[arg(long, default_value_t = 1_000, value_name = "BYTES")]
    payload_bytes: usize,
    /// Simulate a new table and a new bucket, which are not yet partitioned for the rate
    #[arg(long)]
    cold: bool,
    /// Run only one of the two parts
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// The region whose prices are used
    #[arg(long)]
    region: Option<String>,
    /// Seed of the simulation: the same seed gives the same results
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write charts (SVG) and all figures (JSON) into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Records {
    /// In items of their own, in the partition of the state
    #[value(alias = "beside")]
    Separate,
    /// In the item of the state
    Embedded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Payloads {
    /// As S3 objects
    S3,
    /// As items of a DynamoDB table
    Dynamodb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The rates
    Rates,
    /// The hot entity
    Hot,
}

/// All figures, in the form of `fleet.json`.
#[derive(Debug, Default, Serialize)]
struct Study {
    /// The region whose prices were used.
    region: String,
    steps: Vec<Priced>,
    hot: Vec<Hot>,
}

#[derive(Debug, Serialize)]
struct Priced {
    #[serde(flatten)]
    step: Step,
    dollars_per_million: f64,
}

/// The results for one hot entity with one deployment and one `fold_max`.
#[derive(Debug, Serialize)]
struct Hot {
    deployment: &'static str,
    fold_max: usize,
    ladder: Ladder,
}

/// Runs the simulations, prints their results, and writes the files.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let prices = Prices::list(options.region.as_deref())?;
    if let Some(dir) = &options.out {
        fs::create_dir_all(dir).map_err(|error| cannot_write(dir, &error))?;
    }
    let mut study = Study { region: prices.region().to_owned(), ..Study::default() };
    if options.part != Some(Part::Hot) {
        study.steps = rates(options, &prices)?;
        terminal::print(format_args!("{}", table::steps(&study.steps)))?;
    }
    if options.part != Some(Part::Rates) {
        study.hot = hot(options)?;
        terminal::print(format_args!("{}", table::hot(&study.hot)))?;
    }
    if let Some(dir) = &options.out {
        let json = serde_json::to_string_pretty(&study).map_err(Failure::new)?;
        let files = [("fleet.json".to_owned(), json)].into_iter().chain(plot::pictures(&study)?);
        for (name, text) in files {
            let path = dir.join(name);
            fs::write(&path, text).map_err(|error| cannot_write(&path, &error))?;
            terminal::print(format_args!("wrote {}", path.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn cannot_write(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("`{}` cannot be written: {error}", path.display()))
}

impl From<FleetError> for Failure {
    fn from(error: FleetError) -> Self {
        Self::new(error)
    }
}

/// Returns the settings that all fleets have in common.
fn fleet(options: &Options) -> Fleet {
    let placement = match options.placement {
        Records::Separate => Placement::Separate,
        Records::Embedded => Placement::Embedded,
    };
    let payload_place = match options.payloads {
        Payloads::S3 => PayloadPlace::Objects,
        Payloads::Dynamodb => PayloadPlace::Items,
    };
    let endpoint = EndpointSettings { placement, fold_max: options.fold_max, ..EndpointSettings::default() };
    Fleet { endpoint, payload_place, payload_bytes: options.payload_bytes, seed: options.seed, ..Fleet::default() }
}

fn rates(options: &Options, prices: &Prices) -> Result<Vec<Priced>, Failure> {
    let bar = progress(options.rates.len() * options.skew.len());
    let mut steps = Vec::new();
    for skew in &options.skew {
        for rate_per_s in &options.rates {
            bar.set_message(format!("{rate_per_s} messages per second"));
            let measured = Duration::from_secs_f64((MESSAGES / rate_per_s).clamp(1.0, 10.0));
            let fleet = Fleet { rate_per_s: *rate_per_s, skew: *skew, measured, ..fleet(options) }.sized()?;
            let fleet = match options.cold {
                true => Fleet { table: Sharding::fixed(4), payloads: fresh(fleet.payload_place), ..fleet },
                false => fleet,
            };
            let step = fleet.run()?;
            // If no message was acknowledged, `max` avoids a division by zero.
            let dollars_per_million = prices.of(&step.consumption).per_million(step.acknowledged.max(1)).total();
            steps.push(Priced { step, dollars_per_million });
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(steps)
}

/// Returns the sharding of a new payload store.
const fn fresh(place: PayloadPlace) -> Sharding {
    match place {
        PayloadPlace::Objects => Sharding::fixed(1),
        PayloadPlace::Items => Sharding::fixed(4),
    }
}

fn hot(options: &Options) -> Result<Vec<Hot>, Failure> {
    let deployments = [
        ("standard queue, 1 worker", 1, false),
        ("standard queue, 8 workers", 8, false),
        ("FIFO queue, 8 workers", 8, true),
    ];
    let bar = progress(FOLDS.len() * deployments.len());
    let mut hot = Vec::new();
    for (deployment, workers, is_fifo) in deployments {
        for fold_max in FOLDS {
            bar.set_message(format!("{deployment}, up to {fold_max} messages per commit"));
            let common = fleet(options);
            let endpoint = EndpointSettings { fold_max, ..common.endpoint.clone() };
            let payloads = Sharding::fixed(4);
            let ladder =
                sustained(&Fleet { workers, is_fifo, endpoint, payloads, ..common }, HOT_PER_S.0, HOT_PER_S.1)?;
            hot.push(Hot { deployment, fold_max, ladder });
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(hot)
}

fn progress(steps: usize) -> ProgressBar {
    let template = "{elapsed_precise} {bar:40} {pos}/{len} {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style)
}
