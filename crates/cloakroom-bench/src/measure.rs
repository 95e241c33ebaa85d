//! One contestant, measured.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use cloakroom::{
    PortError,
    ports::{Clock as _, QueueMessage},
};
use cloakroom_aws::{Aws, TokioClock};
use futures::future::try_join_all;
use tokio::task::JoinSet;

use crate::{
    LoadSettings, Order, Pricing, Progress, RunError, Site, Stop,
    audit::{self, Stored},
    book::{Book, Tally},
    contestants::Contestant,
    cpu, load,
    report::Measured,
    run::TELL_EVERY,
    site::INCOMING,
};

/// When for so long no message has ended, none will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What an interrupted run waits for messages that are under way.
const GRACE: Duration = Duration::from_secs(5);
/// How often a message is offered to a service that fails.
const TRIES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// How it came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every message has ended.
    Complete,
    /// It was told to stop.
    Interrupted,
    /// Messages are left, and none of them ends.
    Stuck,
}

/// Has the workload done by a contestant whose table, bucket and queues are there.
pub(crate) async fn measure(
    load: &LoadSettings,
    contestant: &Arc<dyn Contestant>,
    aws: &Aws,
    pricing: &Pricing,
    mut news: Progress,
    progress: &mut (impl FnMut(&Progress) + Send),
    stopped: &Stop,
) -> Result<(Measured, End), RunError> {
    let book = Arc::new(Book::new(Arc::new(TokioClock)));
    let site = Arc::new(Site::new(aws.clone(), Arc::clone(&book)));
    contestant.prepare(&site).await?;
    let cpu_before = cpu::used();
    let mut workers = Workers::start(load, contestant, &site);
    let end = {
        let mut offering = pin!(see_through(load, contestant, &site, &book, stopped));
        let mut telling = tokio::time::interval(TELL_EVERY);
        loop {
            let end = tokio::select! {
                end = &mut offering => Some(end),
                error = workers.failure() => Some(Err(error)),
                _ = telling.tick() => None,
            };
            Tally { offered: news.offered, ended: news.ended } = book.tally();
            news.elapsed = book.now();
            progress(&news);
            if let Some(end) = end {
                break end;
            }
        }
    };
    workers.end().await?;
    let cpu_after = cpu::used();
    let end = end?;
    let entries = book.entries();
    let stored = Stored::read(&site.quiet, &**contestant, &entries).await?;
    let cpu_seconds = cpu_after.zip(cpu_before).map_or(0.0, |(after, before)| (after - before).as_secs_f64());
    let audit = audit::audit(&entries, &stored, end == End::Interrupted);
    Ok((Measured { cpu_seconds, audit, ..measured(load, &**contestant, &site, &book, pricing) }, end))
}

/// What book and counters tell.
fn measured(load: &LoadSettings, contestant: &dyn Contestant, site: &Site, book: &Book, pricing: &Pricing) -> Measured {
    let consumption = site.counters().consumption();
    let messages = book.tally().ended;
    let per_million = 1e6 / messages.max(1) as f64;
    let dollars = (pricing.dollars)(&consumption).into_iter();
    let counts = serde_json::to_value(site.counters().counts()).ok();
    let counts: BTreeMap<String, u64> =
        counts.and_then(|counts| serde_json::from_value(counts).ok()).unwrap_or_default();
    Measured {
        contestant: contestant.name().to_owned(),
        promise: contestant.promise().to_owned(),
        messages,
        seconds: book.last_end().as_secs_f64(),
        offered_per_s: load.rate_per_s.map(|_| book.offered_per_s()),
        ended_by_second: book.ended_by_second(),
        latency: book.latency(),
        dollars_per_million: dollars.map(|(service, dollars)| (service, dollars * per_million)).collect(),
        consumption,
        cpu_seconds: 0.0,
        counts,
        audit: crate::report::Audit::default(),
    }
}

/// The workers of a contestant, as tasks that end with this.
struct Workers {
    stopper: crate::stop::Stopper,
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

    /// Waits for a worker that ends, which none should.
    async fn failure(&mut self) -> RunError {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => RunError::failed(format!("a worker broke: {error}")),
            Some(Ok(Ok(()))) | None => RunError::failed("a worker ended although there was work left"),
        }
    }

    /// Has them finish what they have in hand.
    async fn end(mut self) -> Result<(), RunError> {
        self.stopper.stop();
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| RunError::failed(format!("a worker broke: {error}")))??;
        }
        Ok(())
    }
}

/// Offers all messages, and waits until they have ended.
async fn see_through(
    load: &LoadSettings,
    contestant: &Arc<dyn Contestant>,
    site: &Arc<Site>,
    book: &Book,
    stopped: &Stop,
) -> Result<End, RunError> {
    let send = |orders| {
        let (contestant, site) = (Arc::clone(contestant), Arc::clone(site));
        // A task of its own, so that all processors can be used.
        let sent = tokio::spawn(async move { send(&*contestant, &site, orders).await });
        async { sent.await.map_err(|error| RunError::failed(format!("offering broke: {error}")))? }
    };
    load::offer(load, book, stopped, send).await?;
    let grace_is_over = async {
        stopped.wait().await;
        tokio::time::sleep(GRACE).await;
    };
    let end = tokio::select! {
        end = until_ended(book) => end,
        () = grace_is_over => End::Interrupted,
    };
    Ok(if stopped.is_set() { End::Interrupted } else { end })
}

/// Waits until all that was offered has ended, or until nothing ends any more.
async fn until_ended(book: &Book) -> End {
    let mut news = book.news();
    loop {
        let Tally { offered, ended } = *news.borrow_and_update();
        if ended == offered {
            return End::Complete;
        }
        if tokio::time::timeout(PATIENCE, news.changed()).await.is_err() {
            return End::Stuck;
        }
    }
}

/// Puts orders into the incoming queue. It is tried again as any sender would: what may have been sent before is then there
/// twice, and whether it counts twice is up to the contestant.
async fn send(contestant: &dyn Contestant, site: &Site, orders: Vec<Order>) -> Result<(), RunError> {
    let queue = site.quiet_ports().queues.open(INCOMING).await?;
    let mut messages = try_join_all(orders.into_iter().map(|order| message(contestant, site, order))).await?;
    for tried in 1.. {
        let answers = queue.send(messages.clone()).await;
        let failed = messages.into_iter().zip(answers).filter_map(|(message, answer)| Some((message, answer.err()?)));
        let (left, errors): (Vec<QueueMessage>, Vec<PortError>) = failed.unzip();
        match errors.into_iter().next() {
            None => break,
            Some(error) if tried == TRIES_MAX || !error.may_be_repeated() => return Err(error.into()),
            Some(_) => TokioClock.sleep(PAUSE).await,
        }
        messages = left;
    }
    Ok(())
}

async fn message(contestant: &dyn Contestant, site: &Site, order: Order) -> Result<QueueMessage, RunError> {
    let mut tried = 1;
    loop {
        match contestant.message(site, order.clone()).await {
            Err(error) if tried < TRIES_MAX && error.may_be_repeated() => TokioClock.sleep(PAUSE).await,
            result => return Ok(result?),
        }
        tried += 1;
    }
}
