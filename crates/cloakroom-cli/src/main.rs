//! The `cloakroom` command. Without arguments it runs the demonstration.

// What is printed goes by way of `terminal`, which escapes it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod account;
mod bench;
mod demo;
#[cfg(test)]
mod documented;
mod fleet;
mod input;
mod interrupt;
mod local;
mod model;
mod operate;
mod price;
mod sim;
mod site;
mod soak;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use site::Failure;

/// Messages go from thread to thread here, which the allocator of the C library makes slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exactly-once message processing on DynamoDB, S3 and SQS.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Report progress on standard error although that is not a terminal
    #[arg(long, global = true)]
    progress: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends orders through a shop of three services on embedded AWS, makes trouble, and audits the books (default)
    Demo(demo::Options),
    /// Runs the demonstration's workers as processes for a long time, kills them and loses their calls, and audits the books
    Soak(soak::Options),
    Bench(bench::Options),
    /// Serves embedded AWS (DynamoDB, S3, SQS) on loopback for other programs
    Local(local::Options),
    /// Visits every state that the protocol can come to, and looks whether its invariants hold
    Model(model::Options),
    Sim(sim::Options),
    Fleet(fleet::Options),
    #[command(flatten)]
    Operate(operate::Verb),
    /// Prints a script that completes commands and options in a shell
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Runs one service of the demonstration in a process of its own
    #[command(hide = true)]
    Worker(demo::WorkerOptions),
    /// Prints the orders of the sample
    #[command(hide = true)]
    Sample {
        /// How many
        #[arg(long, default_value_t = 12_000)]
        orders: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    // Such as `CLOAKROOM_LOG=cloakroom=debug`; nothing is logged otherwise.
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).with_env_var("CLOAKROOM_LOG");
    tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_ansi(false)
        .with_writer(|| terminal::Log)
        .init();

    let Cli { command, progress } = Cli::parse();
    terminal::report_progress_always(progress);
    let command = command.unwrap_or_else(|| Command::Demo(demo::Options::default()));
    let result = match command {
        // These end in their own way when they are interrupted.
        Command::Bench(_) | Command::Local(_) | Command::Worker(_) => run(command).await,
        command => interrupt::unless_interrupted(|| run(command)).await,
    };
    result.unwrap_or_else(|failure| {
        terminal::tell(format_args!("cloakroom: {failure}"));
        ExitCode::from(2)
    })
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Demo(options) => demo::run(options).await,
        Command::Soak(options) => soak::run(options).await,
        Command::Bench(options) => bench::run(options).await,
        Command::Local(options) => local::run(options).await,
        Command::Model(options) => model::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Fleet(options) => fleet::run(&options),
        Command::Operate(verb) => operate::run(verb).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cloakroom", &mut script);
            terminal::write(&script).map(|()| ExitCode::SUCCESS)
        }
        Command::Worker(options) => demo::work(options).await,
        Command::Sample { orders } => {
            // Whoever reads may have read enough.
            let _ = cloakroom_shop::sample::write(orders, std::io::stdout().lock());
            Ok(ExitCode::SUCCESS)
        }
    }
}
