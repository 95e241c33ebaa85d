//! `cloakroom payload digest`: the text that logs contain instead of a claim.

use std::{
    io::{self, BufRead as _},
    process::ExitCode,
};

use cloakroom::format::Claim;

use crate::{site::Failure, terminal};

/// Prints the digest that logs contain instead of a claim, and the claim
///
/// Use it to find the claim of a log line among object keys, such as those in the data events of
/// the bucket. It sends no request to AWS.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// A claim; `-` reads claims from standard input, one per line
    #[arg(required = true, value_name = "CLAIM")]
    claims: Vec<String>,
}

pub(super) fn run(Options { claims }: Options) -> Result<ExitCode, Failure> {
    for claim in claims {
        if claim != "-" {
            print(&claim)?;
            continue;
        }
        for line in io::stdin().lock().lines() {
            let line = line.map_err(|error| Failure::new(format!("failed to read standard input: {error}")))?;
            print(line.trim())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(claim: &str) -> Result<(), Failure> {
    let digest = Claim::from(claim).digest();
    terminal::print(format_args!("{digest} {}", terminal::in_one_line(claim)))
}
