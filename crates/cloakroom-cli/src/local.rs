//! `cloakroom local`: embedded AWS for other programs.

use std::{path::PathBuf, process::ExitCode};

use cloakroom_local::LocalAws;

use crate::{interrupt::Interrupts, site::Failure, terminal};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Keep all data in this folder, and continue from the data in it
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
    /// Allow repeated purges of a queue, and its creation after a deletion, without the 60 seconds
    /// that AWS demands
    #[arg(long)]
    no_queue_cooldowns: bool,
}

/// Serves until SIGINT or SIGTERM, with exit code 0. A second signal ends it at once. Prints the
/// variables that the AWS SDKs need, as `export` commands for a shell.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    // Before everything else, so that an early signal is not lost.
    let mut interrupts = Interrupts::listen()?;
    let mut builder = LocalAws::builder()
        .dynamodb_port(options.dynamodb_port)
        .s3_port(options.s3_port)
        .sqs_port(options.sqs_port)
        .queue_cooldowns(!options.no_queue_cooldowns);
    if let Some(folder) = options.data {
        builder = builder.folder(folder);
    }
    let aws = tokio::select! {
        started = builder.start() => started.map_err(Failure::new)?,
        () = interrupts.next() => return Ok(ExitCode::SUCCESS),
    };
    for (name, value) in aws.environment() {
        terminal::print(format_args!("export {name}={value}"))?;
    }
    terminal::report("embedded AWS is running; end it with ctrl-c");
    interrupts.next().await;
    tokio::select! {
        () = aws.shutdown() => {}
        () = interrupts.next() => {}
    }
    Ok(ExitCode::SUCCESS)
}
