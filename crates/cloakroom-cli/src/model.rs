//! `cloakroom model`: every state that the protocol can come to.

use std::process::ExitCode;

use cloakroom_sim::model::{Found, LARGE, Model, SMALL, Scenario, WrongOrder};
use tokio::time::Instant;

use crate::{site::Failure, terminal};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this scenario; without it all, but for the large ones
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// The large scenarios, which take minutes and gigabytes
    #[arg(long, conflicts_with = "scenario")]
    large: bool,
    /// Threads that search
    #[arg(long, default_value_t = 2, value_name = "N")]
    threads: usize,
    /// Breaks the protocol in this place, and shows how that goes wrong; `list` lists them
    #[arg(long, value_name = "NAME", conflicts_with = "large")]
    wrong_order: Option<String>,
}

/// Explores. The exit code is 1 if an invariant does not hold, or if a wrong order does no harm.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    match options.wrong_order.as_deref() {
        Some("list") => {
            for order in WrongOrder::ALL {
                terminal::print(format_args!("{order:?}: {}", order.tells().trim()))?;
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
            // A search that is not fast finds the shortest way.
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
            terminal::print(format_args!("    NOT as it should be: {objection}"))?;
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
        let told = scenario.states;
        objections.push(format!("there were {told} states: the protocol has changed, or the model"));
    }
    objections.extend(found.unreached.iter().map(|name| format!("it never came to \"{name}\"")));
    objections
}

/// Shows how a wrong order goes wrong, in the first scenario in which it does.
fn break_protocol(scenarios: &[Scenario], name: &str) -> Result<ExitCode, Failure> {
    let order = WrongOrder::ALL.iter().find(|order| format!("{order:?}").eq_ignore_ascii_case(name));
    let order = order.ok_or_else(|| {
        Failure::new(format!("there is no wrong order `{name}`; `cloakroom model --wrong-order list` lists them"))
    })?;
    terminal::print(format_args!("{}\n", order.tells().trim()))?;
    for scenario in scenarios {
        let Found { violation, states, .. } = Model::new(*scenario).broken(*order).check();
        match violation {
            Some(timeline) => {
                terminal::print(format_args!("In scenario {}, after {states} states:\n{timeline}", scenario.name))?;
                return Ok(ExitCode::SUCCESS);
            }
            None => terminal::print(format_args!("In scenario {} it does no harm: {states} states.", scenario.name))?,
        }
    }
    Ok(ExitCode::from(1))
}
