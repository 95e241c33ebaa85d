//! `cloakroom soak`: the shop of the demonstration for as long as is wanted, its workers killed and its calls lost all
//! the while, and an audit of everything at the end.

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

use self::{
    report::{News, Report},
    silence::{Standstill, silence_one},
    supply::Supply,
};
use crate::{
    demo::{
        LOOK_EVERY, Scene,
        progress::{Look, PATIENCE, Watch},
        report::Report as Run,
        staff::{Events, Staff},
    },
    input::Input,
    interrupt::interrupted,
    site::Failure,
    terminal,
};

/// Orders that are placed at a time.
const BATCH_MAX: usize = 200;
/// How long the queues may take to say what they hold. Kills and silences wait for that.
const ASK_WITHIN: Duration = Duration::from_millis(500);
/// What has not drained by then goes round in circles: it is stuck, too.
const DRAIN_WITHIN: Duration = Duration::from_secs(600);

/// Runs a soak. The exit code is 1 if the books do not balance, or if it is stuck.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    options.validate()?;
    let trouble = options.trouble();
    let scene = Scene::set(&trouble).await?;
    let mut soak = Soak::new(&options, &scene);

    scene.aws.set_faults(trouble.faults()).map_err(Failure::new)?;
    soak.endure(Staff::hire(&trouble, &scene)?).await?;
    let minutes = soak.began.elapsed().as_secs_f64() / 60.0;
    scene.aws.set_faults(Faults::default()).map_err(Failure::new)?;
    let calm_began = Instant::now();
    let standstill_seconds = soak.standstill.longest().as_secs_f64();
    let look = soak.drain(Staff::hire(&options.calm(), &scene)?).await?;
    let drain_seconds = calm_began.elapsed().as_secs_f64();

    let seconds = soak.began.elapsed().as_secs_f64();
    let Soak { events, placed, silences, .. } = soak;
    let mut input = Input::default();
    input.orders = placed;
    let books = Books::read(&scene.site, &scene.queues).await.map_err(Failure::new)?;
    let stuck = (look == Look::Stuck).then(|| books.messages.clone());
    let (usage, verdict) = (scene.aws.usage(), books.audit(&input.orders));
    // Not priced: what a message costs in the worst of times tells nobody anything.
    let run = Run::new(&trouble, &input, &events, &usage, books.commits(), seconds, verdict);
    let (kills, losses) = (events.crashes, events.losses);
    let report = Report { minutes, drain_seconds, kills, silences, standstill_seconds, losses, stuck, run };
    scene.aws.shutdown().await;
    if options.json {
        terminal::print_json(&report)?
    } else {
        terminal::print(&report)?
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A soak under way.
struct Soak<'a> {
    options: &'a Options,
    scene: &'a Scene,
    supply: Supply,
    /// The orders that were placed, to the last of them.
    placed: Vec<PlaceOrder>,
    /// What happened to workers that were dismissed, and to their messages.
    events: Events,
    watch: Watch,
    /// How often a service went silent.
    silences: u64,
    standstill: Standstill,
    looks: Interval,
    began: Instant,
    told: Instant,
}

/// Orders on their way to the queue.
type Placing<'a> = Fuse<LocalBoxFuture<'a, Result<Vec<PlaceOrder>, Failure>>>;

impl<'a> Soak<'a> {
    fn new(options: &'a Options, scene: &'a Scene) -> Self {
        let began = Instant::now();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        // Two looks in a row tell whether it is over: never at the same moment.
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            options,
            scene,
            supply: Supply::new(options.orders_max()),
            placed: Vec::new(),
            events: Events::default(),
            watch: Watch::new(PATIENCE),
            silences: 0,
            standstill: Standstill::new(began),
            looks,
            began,
            told: began,
        }
    }

    /// Places orders and kills workers until the time is over, or every order is finished.
    async fn endure(&mut self, mut staff: Staff) -> Result<(), Failure> {
        let mut trouble = self.options.trouble().trouble();
        let mut silences = self.options.silences();
        let mut placing: Placing<'a> = Fuse::terminated();
        let end = self.began + self.options.duration();
        let mut interrupt = pin!(interrupted());
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => break,
                placed = &mut placing => self.placed.extend(placed?),
                () = trouble.next() => staff.crash_one(trouble.pick())?,
                () = silences.next() => {
                    silence_one(&self.scene.aws, silences.pick());
                    self.silences += 1;
                }
                _ = self.looks.tick() => {
                    let ahead = self.ahead().await;
                    let finished = self.events.clone().and(staff.events()).finished();
                    self.standstill.look(Instant::now(), finished, ahead != Some(0));
                    let is_all = self.supply.is_exhausted() && placing.is_terminated();
                    // When it is stuck, perhaps it is the trouble that is too much: let it go on without.
                    if self.look(&mut staff, is_all, ahead)? != Look::GoOn {
                        break;
                    }
                    if let Some(ahead) = ahead.filter(|_| placing.is_terminated()) {
                        placing = self.place(ahead);
                    }
                }
                () = &mut interrupt => return Err(unaudited()),
            }
        }
        if !placing.is_terminated() {
            self.placed.extend(placing.await?);
        }
        self.dismiss(staff).await;
        Ok(())
    }

    /// Lets the workers finish what is left. Without trouble they must.
    async fn drain(&mut self, mut staff: Staff) -> Result<Look, Failure> {
        self.watch = Watch::new(PATIENCE);
        let end = Instant::now() + DRAIN_WITHIN;
        let mut interrupt = pin!(interrupted());
        loop {
            tokio::select! {
                _ = self.looks.tick() => {
                    let ahead = self.ahead().await;
                    let look = self.look(&mut staff, true, ahead)?;
                    let look = if look == Look::GoOn && Instant::now() >= end { Look::Stuck } else { look };
                    if look != Look::GoOn {
                        self.dismiss(staff).await;
                        return Ok(look);
                    }
                }
                () = &mut interrupt => return Err(unaudited()),
            }
        }
    }

    /// The messages in the queues of the services, if the queues answer soon enough.
    async fn ahead(&self) -> Option<u64> {
        tokio::time::timeout(ASK_WITHIN, self.scene.queues.ahead()).await.ok()?.ok()
    }

    /// Places as many orders as leaves the workers no more than they can hold.
    fn place(&mut self, ahead: u64) -> Placing<'a> {
        let room = self.options.ahead_max().saturating_sub(usize::try_from(ahead).unwrap_or(usize::MAX));
        let (orders, scene) = (self.supply.take(room.min(BATCH_MAX)), self.scene);
        if orders.is_empty() {
            return Fuse::terminated();
        }
        let placing = async move {
            let ports = scene.site.aws().map_err(Failure::new)?.ports();
            cloakroom_shop::submit(&ports, &orders).await.map_err(Failure::new)?;
            Ok(orders)
        };
        placing.boxed_local().fuse()
    }

    fn look(&mut self, staff: &mut Staff, is_all: bool, ahead: Option<u64>) -> Result<Look, Failure> {
        staff.check()?;
        let events = self.events.clone().and(staff.events());
        if self.told.elapsed() >= report::TELL_EVERY {
            self.told = Instant::now();
            let (seconds, orders) = (self.began.elapsed().as_secs(), self.placed.len());
            let news = News { seconds, orders, messages: events.finished(), kills: events.crashes, ahead };
            report::tell(&news, self.options.json);
        }
        Ok(self.watch.look(events.finished(), is_all && ahead == Some(0)))
    }

    async fn dismiss(&mut self, staff: Staff) {
        self.events = std::mem::take(&mut self.events).and(staff.dismiss().await);
    }
}

fn unaudited() -> Failure {
    Failure::new("interrupted: nothing was audited; a soak ends by itself after its `--minutes`")
}
