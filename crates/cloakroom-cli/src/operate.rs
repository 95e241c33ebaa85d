//! What an operator does with an account: make, look, mend.
//!
//! Every verb prints for people, or with `--json` for programs. Exit codes: 0, it is done and nothing is amiss; 1, it is done, and
//! something is amiss: a finding, a message that is left; 2, it could not be done. A verb that changes something changes nothing with
//! `--dry-run`, and says what it would do.

mod cost;
mod dlq;
mod doctor;
mod inspect;
mod payload;
mod pending;
mod provision;
mod reading;
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
    /// Looks into dead-letter queues, finishes what was committed, and puts back what was not
    #[command(subcommand)]
    Dlq(dlq::Verb),
    /// Reads payloads, and finds those that nobody refers to
    #[command(subcommand)]
    Payload(payload::Verb),
}

/// Carries a verb out.
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

/// The exit code of a verb that is done: is something amiss?
pub(crate) fn verdict(amiss: bool) -> ExitCode {
    ExitCode::from(u8::from(amiss))
}

/// Works until it is done, or somebody interrupts it.
async fn interruptible<T, E: Into<Failure>>(work: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    tokio::select! {
        result = work => result.map_err(Into::into),
        () = interrupted() => {
            Err(Failure::new("interrupted: what is printed is done; messages that were in hand come back within five minutes"))
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Output {
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Output {
    /// Prints a result to standard output: one line of JSON, or what it displays as.
    pub(crate) fn print(self, result: &(impl Serialize + fmt::Display)) -> Result<(), Failure> {
        if self.json { terminal::print_json(result) } else { terminal::print(result) }
    }
}
