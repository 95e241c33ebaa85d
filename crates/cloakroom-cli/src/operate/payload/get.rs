//! `cloakroom payload get`: the payload of a message.

use std::{
    io::{self, Read as _},
    process::ExitCode,
};

use bytes::Bytes;
use cloakroom::format::{Claim, Envelope};

use crate::{
    account::{Account, bounded_ports},
    site::Failure,
    terminal,
};

/// Prints a payload to standard output: unchanged, or escaped if standard output is a terminal
///
/// Exit code 1 if there is no payload: its message was processed, or the payload has expired.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    account: Account,
    /// The claim: the `dataref` of the message's envelope
    #[arg(required_unless_present = "message")]
    claim: Option<Claim>,
    /// The message's envelope, as JSON, instead of the claim; `-` reads it from standard input
    #[arg(long, value_name = "ENVELOPE", conflicts_with = "claim")]
    message: Option<String>,
}

pub(super) async fn run(Options { account, claim, message }: Options) -> Result<ExitCode, Failure> {
    let claim = match (claim, message) {
        (Some(claim), _) => claim,
        (None, message) => {
            let envelope = Envelope::decode(&text(message.unwrap_or_default())?).map_err(Failure::new)?;
            let Some(claim) = envelope.dataref else {
                return print(&Bytes::from(envelope.data.unwrap_or_default().to_string()));
            };
            claim
        }
    };
    let payloads = bounded_ports(&account.aws().await?).payloads;
    if !claim.is_well_formed() {
        return Err(Failure::new(format!("`{claim}` is not a claim; give the `dataref` of an envelope")));
    }
    match claim.store() {
        Some(store) if payloads.holds(store) => {}
        Some(store) => {
            let own: Vec<_> = payloads.stores().into_iter().map(|own| format!("`{own}`")).collect();
            let own = own.join(" and not in ");
            let text = format!(
                "`{claim}` is in `{store}`, not in {own}; give `--bucket {store}`, or `--payload-table {store}` if it is a table"
            );
            return Err(Failure::new(text));
        }
        None => {
            let text = format!(
                "`{claim}` is not a complete claim; a claim ends in a dot and the name of the bucket or of the payload table"
            );
            return Err(Failure::new(text));
        }
    }
    match payloads.read(&claim).await.map_err(Failure::new)? {
        Some(payload) => print(&payload),
        None => {
            terminal::report(format_args!(
                "there is no payload `{claim}`: its message was processed, or the payload has expired"
            ));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn text(message: String) -> Result<String, Failure> {
    if message != "-" {
        return Ok(message);
    }
    let mut text = String::new();
    let read = io::stdin().read_to_string(&mut text);
    read.map_err(|error| Failure::new(format!("reading standard input failed: {error}")))?;
    Ok(text)
}

fn print(payload: &Bytes) -> Result<ExitCode, Failure> {
    terminal::print_data(payload).map(|()| ExitCode::SUCCESS)
}
