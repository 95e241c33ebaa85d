//! `cloakroom soak`: runs the shop of the demonstration for a given time while its workers are
//! killed and its calls are lost, and audits everything at the end.

mod options;
mod report;
mod silence;
mod supply;

use std::{pin::pin, process::ExitCode, time::Duration};

use cloakroom_local::Faults;
use cloakroom_shop::{books::Books, orders::PlaceOrder};
use futures::{
    FutureExt as _,
    future::{Fuse, FusedFuture as _, LocalBoxFuture},
};
use tokio::time::{Instant, Interval, MissedTickBehavior};

pub(crate) use options::Options;

use crate::{
    demo::{
        POLL_INTERVAL,
        progress::{STALL_TIMEOUT, StallDetector, Status},
        report::Report as Run,
        setup::Setup,
        workers::{Events, Workers},
    },
    input::Input,
    interrupt::interrupted,
    site::Failure,
    soak::{
        report::{Report, SoakProgress},
        silence::{Standstill, silence_one},
        supply::Supply,
    },
    terminal,
};

/// The maximum number of orders that are placed at a time.
const BATCH_MAX: usize = 200;
/// The time limit for reading the queue depths. Kills and silences are delayed by that time.
const DEPTH_TIMEOUT: Duration = Duration::from_millis(500);
/// The time limit for draining. Queues that have not drained by then are stuck, even if messages
/// are still being finished.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs a soak. The exit code is 1 if the books do not balance, or if the soak is stuck.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    options.validate()?;
    let faulty = options.with_faults();
    let setup = Setup::start(&faulty).await?;
    let mut soak = Soak::new(&options, &setup);

    setup.aws.set_faults(faulty.faults()).map_err(Failure::new)?;
    soak.run_with_faults(Workers::start_all(&faulty, &setup)?).await?;
    let minutes = soak.began.elapsed().as_secs_f64() / 60.0;
    setup.aws.set_faults(Faults::default()).map_err(Failure::new)?;
    let drain_began = Instant::now();
    let standstill_seconds = soak.standstill.longest().as_secs_f64();
    let status = soak.drain(Workers::start_all(&options.without_losses(), &setup)?).await?;
    let drain_seconds = drain_began.elapsed().as_secs_f64();

    let seconds = soak.began.elapsed().as_secs_f64();
    let Soak { events, placed, silences, .. } = soak;
    let mut input = Input::default();
    input.orders = placed;
    let books = Books::read(&setup.site, &setup.queues).await.map_err(Failure::new)?;
    let stuck = (status == Status::Stuck).then(|| books.messages.clone());
    let (usage, verdict) = (setup.aws.usage(), books.audit(&input.orders));
    // Not priced: the cost of a message under these faults is of no use.
    let run = Run::new(&faulty, &input, &events, &usage, books.commits(), seconds, verdict);
    let (kills, losses) = (events.crashes, events.losses);
    let report = Report { minutes, drain_seconds, kills, silences, standstill_seconds, losses, stuck, run };
    setup.aws.shutdown().await;
    if options.json {
        terminal::print_json(&report)?
    } else {
        terminal::print(&report)?
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A running soak.
struct Soak<'a> {
    options: &'a Options,
    setup: &'a Setup,
    supply: Supply,
    /// All orders that were placed.
    placed: Vec<PlaceOrder>,
    /// The counts of the workers that were stopped.
    events: Events,
    detector: StallDetector,
    /// The number of silences of a service.
    silences: u64,
    standstill: Standstill,
    polls: Interval,
    began: Instant,
    reported_at: Instant,
}

/// Orders that are being placed.
type Placing<'a> = Fuse<LocalBoxFuture<'a, Result<Vec<PlaceOrder>, Failure>>>;

impl<'a> Soak<'a> {
    fn new(options: &'a Options, setup: &'a Setup) -> Self {
        let began = Instant::now();
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        // Two polls in a row decide whether the run is done. So they must not be at the same time.
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            options,
            setup,
            supply: Supply::new(options.orders_max()),
            placed: Vec::new(),
            events: Events::default(),
            detector: StallDetector::new(STALL_TIMEOUT),
            silences: 0,
            standstill: Standstill::new(began),
            polls,
            began,
            reported_at: began,
        }
    }

    /// Places orders and kills workers until the time is over or every order is finished.
    async fn run_with_faults(&mut self, mut workers: Workers) -> Result<(), Failure> {
        let mut crashes = self.options.with_faults().crash_timer();
        let mut silences = self.options.silence_timer();
        let mut placing: Placing<'a> = Fuse::terminated();
        let end = self.began + self.options.duration();
        let mut interrupt = pin!(interrupted());
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => break,
                placed = &mut placing => self.placed.extend(placed?),
                () = crashes.next() => workers.crash_one(crashes.pick())?,
                () = silences.next() => {
                    silence_one(&self.setup.aws, silences.pick());
                    self.silences += 1;
                }
                _ = self.polls.tick() => {
                    let ahead = self.ahead().await;
                    let finished = self.events.clone().and(workers.events()).finished();
                    self.standstill.record(Instant::now(), finished, ahead != Some(0));
                    let is_all = self.supply.is_exhausted() && placing.is_terminated();
                    // A stuck run may have too many faults. The drain shows whether it continues
                    // without them.
                    if self.update(&mut workers, is_all, ahead)? != Status::Running {
                        break;
                    }
                    if let Some(ahead) = ahead.filter(|_| placing.is_terminated()) {
                        placing = self.place_orders(ahead);
                    }
                }
                () = &mut interrupt => return Err(unaudited()),
            }
        }
        if !placing.is_terminated() {
            self.placed.extend(placing.await?);
        }
        self.stop(workers).await;
        Ok(())
    }

    /// Lets the workers finish the remaining messages without faults, and returns whether they did.
    async fn drain(&mut self, mut workers: Workers) -> Result<Status, Failure> {
        self.detector = StallDetector::new(STALL_TIMEOUT);
        let end = Instant::now() + DRAIN_TIMEOUT;
        let mut interrupt = pin!(interrupted());
        loop {
            tokio::select! {
                _ = self.polls.tick() => {
                    let ahead = self.ahead().await;
                    let status = self.update(&mut workers, true, ahead)?;
                    let status = if status == Status::Running && Instant::now() >= end { Status::Stuck } else { status };
                    if status != Status::Running {
                        self.stop(workers).await;
                        return Ok(status);
                    }
                }
                () = &mut interrupt => return Err(unaudited()),
            }
        }
    }

    /// Returns the number of messages in the queues of the services. `None` if the queues do not
    /// respond within [`DEPTH_TIMEOUT`].
    async fn ahead(&self) -> Option<u64> {
        tokio::time::timeout(DEPTH_TIMEOUT, self.setup.queues.ahead()).await.ok()?.ok()
    }

    /// Starts to place orders, at most as many as the workers can have in flight.
    fn place_orders(&mut self, ahead: u64) -> Placing<'a> {
        let room = self.options.ahead_max().saturating_sub(usize::try_from(ahead).unwrap_or(usize::MAX));
        let (orders, setup) = (self.supply.take(room.min(BATCH_MAX)), self.setup);
        if orders.is_empty() {
            return Fuse::terminated();
        }
        let placing = async move {
            let ports = setup.site.aws().map_err(Failure::new)?.ports();
            cloakroom_shop::submit(&ports, &orders).await.map_err(Failure::new)?;
            Ok(orders)
        };
        placing.boxed_local().fuse()
    }

    fn update(&mut self, workers: &mut Workers, is_all: bool, ahead: Option<u64>) -> Result<Status, Failure> {
        workers.check()?;
        let events = self.events.clone().and(workers.events());
        if self.reported_at.elapsed() >= report::REPORT_INTERVAL {
            self.reported_at = Instant::now();
            let (seconds, orders) = (self.began.elapsed().as_secs(), self.placed.len());
            let progress = SoakProgress { seconds, orders, messages: events.finished(), kills: events.crashes, ahead };
            report::print_progress(&progress, self.options.json);
        }
        Ok(self.detector.update(events.finished(), is_all && ahead == Some(0)))
    }

    async fn stop(&mut self, workers: Workers) {
        self.events = std::mem::take(&mut self.events).and(workers.stop().await);
    }
}

fn unaudited() -> Failure {
    Failure::new("interrupted: nothing was audited; a soak ends by itself after `--minutes`")
}
