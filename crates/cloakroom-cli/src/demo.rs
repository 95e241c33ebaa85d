//! `cloakroom demo`: a shop of three services on embedded AWS, with trouble, and an audit at the end.

pub(crate) mod lossy;
mod naive;
mod options;
mod process;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod staff;
pub(crate) mod trouble;

use std::{pin::pin, process::ExitCode, time::Duration};

use cloakroom_aws::{Provisioning, ProvisioningSettings};
use cloakroom_local::{Faults, LocalAws};
use cloakroom_shop::{
    Service, Site,
    books::{Books, QueueDepths},
};
use tokio::time::Instant;

pub(crate) use options::{Options, Records, Timing};
pub(crate) use process::{WorkerOptions, work};

use self::{
    progress::{Look, Progress},
    report::Report,
    staff::Staff,
};
use crate::{
    input::Input,
    interrupt::interrupted,
    site::{self, Failure},
    terminal,
};

/// How often the queues are asked whether all is done.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs the demonstration. The exit code is 1 if the books do not balance.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    options.validate()?;
    let prices = options.prices.prices()?;
    let input = options.input()?;
    let scene = Scene::set(&options).await?;
    let Scene { aws, site, queues, .. } = &scene;

    let commits_before = Books::read(site, queues).await.map_err(Failure::new)?.commits();
    let usage_before = aws.usage();
    let began = Instant::now();
    aws.set_faults(options.faults()).map_err(Failure::new)?;
    let mut staff = Staff::hire(&options, &scene)?;
    process(&options, &scene, &input, &mut staff).await?;
    let seconds = began.elapsed().as_secs_f64();
    let usage = aws.usage().since(&usage_before);
    aws.set_faults(Faults::default()).map_err(Failure::new)?;
    let events = staff.dismiss().await;

    let books = Books::read(site, queues).await.map_err(Failure::new)?;
    let verdict = books.audit(&input.orders);
    let messages = books.commits() - commits_before;
    let report = Report::new(&options, &input, &events, &usage, messages, seconds, verdict).priced(&prices);
    scene.aws.shutdown().await;
    if options.json {
        terminal::print_json(&report)?
    } else {
        terminal::print(&report)?
    }
    Ok(if report.verdict.balanced { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Embedded AWS in this process, with everything made that the shop needs.
pub(crate) struct Scene {
    pub(crate) aws: LocalAws,
    /// What other processes need to know to work there.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) site: Site,
    pub(crate) queues: QueueDepths,
}

impl Scene {
    pub(crate) async fn set(options: &Options) -> Result<Self, Failure> {
        let builder = LocalAws::builder();
        let builder = match &options.data {
            Some(folder) => builder.folder(folder),
            None => builder,
        };
        let aws = builder.start().await.map_err(Failure::new)?;
        let mut environment = aws.environment();
        if options.payload_table {
            environment.push((site::PAYLOAD_TABLE, "shop-small-payloads".to_owned()));
        }
        let variable = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        let site = site::embedded(variable)?;
        provision(&site).await?;
        let queues = QueueDepths::find(&site).await.map_err(Failure::new)?;
        Ok(Self { aws, environment, site, queues })
    }
}

async fn provision(site: &Site) -> Result<(), Failure> {
    let queues = Service::ALL.iter().map(|service| service.name().to_owned()).collect();
    let settings = ProvisioningSettings { queues, ..ProvisioningSettings::default() };
    let provisioning = Provisioning::new(&site.aws().map_err(Failure::new)?, settings).map_err(Failure::new)?;
    provisioning.apply().await.map_err(Failure::new)?;
    Ok(())
}

/// Submits the orders and makes trouble until every queue is empty.
async fn process(options: &Options, scene: &Scene, input: &Input, staff: &mut Staff) -> Result<(), Failure> {
    let mut progress = Progress::new(options, input.orders.len());
    let mut trouble = options.trouble();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let ports = scene.site.aws().map_err(Failure::new)?.ports();
    let mut submission = pin!(cloakroom_shop::submit(&ports, &input.orders));
    let mut submitted = false;
    let mut interrupt = pin!(interrupted());
    loop {
        tokio::select! {
            result = &mut submission, if !submitted => {
                result.map_err(Failure::new)?;
                submitted = true;
            }
            () = trouble.next() => staff.crash_one(trouble.pick())?,
            _ = looks.tick() => {
                staff.check()?;
                // A question that failed is asked again later.
                let is_empty = submitted && scene.queues.ahead().await.is_ok_and(|ahead| ahead == 0);
                match progress.look(staff.events().finished(), is_empty) {
                    Look::GoOn => {}
                    Look::Over | Look::Stuck => return Ok(()),
                }
            }
            () = &mut interrupt => {
                return Err(Failure::new("interrupted; with `--data` the same command goes on from here"));
            }
        }
    }
}
