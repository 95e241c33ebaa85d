//! A run: every contestant in turn, with the same workload and resources of its own.

use std::{pin::pin, sync::Arc, time::Duration};

use cloakroom::ports::{Clock as _, Random as _, SystemRandom};
use cloakroom_aws::TokioClock;
use futures::{FutureExt as _, future::FusedFuture as _};

use crate::{
    contestants::Contestant,
    error::RunError,
    measure::{End, STALL_TIMEOUT, measure},
    pricing::Pricing,
    progress::Progress,
    report::{FORMAT, Measured, Report},
    site::Site,
    stop::Stop,
    target::Target,
    workload::LoadSettings,
};

/// The share of the intended rate from which it counts as reached.
const REACHED: f64 = 0.98;

/// Runs the workload with each contestant in turn, and returns the measurements. Calls `progress` a
/// few times a second. When `stop` resolves, no more messages are offered, and messages in flight
/// get a few seconds to end. The report then has the measurements up to that time, and is marked as
/// interrupted.
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
/// The workload is invalid, a contestant cannot process it, or the services fail even after retries.
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
    report_progress: &mut (impl FnMut(&Progress) + Send),
    stopped: &Stop,
) -> Result<Report, RunError> {
    let mut report = begun(load, target, pricing);
    // Two runs on one account must not share resources.
    let tag = format!("{:08x}", SystemRandom.bits() as u32);
    for (number, contestant) in (1..).zip(contestants) {
        if stopped.is_set() {
            break;
        }
        let progress = Progress {
            contestant: contestant.name().to_owned(),
            number,
            contestants: contestants.len(),
            offered: 0,
            ended: 0,
            messages: load.messages(),
            elapsed: Duration::ZERO,
        };
        let aws = target.aws(&format!("bench-{tag}-{}", contestant.name()), |plain| contestant.services(plain))?;
        let measured = match Site::create(&aws).await {
            Ok(()) => measure(load, contestant, &aws, pricing, progress, report_progress, stopped).await,
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
        return Err(RunError::BadInput("no contestant is selected; name at least one".to_owned()));
    }
    let (size, mut all) = (load.payload_bytes, contestants.iter());
    if let Some(small) = all.find(|contestant| contestant.payload_bytes_max() < size) {
        let (name, size_max) = (small.name(), small.payload_bytes_max());
        return Err(RunError::BadInput(format!(
            "`{name}` cannot take payloads of {size} bytes, only up to {size_max}; leave it out, or use smaller payloads"
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

/// Adds the results of a contestant to the report, with remarks.
fn note(report: &mut Report, load: &LoadSettings, measured: Measured, end: End) {
    let name = &measured.contestant;
    if let (Some(rate), Some(offered)) = (load.rate_per_s, measured.offered_per_s)
        && offered < REACHED * rate
        && end != End::Interrupted
    {
        report.remarks.push(format!(
            "`{name}` was offered {offered:.1} messages/s and not {rate}: this machine could not offer more in addition to \
             its other work"
        ));
    }
    if end == End::Stuck {
        report.remarks.push(format!(
            "`{name}`: the measurement was stopped before all messages had ended, because none ended within {} s",
            STALL_TIMEOUT.as_secs()
        ));
    }
    if measured.cpu_seconds == 0.0 {
        report.remarks.push(format!("`{name}`: this system does not report the processor time"));
    }
    report.measured.push(measured);
}
