//! `cloakroom local`: embedded AWS for other programs.

use std::{path::PathBuf, process::ExitCode};

use cloakroom_local::LocalAws;

use crate::{interrupt::Interrupts, site::Failure, terminal};

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
    /// Let queues be purged again, and be created again after their deletion, without waiting 60 seconds as in AWS
    #[arg(long)]
    no_queue_cooldowns: bool,
}

/// Serves until SIGINT or SIGTERM, which is how it is meant to end: the exit code is 0 then. A second signal ends it at
/// once. Prints the variables that the AWS SDKs need, ready for a shell.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    // First, so that a signal that comes early is not lost.
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
    terminal::tell("embedded AWS is running; end it with ctrl-c");
    interrupts.next().await;
    tokio::select! {
        () = aws.shutdown() => {}
        () = interrupts.next() => {}
    }
    Ok(ExitCode::SUCCESS)
}
