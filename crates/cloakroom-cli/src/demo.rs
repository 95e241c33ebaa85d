//! `cloakroom demo`: a shop of three services on embedded AWS, with trouble, and an audit at the end.

mod audit;
mod bookkeeping;
mod naive;
mod options;
mod process;
mod progress;
mod report;
mod staff;
mod submission;
mod trouble;

use std::{pin::pin, process::ExitCode, time::Duration};

use cloakroom_aws::{Provisioning, ProvisioningSettings};
use cloakroom_local::{Faults, LocalAws};
use tokio::time::Instant;

pub(crate) use options::Options;
pub(crate) use process::{WorkerOptions, work};

use self::{
    progress::{Look, Progress},
    report::Report,
    staff::Staff,
};
use crate::{
    input::Input,
    shop::Service,
    site::{Clients, Failure, Site},
};

/// How often the queues are asked whether all is done.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs the demonstration. The exit code is 1 if the books do not balance.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    options.validate()?;
    let input = options.input()?;
    let aws = start(&options).await?;
    let environment = aws.environment();
    let clients =
        Clients::new(|name| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone()))?;
    let site = Site::default();
    provision(&clients, &site).await?;

    let commits_before = bookkeeping::read(&clients, &site).await?.commits();
    let usage_before = aws.usage();
    let began = Instant::now();
    aws.set_faults(options.faults()).map_err(Failure::new)?;
    let mut staff = Staff::hire(&options, &environment, &clients, &site)?;
    process(&options, &clients, &site, &input, &mut staff).await?;
    let seconds = began.elapsed().as_secs_f64();
    let usage = aws.usage().since(&usage_before);
    aws.set_faults(Faults::default()).map_err(Failure::new)?;
    let events = staff.dismiss().await;

    let books = bookkeeping::read(&clients, &site).await?;
    let verdict = books.audit(&input.orders);
    let report = Report::new(&options, &input, &events, &usage, books.commits() - commits_before, seconds, verdict)?;
    aws.shutdown().await;
    if options.json {
        println!("{}", report.json());
    } else {
        println!("{report}");
    }
    Ok(if report.verdict.balanced { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn start(options: &Options) -> Result<LocalAws, Failure> {
    let builder = LocalAws::builder();
    let builder = match &options.data {
        Some(folder) => builder.folder(folder),
        None => builder,
    };
    builder.start().await.map_err(Failure::new)
}

async fn provision(clients: &Clients, site: &Site) -> Result<(), Failure> {
    let queues = Service::ALL.iter().map(|service| service.name().to_owned()).collect();
    let settings = ProvisioningSettings { queues, ..ProvisioningSettings::default() };
    let provisioning = Provisioning::new(&site.aws(clients)?, settings).map_err(Failure::new)?;
    provisioning.apply().await.map_err(Failure::new)?;
    Ok(())
}

/// Submits the orders and makes trouble until every queue is empty.
async fn process(
    options: &Options,
    clients: &Clients,
    site: &Site,
    input: &Input,
    staff: &mut Staff,
) -> Result<(), Failure> {
    let mut progress = Progress::new(options, input.orders.len());
    let mut trouble = options.trouble();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut submission = pin!(submission::submit(clients, site, &input.orders));
    let mut submitted = false;
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            result = &mut submission, if !submitted => {
                result?;
                submitted = true;
            }
            () = trouble.next() => staff.crash_one(trouble.pick())?,
            _ = looks.tick() => {
                staff.check()?;
                let is_empty = submitted && is_empty(clients).await;
                match progress.look(staff.events().finished(), is_empty) {
                    Look::GoOn => {}
                    Look::Over | Look::Stuck => return Ok(()),
                }
            }
            _ = &mut interrupt => {
                return Err(Failure::new("interrupted; with `--data` the same command goes on from here"));
            }
        }
    }
}

/// Whether no service has a message left; a question that failed is asked again later.
async fn is_empty(clients: &Clients) -> bool {
    for service in Service::ALL {
        if !bookkeeping::depth(clients, service.name()).await.is_ok_and(|depth| depth == 0) {
            return false;
        }
    }
    true
}
