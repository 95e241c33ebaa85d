//! `cloakroom payload`: payloads in the bucket and in the payload table.

mod digest;
mod get;
mod orphans;

use std::process::ExitCode;

use crate::site::Failure;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Verb {
    Digest(digest::Options),
    Get(get::Options),
    Orphans(orphans::Options),
}

pub(crate) async fn run(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Digest(options) => digest::run(options),
        Verb::Get(options) => get::run(options).await,
        Verb::Orphans(options) => orphans::run(options).await,
    }
}
