//! The measurement of one contestant.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use cloakroom::{
    PortError,
    ports::{Clock as _, QueueMessage},
};
use cloakroom_aws::{Aws, TokioClock};
use futures::future::try_join_all;
use tokio::task::JoinSet;

use crate::{
    audit::{self, Stored},
    contestants::Contestant,
    cpu,
    error::RunError,
    load,
    order::Order,
    pricing::Pricing,
    progress::{PROGRESS_INTERVAL, Progress},
    recorder::{Recorder, Tally},
    report::{Audit, Measured},
    site::{INCOMING, Site},
    stop::{Stop, Stopper},
    workload::LoadSettings,
};

/// After this time without an ended message, the contestant is stuck.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The time that an interrupted run waits for messages in flight.
const GRACE: Duration = Duration::from_secs(5);
/// The maximum number of attempts to offer a message.
const ATTEMPTS_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// How a measurement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every message has ended.
    Complete,
    /// The run was interrupted.
    Interrupted,
    /// Messages are left, and none of them ends any more.
    Stuck,
}

/// Runs the workload with a contestant whose table, bucket and queues exist.
pub(crate) async fn measure(
    load: &LoadSettings,
    contestant: &Arc<dyn Contestant>,
    aws: &Aws,
    pricing: &Pricing,
    mut progress: Progress,
    report_progress: &mut (impl FnMut(&Progress) + Send),
    stopped: &Stop,
) -> Result<(Measured, End), RunError> {
    let recorder = Arc::new(Recorder::new(Arc::new(TokioClock)));
    let site = Arc::new(Site::new(aws.clone(), Arc::clone(&recorder)));
    contestant.prepare(&site).await?;
    let cpu_before = cpu::used();
    let mut workers = Workers::start(load, contestant, &site);
    let end = {
        let mut offering = pin!(offer_and_wait(load, contestant, &site, &recorder, stopped));
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        loop {
            let end = tokio::select! {
                end = &mut offering => Some(end),
                error = workers.failure() => Some(Err(error)),
                _ = ticks.tick() => None,
            };
            Tally { offered: progress.offered, ended: progress.ended } = recorder.tally();
            progress.elapsed = recorder.now();
            report_progress(&progress);
            if let Some(end) = end {
                break end;
            }
        }
    };
    workers.end().await?;
    let cpu_after = cpu::used();
    let end = end?;
    let entries = recorder.entries();
    let stored = Stored::read(&site.unmetered, &**contestant, &entries).await?;
    let cpu_seconds = cpu_after.zip(cpu_before).map_or(0.0, |(after, before)| (after - before).as_secs_f64());
    let audit = audit::audit(&entries, &stored, end == End::Interrupted);
    Ok((Measured { cpu_seconds, audit, ..measured(load, &**contestant, &site, &recorder, pricing) }, end))
}

/// Returns the values of the recorder and of the counters.
fn measured(
    load: &LoadSettings,
    contestant: &dyn Contestant,
    site: &Site,
    recorder: &Recorder,
    pricing: &Pricing,
) -> Measured {
    let consumption = site.counters().consumption();
    let messages = recorder.tally().ended;
    let per_million = 1e6 / messages.max(1) as f64;
    let dollars = (pricing.dollars)(&consumption).into_iter();
    let counts = serde_json::to_value(site.counters().counts()).ok();
    let counts: BTreeMap<String, u64> =
        counts.and_then(|counts| serde_json::from_value(counts).ok()).unwrap_or_default();
    Measured {
        contestant: contestant.name().to_owned(),
        promise: contestant.promise().to_owned(),
        messages,
        seconds: recorder.last_end().as_secs_f64(),
        offered_per_s: load.rate_per_s.map(|_| recorder.offered_per_s()),
        ended_by_second: recorder.ended_by_second(),
        latency: recorder.latency(),
        dollars_per_million: dollars.map(|(service, dollars)| (service, dollars * per_million)).collect(),
        consumption,
        cpu_seconds: 0.0,
        counts,
        audit: Audit::default(),
    }
}

/// The workers of a contestant, as tasks. Dropping this aborts them.
struct Workers {
    stopper: Stopper,
    tasks: JoinSet<Result<(), RunError>>,
}

impl Workers {
    fn start(load: &LoadSettings, contestant: &Arc<dyn Contestant>, site: &Arc<Site>) -> Self {
        let (stopper, stop) = Stop::new();
        let mut tasks = JoinSet::new();
        for _ in 0..load.workers {
            let (contestant, site, load) = (Arc::clone(contestant), Arc::clone(site), load.clone());
            let stop = stop.clone();
            tasks.spawn(async move { contestant.work(&site, &load, stop).await });
        }
        Self { stopper, tasks }
    }

    /// Waits until a worker ends, which is a failure before all messages have ended.
    async fn failure(&mut self) -> RunError {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => RunError::failed(format!("a worker panicked: {error}")),
            Some(Ok(Ok(()))) | None => RunError::failed("a worker ended before all messages had ended"),
        }
    }

    /// Stops the workers, and waits until they have finished their messages in flight.
    async fn end(mut self) -> Result<(), RunError> {
        self.stopper.stop();
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| RunError::failed(format!("a worker panicked: {error}")))??;
        }
        Ok(())
    }
}

/// Offers all messages, and waits until they have ended.
async fn offer_and_wait(
    load: &LoadSettings,
    contestant: &Arc<dyn Contestant>,
    site: &Arc<Site>,
    recorder: &Recorder,
    stopped: &Stop,
) -> Result<End, RunError> {
    let send = |orders| {
        let (contestant, site) = (Arc::clone(contestant), Arc::clone(site));
        // On a task of its own, to use all processors.
        let sent = tokio::spawn(async move { send(&*contestant, &site, orders).await });
        async {
            sent.await.map_err(|error| RunError::failed(format!("the task that offers messages panicked: {error}")))?
        }
    };
    load::offer(load, recorder, stopped, send).await?;
    let grace_is_over = async {
        stopped.wait().await;
        tokio::time::sleep(GRACE).await;
    };
    let end = tokio::select! {
        end = until_ended(recorder) => end,
        () = grace_is_over => End::Interrupted,
    };
    Ok(if stopped.is_set() { End::Interrupted } else { end })
}

/// Waits until all offered messages have ended, or until no message ends any more.
async fn until_ended(recorder: &Recorder) -> End {
    let mut tally = recorder.subscribe();
    loop {
        let Tally { offered, ended } = *tally.borrow_and_update();
        if ended == offered {
            return End::Complete;
        }
        if tokio::time::timeout(STALL_TIMEOUT, tally.changed()).await.is_err() {
            return End::Stuck;
        }
    }
}

/// Puts orders into the incoming queue, with retries as any sender has them. A retry can put a
/// message into the queue twice. The contestant decides whether it counts twice.
async fn send(contestant: &dyn Contestant, site: &Site, orders: Vec<Order>) -> Result<(), RunError> {
    let queue = site.unmetered_ports().queues.open(INCOMING).await?;
    let mut messages = try_join_all(orders.into_iter().map(|order| message(contestant, site, order))).await?;
    for attempt in 1.. {
        let answers = queue.send(messages.clone()).await;
        let failed = messages.into_iter().zip(answers).filter_map(|(message, answer)| Some((message, answer.err()?)));
        let (left, errors): (Vec<QueueMessage>, Vec<PortError>) = failed.unzip();
        match errors.into_iter().next() {
            None => break,
            Some(error) if attempt == ATTEMPTS_MAX || !error.may_be_repeated() => return Err(error.into()),
            Some(_) => TokioClock.sleep(PAUSE).await,
        }
        messages = left;
    }
    Ok(())
}

async fn message(contestant: &dyn Contestant, site: &Site, order: Order) -> Result<QueueMessage, RunError> {
    let mut attempt = 1;
    loop {
        match contestant.message(site, order.clone()).await {
            Err(error) if attempt < ATTEMPTS_MAX && error.may_be_repeated() => TokioClock.sleep(PAUSE).await,
            result => return Ok(result?),
        }
        attempt += 1;
    }
}
