//! `cloakroom bench`: the same workload for everybody, measured and audited, as a page and as data.

mod cost;
mod options;
mod place;
mod redraw;
mod written;

use std::{process::ExitCode, sync::Arc};

use cloakroom::observe::prices::Prices;
use cloakroom_bench::{LoadSettings, Pricing, Progress, Target, contestants::Contestant, report::Report};

pub(crate) use options::Options;
use options::Verb;

use crate::{demo::progress::Bar, interrupt::interrupted, operate::verdict, site::Failure, terminal};

/// Runs the benchmark. The exit code is 1 if the books of anybody do not balance.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    if let Some(Verb::Page(redraw)) = &options.verb {
        return redraw::run(redraw);
    }
    // Whatever is wrong with the request is told before anything is made, asked or paid for.
    let load = options.load()?;
    let contestants = options.contestants()?;
    let place = options.place().await?;
    let prices = options.prices(&place)?;
    written::prepare(&options.out)?;
    if place.costs_money() {
        cost::agree(&load, contestants.len(), &place, &prices, options.yes)?;
    }
    let target = place.target().await?;
    let report = measure(&load, &contestants, &target, &prices, options.json).await;
    target.end().await;
    let report = report?;
    written::write(&options.out, &report)?;
    written::tell(&options.out, &report, options.json)?;
    let is_good = !report.measured.is_empty() && report.measured.iter().all(|one| one.audit.balances());
    Ok(verdict(!is_good))
}

/// Measures everybody, and shows how far it has come. The first ctrl-c ends it early, the second one at once.
async fn measure(
    load: &LoadSettings,
    contestants: &[Arc<dyn Contestant>],
    target: &Target,
    prices: &Prices,
    json: bool,
) -> Result<Report, Failure> {
    let mut bar = Bar::messages(load.messages(), json);
    let mut show = |news: &Progress| {
        bar.name(&format!("{}/{} {}", news.number, news.contestants, news.contestant));
        bar.show(news.ended);
    };
    let stop = async {
        interrupted().await;
        terminal::tell(
            "interrupted: what is under way may end, and the report will be partial; ctrl-c again leaves at once",
        );
    };
    let pricing = pricing(prices);
    let run = cloakroom_bench::run(load, contestants, target, &pricing, &mut show, stop);
    let report = tokio::select! {
        report = run => report.map_err(Failure::new),
        () = async { interrupted().await; interrupted().await } => Err(Failure::new(
            "interrupted twice: there is no report; tables, buckets and queues that begin with `bench-` may be left, delete them",
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
