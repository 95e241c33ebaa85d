//! `cloakroom model`: checks every state that the protocol can reach.

use std::process::ExitCode;

use cloakroom_sim::model::{Found, LARGE, Model, SMALL, Scenario, WrongOrder};
use tokio::time::Instant;

use crate::{site::Failure, terminal};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Check only this scenario; by default all scenarios except the large ones
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Check the large scenarios, which take minutes and gigabytes of memory
    #[arg(long, conflicts_with = "scenario")]
    large: bool,
    /// Threads for the search
    #[arg(long, default_value_t = 2, value_name = "N")]
    threads: usize,
    /// Break the protocol with this wrong order of steps, and show how it fails; `list` lists the
    /// wrong orders
    #[arg(long, value_name = "NAME", conflicts_with = "large")]
    wrong_order: Option<String>,
}

/// Runs the model check. The exit code is 1 if an invariant does not hold, or if a wrong order
/// breaks no invariant.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    match options.wrong_order.as_deref() {
        Some("list") => {
            for order in WrongOrder::ALL {
                terminal::print(format_args!("{order:?}: {}", order.description().trim()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(name) => break_protocol(&scenarios(options)?, name),
        None => explore(&scenarios(options)?, options.threads),
    }
}

fn scenarios(options: &Options) -> Result<Vec<Scenario>, Failure> {
    let Some(name) = &options.scenario else { return Ok(if options.large { LARGE } else { SMALL }.to_vec()) };
    let all = || SMALL.iter().chain(LARGE);
    let found = all().find(|scenario| scenario.name == name);
    let names = || all().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
    let found = found.ok_or_else(|| Failure::new(format!("there is no scenario `{name}`; there are {}", names())))?;
    Ok(vec![*found])
}

fn explore(scenarios: &[Scenario], threads: usize) -> Result<ExitCode, Failure> {
    let (mut states, mut is_good) = (0, true);
    for scenario in scenarios {
        let began = Instant::now();
        let model = Model::new(*scenario);
        let is_large = LARGE.iter().any(|large| large.name == scenario.name);
        let mut found = model.check_fast(threads);
        if found.violation.is_some() && !is_large {
            // The slower search finds the shortest path to the violation.
            found = model.check();
        }
        states += found.states;
        terminal::print(format_args!(
            "{:<30} {:>11} states  {:>7.1} s",
            scenario.name,
            found.states,
            began.elapsed().as_secs_f64()
        ))?;
        terminal::print(format_args!("    {}", scenario.shows))?;
        for objection in objections(scenario, &found) {
            is_good = false;
            terminal::print(format_args!("    FAILED: {objection}"))?;
        }
    }
    terminal::print(format_args!(
        "{states} states{}",
        if is_good { ", and every invariant holds in each" } else { "" }
    ))?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn objections(scenario: &Scenario, found: &Found) -> Vec<String> {
    let mut objections: Vec<String> = found.violation.iter().map(|timeline| format!("\n{timeline}")).collect();
    if objections.is_empty() && found.states != scenario.states {
        let expected = scenario.states;
        objections.push(format!("expected {expected} states: the protocol or the model has changed"));
    }
    objections.extend(found.unreached.iter().map(|name| format!("no state was reached with \"{name}\"")));
    objections
}

/// Shows how a wrong order of steps fails, in the first scenario in which it breaks an invariant.
fn break_protocol(scenarios: &[Scenario], name: &str) -> Result<ExitCode, Failure> {
    let order = WrongOrder::ALL.iter().find(|order| format!("{order:?}").eq_ignore_ascii_case(name));
    let order = order.ok_or_else(|| {
        Failure::new(format!("there is no wrong order `{name}`; `cloakroom model --wrong-order list` lists them"))
    })?;
    terminal::print(format_args!("{}\n", order.description().trim()))?;
    for scenario in scenarios {
        let Found { violation, states, .. } = Model::new(*scenario).broken(*order).check();
        match violation {
            Some(timeline) => {
                terminal::print(format_args!("In scenario {}, after {states} states:\n{timeline}", scenario.name))?;
                return Ok(ExitCode::SUCCESS);
            }
            None => {
                terminal::print(format_args!("In scenario {} it breaks no invariant: {states} states.", scenario.name))?
            }
        }
    }
    Ok(ExitCode::from(1))
}
