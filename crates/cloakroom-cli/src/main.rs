//! The `cloakroom` command. Without arguments it runs the demonstration.

// All output goes through `terminal`, which escapes it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "operate")]
mod account;
#[cfg(feature = "bench")]
mod bench;
mod demo;
#[cfg(all(test, feature = "full"))]
mod documented;
#[cfg(feature = "model")]
mod fleet;
mod input;
mod interrupt;
mod local;
#[cfg(feature = "model")]
mod model;
#[cfg(feature = "operate")]
mod operate;
mod price;
#[cfg(feature = "model")]
mod sim;
mod site;
mod soak;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use site::Failure;

/// Messages move between threads. With the allocator of the C library that is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(not(feature = "full"))]
const FEW_COMMANDS: &str = "This build lacks the commands for operators, benchmarks and the model. \
    `cargo run --release -- <COMMAND>` builds all of them.";

/// Exactly-once message processing on DynamoDB, S3 and SQS.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
#[cfg_attr(not(feature = "full"), command(after_help = FEW_COMMANDS))]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Report progress on standard error even if it is not a terminal
    #[arg(long, global = true)]
    progress: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends orders through a shop of three services on embedded AWS, injects faults, and audits
    /// the books (default)
    Demo(demo::Options),
    /// Runs the demonstration's workers as processes for a long time, kills them, loses their
    /// calls, and audits the books
    Soak(soak::Options),
    #[cfg(feature = "bench")]
    Bench(bench::Options),
    /// Serves embedded AWS (DynamoDB, S3, SQS) to other programs on the loopback interface
    Local(local::Options),
    /// Visits every state that the protocol can reach, and checks the invariants in each state
    #[cfg(feature = "model")]
    Model(model::Options),
    #[cfg(feature = "model")]
    Sim(sim::Options),
    #[cfg(feature = "model")]
    Fleet(fleet::Options),
    #[cfg(feature = "operate")]
    #[command(flatten)]
    Operate(operate::Verb),
    /// Prints a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Runs one service of the demonstration in a process of its own
    #[command(hide = true)]
    Worker(demo::WorkerOptions),
    /// Prints the sample orders
    #[command(hide = true)]
    Sample {
        /// Number of orders
        #[arg(long, default_value_t = 12_000)]
        orders: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    // An example is `CLOAKROOM_LOG=cloakroom=debug`. Without the variable nothing is logged.
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).with_env_var("CLOAKROOM_LOG");
    tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_ansi(false)
        .with_writer(|| terminal::Log)
        .init();

    let Cli { command, progress } = Cli::parse();
    terminal::report_progress_always(progress);
    let command = command.unwrap_or_else(|| Command::Demo(demo::Options::default()));
    // These commands handle signals themselves.
    let handles_signals = match &command {
        #[cfg(feature = "bench")]
        Command::Bench(_) => true,
        Command::Local(_) | Command::Worker(_) => true,
        #[cfg(feature = "model")]
        Command::Model(_) | Command::Sim(_) | Command::Fleet(_) => false,
        #[cfg(feature = "operate")]
        Command::Operate(_) => false,
        Command::Demo(_) | Command::Soak(_) | Command::Completions { .. } | Command::Sample { .. } => false,
    };
    let result = match handles_signals {
        true => run(command).await,
        false => interrupt::unless_interrupted(|| run(command)).await,
    };
    result.unwrap_or_else(|failure| {
        terminal::report(format_args!("cloakroom: {failure}"));
        ExitCode::from(2)
    })
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Demo(options) => demo::run(options).await,
        Command::Soak(options) => soak::run(options).await,
        #[cfg(feature = "bench")]
        Command::Bench(options) => bench::run(options).await,
        Command::Local(options) => local::run(options).await,
        #[cfg(feature = "model")]
        Command::Model(options) => model::run(&options),
        #[cfg(feature = "model")]
        Command::Sim(options) => sim::run(&options),
        #[cfg(feature = "model")]
        Command::Fleet(options) => fleet::run(&options),
        #[cfg(feature = "operate")]
        Command::Operate(verb) => operate::run(verb).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cloakroom", &mut script);
            terminal::write(&script).map(|()| ExitCode::SUCCESS)
        }
        Command::Worker(options) => demo::run_worker_process(options).await,
        Command::Sample { orders } => {
            // The reader may close the pipe before the end. That is no error.
            let _ = cloakroom_shop::sample::write(orders, std::io::stdout().lock());
            Ok(ExitCode::SUCCESS)
        }
    }
}
