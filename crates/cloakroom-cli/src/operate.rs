//! The commands for operators: they provision, inspect and repair the resources of an account.
//!
//! Every command prints text, or JSON with `--json`. The exit code is 0 if the command succeeded
//! and found no problem. It is 1 if the command succeeded and reports a problem, such as a finding
//! or a message that stays. It is 2 if the command failed. With `--dry-run`, a command prints what
//! it would change, and changes nothing.

mod cost;
mod dlq;
mod doctor;
mod inspect;
mod payload;
mod pending;
mod provision;
mod scan;
mod sweep;
pub(crate) mod table;

use std::{fmt, process::ExitCode};

use serde::Serialize;

use crate::{interrupt::interrupted, site::Failure, terminal};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    Provision(provision::Options),
    Doctor(doctor::Options),
    Cost(cost::Options),
    Inspect(inspect::Options),
    Pending(pending::Options),
    Sweep(sweep::Options),
    /// Lists dead-letter queues, finishes committed messages, and puts unprocessed messages back
    #[command(subcommand)]
    Dlq(dlq::Verb),
    /// Reads payloads, and lists payloads that no record refers to
    #[command(subcommand)]
    Payload(payload::Verb),
}

/// Runs a command for operators.
pub(crate) async fn run(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Provision(options) => provision::run(options).await,
        Verb::Doctor(options) => doctor::run(options).await,
        Verb::Cost(options) => cost::run(&options),
        Verb::Inspect(options) => inspect::run(options).await,
        Verb::Pending(options) => pending::run(options).await,
        Verb::Sweep(options) => sweep::run(options).await,
        Verb::Dlq(verb) => dlq::run(verb).await,
        Verb::Payload(verb) => payload::run(verb).await,
    }
}

/// Returns the exit code of a command that succeeded: 1 if it found a problem.
pub(crate) fn verdict(has_problem: bool) -> ExitCode {
    ExitCode::from(u8::from(has_problem))
}

/// Runs the work until it is done or a signal arrives.
async fn interruptible<T, E: Into<Failure>>(work: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    tokio::select! {
        result = work => result.map_err(Into::into),
        () = interrupted() => {
            Err(Failure::new(
                "interrupted: the printed changes are done; messages in flight become visible again within five minutes",
            ))
        }
    }
}

/// The format of results.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Output {
    /// Prints a result to standard output: one line of JSON, or its `Display` text.
    pub(crate) fn print(self, result: &(impl Serialize + fmt::Display)) -> Result<(), Failure> {
        if self.json { terminal::print_json(result) } else { terminal::print(result) }
    }
}
