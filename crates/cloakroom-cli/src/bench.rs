//! `cloakroom bench`: runs the same workload with each contestant, audits the result, and writes a
//! page and data.

mod cost;
mod options;
mod platform;
mod redraw;
mod result_files;

use std::{process::ExitCode, sync::Arc};

use cloakroom::observe::prices::Prices;
use cloakroom_bench::{LoadSettings, Pricing, Progress, Target, contestants::Contestant, report::Report};

pub(crate) use options::Options;

use crate::{
    bench::options::Verb, demo::progress::Bar, interrupt::interrupted, operate::verdict, site::Failure, terminal,
};

/// Runs the benchmark. The exit code is 1 if the books of a contestant do not balance.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    if let Some(Verb::Page(redraw)) = &options.verb {
        return redraw::run(redraw);
    }
    // All options are checked before anything is created or paid for.
    let load = options.load()?;
    let contestants = options.contestants()?;
    let platform = options.platform().await?;
    let prices = options.prices(&platform)?;
    result_files::prepare(&options.out)?;
    if platform.costs_money() {
        cost::confirm(&load, contestants.len(), &platform, &prices, options.yes)?;
    }
    let target = platform.target().await?;
    let report = measure(&load, &contestants, &target, &prices, options.json).await;
    target.end().await;
    let report = report?;
    result_files::write(&options.out, &report)?;
    result_files::print_summary(&options.out, &report, options.json)?;
    let is_good = !report.measured.is_empty() && report.measured.iter().all(|one| one.audit.balances());
    Ok(verdict(!is_good))
}

/// Measures each contestant, and shows the progress. The first ctrl-c ends the run early with a
/// partial report. The second one ends it at once.
async fn measure(
    load: &LoadSettings,
    contestants: &[Arc<dyn Contestant>],
    target: &Target,
    prices: &Prices,
    json: bool,
) -> Result<Report, Failure> {
    let mut bar = Bar::messages(load.messages(), json);
    let mut show = |progress: &Progress| {
        bar.name(&format!("{}/{} {}", progress.number, progress.contestants, progress.contestant));
        bar.show(progress.ended);
    };
    let stop = async {
        interrupted().await;
        terminal::report(
            "interrupted: messages in flight are finished, and the report is partial; press ctrl-c again to end at once",
        );
    };
    let pricing = pricing(prices);
    let run = cloakroom_bench::run(load, contestants, target, &pricing, &mut show, stop);
    let report = tokio::select! {
        report = run => report.map_err(Failure::new),
        () = async { interrupted().await; interrupted().await } => Err(Failure::new(
            "interrupted twice: no report is written; delete remaining tables, buckets and queues whose names begin \
             with `bench-`",
        )),
    };
    bar.clear();
    report
}

fn pricing(prices: &Prices) -> Pricing {
    let (region, prices) = (prices.region().to_owned(), prices.clone());
    let dollars = move |consumption: &_| {
        let by_service = prices.of(consumption).by_service();
        by_service.into_iter().map(|(service, dollars)| (service.name().to_owned(), dollars)).collect()
    };
    Pricing { region, dollars: Arc::new(dollars) }
}
