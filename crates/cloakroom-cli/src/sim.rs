//! `cloakroom sim`: simulations with random faults, one for each seed.

mod shop;

use std::{ops::Range, process::ExitCode, str::FromStr, time::Duration};

use cloakroom_sim::simulation::{Ledger, Run, Scenario, Simulation, Tally};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::{sim::shop::Shop, site::Failure, terminal};

/// The number of failing seeds that are shrunk. Further ones are reported without a shrunk
/// timeline.
const SHRUNK_MAX: u64 = 3;

const ABOUT: &str = "Simulates services under random faults, and checks the history of their stores";

const MORE: &str = "The engine, the endpoints and the workers are the real ones. Stores, queues, network and time are \
simulated, in one thread. The seed determines everything: which messages are submitted, when workers crash or pause, \
which requests are rejected, lost, late or slow, and which messages are delivered twice or late. Then the faults end, \
and all messages must be finished. A judge checks from the history of the stores alone whether each message was \
processed exactly once.

A seed that breaks a law is reported with the command that replays it, and with a timeline that is shrunk to the \
events that the failure needs. The exit code is then 1. The same seed gives the same result on every machine.";

/// Options of the simulation.
#[derive(Clone, Debug, clap::Args)]
#[command(about = ABOUT, long_about = format!("{ABOUT}.\n\n{MORE}"))]
pub(crate) struct Options {
    /// The seeds: from the first number to the second one, without the second one
    #[arg(long, default_value = "0..1000", value_name = "A..B")]
    seeds: Seeds,
    /// The scenario to simulate; by default each seed runs in each scenario
    #[arg(long, value_enum)]
    scenario: Option<Name>,
    /// Stop after this number of minutes
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// Print every call of every seed
    #[arg(long)]
    trace: bool,
}

/// The scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Accounts that transfer to each other, and subscribers that record the transfers
    Ledger,
    /// The shop of the demonstration
    Shop,
}

impl Name {
    const ALL: &[Self] = &[Self::Ledger, Self::Shop];

    const fn scenario(self) -> &'static dyn Scenario {
        match self {
            Self::Ledger => &Ledger,
            Self::Shop => &Shop,
        }
    }
}

#[derive(Clone, Debug)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
        let range = range.filter(|range| !range.is_empty());
        range.map(Self).ok_or_else(|| "give two numbers, the first one smaller, such as 0..1000".to_owned())
    }
}

/// Runs the simulations. The exit code is 1 if a law was broken.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let names = options.scenario.as_ref().map_or(Name::ALL, std::slice::from_ref);
    if options.minutes == Some(0) {
        return Err(Failure::new("`--minutes` is 0; it must be 1 or more"));
    }
    let until = options.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let seeds = options.seeds.0.clone();
    let bar = progress(seeds.end - seeds.start);
    let mut tallies: Vec<Tally> = names.iter().map(|_| Tally::default()).collect();
    let mut failed = 0;
    for seed in seeds {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        for (name, tally) in names.iter().zip(&mut tallies) {
            let simulation = Simulation::new(name.scenario(), seed);
            let simulation = if options.trace { simulation.traced() } else { simulation };
            let run = simulation.run();
            tally.add(&run.tally);
            bar.suspend(|| print_run(&simulation, seed, &run, &mut failed))?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    for (name, tally) in names.iter().zip(&tallies) {
        terminal::print(format_args!("{}\n{tally}\n", name.scenario().name()))?;
    }
    let is_sound = tallies.iter().all(|tally| tally.violations == 0);
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn progress(seeds: u64) -> ProgressBar {
    let template = "{elapsed_precise} {bar:40} {pos}/{len} seeds {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(seeds).with_style(style)
}

/// Prints the trace, if there is one, and the laws that were broken.
fn print_run(simulation: &Simulation<'_>, seed: u64, run: &Run, failed: &mut u64) -> Result<(), Failure> {
    for line in &run.trace {
        terminal::print(format_args!("{line}"))?;
    }
    if run.violations.is_empty() {
        return Ok(());
    }
    *failed += 1;
    let name = simulation.scenario().name();
    terminal::print(format_args!("seed {seed} of `{name}` breaks a law:"))?;
    for violation in &run.violations {
        terminal::print(format_args!("  {violation}"))?;
    }
    terminal::print(format_args!("  to replay: cloakroom sim --seeds {seed}..{} --scenario {name} --trace", seed + 1))?;
    if *failed <= SHRUNK_MAX
        && let Some(shrunk) = simulation.shrink()
    {
        terminal::print(format_args!("shrunk to the events that the failure needs:\n{shrunk}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_option_is_a_range_of_two_numbers() {
        assert_eq!("3..5".parse::<Seeds>().map(|seeds| seeds.0), Ok(3..5));
        for wrong in ["", "3", "3..", "5..3", "3..3", "a..b", "-1..3"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sim_exits_successfully_if_no_law_is_broken() {
        let options = Options { seeds: Seeds(0..5), scenario: Some(Name::Shop), minutes: Some(1), trace: false };
        assert!(run(&options).is_ok_and(|code| code == ExitCode::SUCCESS));
    }
}
