//! `cloakroom demo`: a shop of three services on embedded AWS, with injected faults and a final
//! audit.

pub(crate) mod fault_timer;
pub(crate) mod lossy;
mod naive;
pub(crate) mod options;
mod process;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod setup;
mod worker_loop;
pub(crate) mod workers;

use std::{pin::pin, process::ExitCode, time::Duration};

use cloakroom_local::Faults;
use cloakroom_shop::books::Books;
use tokio::time::Instant;

pub(crate) use options::Options;
pub(crate) use process::{WorkerOptions, run_worker_process};

use crate::{
    demo::{
        progress::{Progress, Status},
        report::Report,
        setup::Setup,
        workers::Workers,
    },
    input::Input,
    interrupt::interrupted,
    site::Failure,
    terminal,
};

/// The interval at which the queue depths are read.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Runs the demonstration. The exit code is 1 if the books do not balance.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    options.validate()?;
    let prices = options.prices.prices()?;
    let input = options.input()?;
    let setup = Setup::start(&options).await?;
    let Setup { aws, site, queues, .. } = &setup;

    let commits_before = Books::read(site, queues).await.map_err(Failure::new)?.commits();
    let usage_before = aws.usage();
    let began = Instant::now();
    aws.set_faults(options.faults()).map_err(Failure::new)?;
    let mut workers = Workers::start_all(&options, &setup)?;
    process(&options, &setup, &input, &mut workers).await?;
    let seconds = began.elapsed().as_secs_f64();
    let usage = aws.usage().since(&usage_before);
    aws.set_faults(Faults::default()).map_err(Failure::new)?;
    let events = workers.stop().await;

    let books = Books::read(site, queues).await.map_err(Failure::new)?;
    let verdict = books.audit(&input.orders);
    let messages = books.commits() - commits_before;
    let report = Report::new(&options, &input, &events, &usage, messages, seconds, verdict).priced(&prices);
    setup.aws.shutdown().await;
    if options.json {
        terminal::print_json(&report)?
    } else {
        terminal::print(&report)?
    }
    Ok(if report.verdict.balanced { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Submits the orders and crashes workers until every queue is empty.
async fn process(options: &Options, setup: &Setup, input: &Input, workers: &mut Workers) -> Result<(), Failure> {
    let mut progress = Progress::new(options, input.orders.len());
    let mut crash_timer = options.crash_timer();
    let mut polls = tokio::time::interval(POLL_INTERVAL);
    let ports = setup.site.aws().map_err(Failure::new)?.ports();
    let mut submission = pin!(cloakroom_shop::submit(&ports, &input.orders));
    let mut submitted = false;
    let mut interrupt = pin!(interrupted());
    loop {
        tokio::select! {
            result = &mut submission, if !submitted => {
                result.map_err(Failure::new)?;
                submitted = true;
            }
            () = crash_timer.next() => workers.crash_one(crash_timer.pick())?,
            _ = polls.tick() => {
                workers.check()?;
                // A failed read of the queue depths is repeated at the next tick.
                let is_empty = submitted && setup.queues.ahead().await.is_ok_and(|ahead| ahead == 0);
                match progress.update(workers.events().finished(), is_empty) {
                    Status::Running => {}
                    Status::Done | Status::Stuck => return Ok(()),
                }
            }
            () = &mut interrupt => {
                return Err(Failure::new("interrupted; with `--data` the same command continues from here"));
            }
        }
    }
}
