//! `cloakroom local`: embedded AWS for other programs.

use std::{path::PathBuf, process::ExitCode};

use cloakroom_local::LocalAws;

use crate::{site::Failure, terminal};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Keep everything in this folder, and go on from what is there
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port of DynamoDB; 0 lets the system choose
    #[arg(long, default_value_t = 4501, value_name = "PORT")]
    dynamodb_port: u16,
    /// Port of S3
    #[arg(long, default_value_t = 4502, value_name = "PORT")]
    s3_port: u16,
    /// Port of SQS
    #[arg(long, default_value_t = 4503, value_name = "PORT")]
    sqs_port: u16,
}

/// Serves until it is interrupted. Prints the variables that the AWS SDKs need, ready for a shell.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let mut builder =
        LocalAws::builder().dynamodb_port(options.dynamodb_port).s3_port(options.s3_port).sqs_port(options.sqs_port);
    if let Some(folder) = options.data {
        builder = builder.folder(folder);
    }
    let aws = builder.start().await.map_err(Failure::new)?;
    for (name, value) in aws.environment() {
        terminal::print(format_args!("export {name}={value}"))?;
    }
    terminal::tell("embedded AWS is running; end it with ctrl-c");
    tokio::signal::ctrl_c().await.map_err(|error| Failure::new(format!("waiting for ctrl-c failed: {error}")))?;
    aws.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
