//! `cloakroom payload digest`: what logs say in place of a claim.

use std::{
    io::{self, BufRead as _},
    process::ExitCode,
};

use cloakroom::format::Claim;

use crate::{site::Failure, terminal};

/// Prints the digest by which logs name a claim, and the claim
///
/// To find the claim of a line in the log among the keys of objects, such as those that the bucket's data events name. Asks nothing of AWS.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// A claim; `-` reads claims from standard input, one in a line
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
