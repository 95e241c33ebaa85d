//! A run: every contestant in turn, on services of its own kind and the same workload.

use std::{collections::BTreeMap, fmt, pin::pin, sync::Arc, time::Duration};

use cloakroom::{
    observe::Consumption,
    ports::{Clock as _, Random as _, SystemRandom},
};
use cloakroom_aws::TokioClock;
use futures::{FutureExt as _, future::FusedFuture as _};

use crate::{
    LoadSettings, RunError, Site, Stop, Target,
    contestants::Contestant,
    measure::{End, measure},
    report::{FORMAT, Measured, Report},
};

/// How often the progress is told.
pub(crate) const TELL_EVERY: Duration = Duration::from_millis(250);
/// A rate is reached from this share of it on.
const REACHED: f64 = 0.98;

/// What dollars are computed by.
#[derive(Clone)]
pub struct Pricing {
    /// The region whose prices these are.
    pub region: String,
    /// Dollars for a consumption, by service.
    pub dollars: Arc<DollarsOf>,
}

/// Dollars for a consumption, by service.
pub type DollarsOf = dyn Fn(&Consumption) -> BTreeMap<String, f64> + Send + Sync;

impl fmt::Debug for Pricing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pricing").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Pricing {
    /// No prices: no dollars are told.
    pub fn none() -> Self {
        Self { region: String::new(), dollars: Arc::new(|_| BTreeMap::new()) }
    }
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Who is at work.
    pub contestant: String,
    /// Its place in the order of contestants, from 1.
    pub number: usize,
    /// Of how many.
    pub contestants: usize,
    /// Messages that it was offered so far.
    pub offered: u64,
    /// Messages that have ended.
    pub ended: u64,
    /// Messages that it will be offered, if that is known.
    pub messages: Option<u64>,
    /// Since its beginning.
    pub elapsed: Duration,
}

/// Offers the workload to each contestant in turn, and measures what becomes of it. `progress` is told a few times a
/// second. When `stop` is ready nothing more is offered: what is under way gets a few seconds to end, and the report tells
/// what was measured by then, and that the run was interrupted.
///
/// ```no_run
/// use cloakroom_bench::{Faults, LoadSettings, Pricing, Target, contestants, run};
///
/// # async fn example() -> Result<(), cloakroom_bench::RunError> {
/// let target = Target::embedded(Faults::default()).await?;
/// let load = LoadSettings::default();
/// let report = run(&load, &contestants::all(), &target, &Pricing::none(), |_| {}, std::future::pending()).await?;
/// assert!(report.measured.iter().all(|measured| measured.audit.balances()));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A workload that cannot be, or that a contestant cannot take; services that fail for longer than it makes sense to wait.
pub async fn run(
    load: &LoadSettings,
    contestants: &[Arc<dyn Contestant>],
    target: &Target,
    pricing: &Pricing,
    mut progress: impl FnMut(&Progress) + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<Report, RunError> {
    check(load, contestants, target)?;
    let (stopper, stopped) = Stop::new();
    let in_turn = in_turn(load, contestants, target, pricing, &mut progress, &stopped);
    let mut stop = pin!(stop.fuse());
    let mut in_turn = pin!(in_turn);
    let mut report = loop {
        tokio::select! {
            report = &mut in_turn => break report?,
            () = &mut stop, if !stop.is_terminated() => stopper.stop(),
        }
    };
    report.interrupted = stopped.is_set();
    Ok(report)
}

async fn in_turn(
    load: &LoadSettings,
    contestants: &[Arc<dyn Contestant>],
    target: &Target,
    pricing: &Pricing,
    progress: &mut (impl FnMut(&Progress) + Send),
    stopped: &Stop,
) -> Result<Report, RunError> {
    let mut report = begun(load, target, pricing);
    // On a real account two runs must not meet.
    let tag = format!("{:08x}", SystemRandom.bits() as u32);
    for (number, contestant) in (1..).zip(contestants) {
        if stopped.is_set() {
            break;
        }
        let news = Progress {
            contestant: contestant.name().to_owned(),
            number,
            contestants: contestants.len(),
            offered: 0,
            ended: 0,
            messages: load.messages(),
            elapsed: Duration::ZERO,
        };
        let aws = target.aws(&format!("bench-{tag}-{}", contestant.name()), |plain| contestant.services(plain))?;
        let measured = match Site::make(&aws).await {
            Ok(()) => measure(load, contestant, &aws, pricing, news, progress, stopped).await,
            Err(error) => Err(error),
        };
        let left = target.clean_up(aws.settings()).await;
        let (measured, end) = measured.map_err(|error| error.with(&left))?;
        report.remarks.extend(left);
        report.workload.messages = report.workload.messages.max(measured.messages);
        note(&mut report, load, measured, end);
    }
    Ok(report)
}

fn check(load: &LoadSettings, contestants: &[Arc<dyn Contestant>], target: &Target) -> Result<(), RunError> {
    load.validate()?;
    target.check(load)?;
    if contestants.is_empty() {
        return Err(RunError::BadInput("nobody is to be measured: name at least one contestant".to_owned()));
    }
    let (size, mut all) = (load.payload_bytes, contestants.iter());
    if let Some(small) = all.find(|contestant| contestant.payload_bytes_max() < size) {
        let (name, size_max) = (small.name(), small.payload_bytes_max());
        return Err(RunError::BadInput(format!(
            "`{name}` cannot take payloads of {size} bytes; its largest have {size_max}: leave it out, or offer smaller ones"
        )));
    }
    Ok(())
}

fn begun(load: &LoadSettings, target: &Target, pricing: &Pricing) -> Report {
    Report {
        format: FORMAT,
        began: TokioClock.now().to_string(),
        target: target.name().to_owned(),
        workload: load.described(load.messages().unwrap_or_default()),
        price_region: pricing.region.clone(),
        measured: Vec::new(),
        interrupted: false,
        remarks: Vec::new(),
    }
}

/// Enters what was measured, with what has to be known of it.
fn note(report: &mut Report, load: &LoadSettings, measured: Measured, end: End) {
    let name = &measured.contestant;
    if let (Some(rate), Some(offered)) = (load.rate_per_s, measured.offered_per_s)
        && offered < REACHED * rate
        && end != End::Interrupted
    {
        report.remarks.push(format!(
            "`{name}` was offered {offered:.1} messages/s and not {rate}: this machine could not offer more beside all \
             else that it does"
        ));
    }
    if end == End::Stuck {
        report.remarks.push(format!(
            "`{name}`: not all messages have ended, and for {} s none did: the rest was given up",
            crate::measure::PATIENCE.as_secs()
        ));
    }
    if measured.cpu_seconds == 0.0 {
        report.remarks.push(format!("`{name}`: this system does not tell the processor's time"));
    }
    report.measured.push(measured);
}
