//! Options of the benchmark, and their validation.

use std::{path::PathBuf, str::FromStr, sync::Arc};

use cloakroom::observe::prices::Prices;
use cloakroom_bench::{
    Extent, Faults, LoadSettings,
    contestants::{self, Contestant},
};

use crate::{
    bench::{platform::Platform, redraw},
    price::PriceOptions,
    site::Failure,
};

/// Measures the cost of exactly-once processing in messages per second, latency and dollars, and
/// audits the books
///
/// The contestants run one after the other, with the same workload on the same services. Each has a
/// table, a bucket and queues of its own. The results are written as a page, report.html, and as
/// data, report.json. Exit code 0: the books balance; 1: they do not; 2: the command failed.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
    /// Messages offered per second, independent of the messages before (an open loop); by default a
    /// message is offered when an earlier one has ended (a closed loop)
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Time for which messages are offered to each contestant, such as 30s or 5m
    #[arg(long, value_parser = humantime::parse_duration, conflicts_with = "messages", value_name = "TIME")]
    duration: Option<std::time::Duration>,
    /// Messages for each contestant
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    messages: u64,
    /// Number of entities
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    entities: u32,
    /// Exponent of the Zipf distribution of messages over entities; 0 is even, 1 and more gives hot
    /// entities
    #[arg(long, default_value_t = 0.0, value_name = "S", allow_negative_numbers = true)]
    skew: f64,
    /// Payload size of each message, such as 100, 1KB or 10MB; a KB is 1,024 bytes, as for AWS
    #[arg(long, default_value = "1000")]
    size: Size,
    /// Messages that a worker has in flight at most
    #[arg(long, default_value_t = 64, value_name = "N")]
    in_flight: usize,
    /// Number of workers, all in this process
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    /// Contestants to measure, by name, separated by commas; `all` selects every contestant
    #[arg(long, default_value = "cloakroom", value_delimiter = ',', value_name = "NAME")]
    strategy: Vec<String>,
    /// Also measure the baselines: common alternatives to Cloakroom
    #[arg(long)]
    compare: bool,
    /// Share of messages that embedded AWS delivers twice
    #[arg(long, default_value_t = 0.0, value_name = "RATE", conflicts_with_all = ["endpoint_url", "account"])]
    duplicates: f64,
    /// The folder for report.html and report.json
    #[arg(long, default_value = "bench-report", value_name = "DIR")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    prices: PriceOptions,
    /// Seed for the choice of entities: the same seed draws the same entities
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also print the report as JSON, and the progress as lines of JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Use services at this address instead of embedded AWS, such as those of a container, with the
    /// credentials `test`
    #[arg(long, value_name = "URL", conflicts_with = "account")]
    endpoint_url: Option<String>,
    /// Use an AWS account instead of embedded AWS, selected by the AWS SDK's own variables and
    /// files. This costs money: the command prints an estimate, and asks for confirmation.
    /// `--region` also selects the region of the run
    #[arg(long)]
    account: bool,
    /// The profile of the AWS configuration
    #[arg(long, requires = "account")]
    profile: Option<String>,
    /// Do not ask for confirmation before the run costs money
    #[arg(long, requires = "account")]
    pub(super) yes: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Verb {
    Page(redraw::Options),
}

impl Options {
    /// Returns the workload, after a check of its ranges.
    pub(super) fn load(&self) -> Result<LoadSettings, Failure> {
        let load = LoadSettings {
            rate_per_s: self.rate,
            extent: match self.duration {
                Some(duration) => Extent::Seconds(duration.as_secs_f64()),
                None => Extent::Messages(self.messages),
            },
            entities: self.entities,
            skew: self.skew,
            payload_bytes: self.size.0,
            in_flight_max: self.in_flight,
            workers: self.workers,
            seed: self.seed,
        };
        load.validate().map_err(Failure::new)?;
        if !(0.0..=0.5).contains(&self.duplicates) {
            return Err(Failure::new(format!("`--duplicates` is {}; it must be from 0 to 0.5", self.duplicates)));
        }
        Ok(load)
    }

    /// Returns the contestants to measure, each once, the baselines first.
    pub(super) fn contestants(&self) -> Result<Vec<Arc<dyn Contestant>>, Failure> {
        let mut chosen = if self.compare { contestants::baselines() } else { Vec::new() };
        for name in &self.strategy {
            match name.as_str() {
                "all" => chosen.extend(contestants::all()),
                name => chosen.push(contestants::named(name).map_err(Failure::new)?),
            }
        }
        let mut seen = Vec::new();
        chosen.retain(|contestant| {
            let is_new = !seen.contains(&contestant.name());
            seen.push(contestant.name());
            is_new
        });
        Ok(chosen)
    }

    pub(super) async fn platform(&self) -> Result<Platform, Failure> {
        match &self.endpoint_url {
            Some(url) => Platform::container(url),
            None if self.account => Platform::account(self.profile.as_deref(), self.prices.region.as_deref()).await,
            None => Ok(Platform::Embedded(Faults {
                duplicate_deliveries: self.duplicates,
                seed: self.seed,
                ..Faults::default()
            })),
        }
    }

    /// Returns the prices of `--region`, or of the account's region if there is no `--region`.
    pub(super) fn prices(&self, platform: &Platform) -> Result<Prices, Failure> {
        let region = self.prices.region.clone().or_else(|| platform.region());
        PriceOptions { region, ..self.prices.clone() }.prices()
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size(usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let unit = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => Some(1),
            "k" | "kb" | "kib" => Some(1024),
            "m" | "mb" | "mib" => Some(1024 * 1024),
            _ => None,
        };
        let bytes = unit.and_then(|unit: usize| unit.checked_mul(digits.parse().ok()?));
        bytes.map(Self).ok_or_else(|| "give a whole number of bytes, KB or MB, such as 100, 1KB or 10MB".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        Cli::parse_from([&["bench"], arguments].concat()).options
    }

    #[test]
    fn size_option_is_parsed_to_bytes() {
        let sizes = ["100", "100B", "1KB", "1 kb", "10MB"].map(|text| text.parse::<Size>().map(|size| size.0));
        assert_eq!(sizes, [100, 100, 1_024, 1_024, 10_485_760].map(Ok));
        for wrong in ["", "KB", "1.5KB", "-1", "1GB", "99999999999999999999MB", "1KBKB", "ä"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_contestant_is_selected_once_and_baselines_come_first() {
        let names = |arguments: &[&str]| -> Vec<_> {
            options(arguments).contestants().unwrap().iter().map(|contestant| contestant.name()).collect()
        };
        assert_eq!(names(&[]), ["cloakroom"]);
        let compared = names(&["--compare", "--strategy", "cloakroom,at-least-once"]);
        assert_eq!(compared.iter().filter(|name| **name == "at-least-once").count(), 1);
        assert_eq!((compared.len(), compared.last()), (contestants::baselines().len() + 1, Some(&"cloakroom")));
        assert_eq!(names(&["--strategy", "all", "--compare"]).len(), contestants::all().len());
        assert!(options(&["--strategy", "unknown"]).contestants().unwrap_err().to_string().contains("`unknown`"));
    }

    #[test]
    fn duration_replaces_the_number_of_messages() {
        assert_eq!(options(&[]).load().unwrap().extent, Extent::Messages(10_000));
        let load = options(&["--duration", "2s", "--rate", "50"]).load().unwrap();
        assert_eq!((load.extent, load.messages()), (Extent::Seconds(2.0), Some(100)));
    }
}
