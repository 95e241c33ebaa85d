//! Simulation: the engine, endpoints and workers that ship, in a world of one thread and virtual time, where
//! everything goes wrong that can, and a judge who looks only at what the stores did.
//!
//! Everything follows from a seed: what is submitted, how many workers there are, when they die, and what becomes of
//! each call. The same seed makes the same [trace](Run::trace), byte for byte.
//!
//! - A call is a request, an effect and a reply. Its effect takes place even if its caller has died meanwhile,
//!   perhaps much later.
//! - Workers are dropped, or stand still, at any await, and come back.
//! - Queues deliver twice, late, out of order, and while somebody else is at work; they move messages to the
//!   dead-letter queue, from where an operator puts them back, or finishes them.
//! - Then the trouble ends, and everything must come to rest.
//!
//! What is judged: [`Law`]. A seed that breaks one is [shrunk](Simulation::shrink) to the submissions and faults that
//! it takes. [`Scenario`] is how to simulate services of your own.

mod history;
mod judge;
mod ledger;
mod network;
mod queue;
mod recorded;
mod scenario;
mod seeds;
mod settings;
mod shrink;
mod staff;
mod tally;
mod trace;
mod weather;
mod world;

use std::{collections::BTreeSet, fmt, sync::Arc};

use cloakroom::{
    Ports, Timestamp,
    memory::Memory,
    ports::{Clock as _, PartitionStore as _},
    protocol::Consistency,
};
use futures::FutureExt as _;

pub use history::{Final, Rest};
pub use judge::{Law, Violation};
pub use ledger::Ledger;
pub use scenario::{Scenario, Submission};
pub use seeds::known_seeds;
pub use tally::Tally;
pub use weather::Fault;

use self::{
    history::{Deed, dead_letters},
    settings::Settings,
    staff::{Site, act},
    trace::Trace,
    weather::Weather,
    world::World,
};
use crate::residue::live_records;

/// Makes other ports of those that it is given: broken ones, to see that the judge notices. Called once for each world.
pub type Sabotage = fn(&Memory, Ports) -> Ports;

/// How often a message is received before it is moved to the dead-letter queue: also at the first redelivery, when its
/// record may still have to be finished.
const REDRIVE_AFTER: [u32; 6] = [1, 1, 2, 3, 5, 10];

/// One seed of a scenario.
///
/// ```
/// use cloakroom_sim::simulation::{Ledger, Simulation};
///
/// let run = Simulation::new(&Ledger, 1).run();
/// assert_eq!(run.violations, []);
/// assert!(run.tally.messages > 0);
/// ```
#[derive(Clone, Debug)]
pub struct Simulation<'a> {
    scenario: &'a dyn Scenario,
    seed: u64,
    sabotage: Option<Sabotage>,
    is_traced: bool,
    /// The only decisions that may go wrong.
    allowed: Option<BTreeSet<String>>,
    /// The only submissions that are made, by number.
    kept: Option<BTreeSet<usize>>,
}

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which laws were broken.
    pub violations: Vec<Violation>,
    /// What happened, in numbers.
    pub tally: Tally,
    /// What happened, line by line; empty unless it was [asked for](Simulation::traced).
    pub trace: Vec<String>,
    /// What went wrong, by the name of the decision.
    pub faults: Vec<(String, Fault)>,
    submissions: usize,
}

impl<'a> Simulation<'a> {
    /// The world of this seed.
    pub const fn new(scenario: &'a dyn Scenario, seed: u64) -> Self {
        Self { scenario, seed, sabotage: None, is_traced: false, allowed: None, kept: None }
    }

    /// On broken ports.
    #[must_use]
    pub fn on(self, sabotage: Sabotage) -> Self {
        Self { sabotage: Some(sabotage), ..self }
    }

    /// With a trace.
    #[must_use]
    pub fn traced(self) -> Self {
        Self { is_traced: true, ..self }
    }

    /// What is simulated.
    pub const fn scenario(&self) -> &'a dyn Scenario {
        self.scenario
    }

    /// Runs it until everything has come to rest, and judges.
    ///
    /// # Panics
    /// If the scenario's endpoints cannot be built.
    pub fn run(&self) -> Run {
        let memory = Memory::seeded(self.seed);
        for name in self.scenario.endpoints() {
            memory.queues.create(*name);
            memory.queues.create(dead_letters(name));
        }
        let weather = Weather::new(self.seed, Arc::clone(&memory.clock), self.allowed.clone());
        let mut random = weather.stream("scenario");
        let world = Arc::new(World::new(memory, weather, Trace::new(self.is_traced)));
        let submissions = self.scenario.submissions(&mut random);
        let count = submissions.len();
        let is_kept = |number: &usize| self.kept.as_ref().is_none_or(|kept| kept.contains(number));
        let submissions: Vec<_> = submissions.into_iter().enumerate().filter(|(number, _)| is_kept(number)).collect();

        let settings = Settings::drawn(self.scenario.endpoints(), &world.weather, &mut random);
        let ports = recorded::recorded(&world, random.choice(REDRIVE_AFTER).unwrap_or(5));
        let ports = self.sabotage.map_or_else(|| ports.clone(), |sabotage| sabotage(&world.memory, ports.clone()));
        let workers: Vec<_> = self
            .scenario
            .endpoints()
            .iter()
            .flat_map(|name| (1..=random.u32(1..=3)).map(move |number| (*name, format!("{name}-{number}"))))
            .collect();
        let site = Site { world: Arc::clone(&world), scenario: self.scenario, ports, settings };
        let is_reached = world.run(act(&site, &workers, submissions.iter().map(|(number, one)| (*number, one))));

        let rest = self.rest(&world, is_reached);
        let submissions: Vec<_> = submissions.into_iter().map(|(_, submission)| submission).collect();
        self.judged(&world, &rest, &submissions, count)
    }

    fn judged(&self, world: &World, rest: &Rest, submissions: &[Submission], count: usize) -> Run {
        let history = world.history();
        let mut violations = judge::judge(&history.deeds, rest, &|reason| self.scenario.is_rejection(reason));
        if rest.is_reached {
            let findings = self.scenario.audit(submissions, rest);
            violations.extend(findings.into_iter().map(|finding| Violation::new(Law::Audit, finding, &[])));
        }
        let faults = world.weather.faults();
        let mut tally = Tally {
            seeds: 1,
            messages: judge::to_be_processed(&history.deeds),
            commits: history.deeds.iter().filter(|deed| matches!(deed, Deed::Committed { .. })).count() as u64,
            orphans: judge::orphans(&history.deeds, rest),
            violations: violations.len() as u64,
            time: world.memory.clock.now().since(Timestamp::default()),
            ..history.tally.clone()
        };
        for (_, fault) in &faults {
            *tally.faults.entry(*fault).or_default() += 1;
        }
        Run { violations, tally, trace: world.trace.take(), faults, submissions: count }
    }

    fn rest(&self, world: &World, is_reached: bool) -> Rest {
        let Memory { store, payloads, queues, .. } = &world.memory;
        let mut rest = Rest { is_reached, payloads: payloads.claims(), ..Rest::default() };
        for deed in &world.history().deeds {
            let Deed::Committed { endpoint, partition, .. } = deed else { continue };
            let address = (endpoint.clone(), partition.clone());
            if !rest.states.contains_key(&address)
                && let Some(Ok(read)) = store.read_state(partition, endpoint, Consistency::Strong).now_or_never()
            {
                rest.states.insert(address, read);
            }
        }
        let partitions: BTreeSet<_> = rest.states.keys().map(|(_, partition)| partition).collect();
        for partition in partitions {
            rest.records.extend(live_records(&store.partition(partition), &**payloads));
        }
        for name in self.scenario.endpoints() {
            for queue in [(*name).to_owned(), dead_letters(name)] {
                let messages = queues.get(&queue).messages();
                if !messages.is_empty() {
                    rest.queues.insert(queue, messages);
                }
            }
        }
        rest
    }

    /// If the seed breaks a law: the fewest submissions and faults that this finds with which the same law is broken.
    pub fn shrink(&self) -> Option<Shrunk> {
        let run = self.run();
        let law = run.violations.first()?.law;
        let fails = |simulation: &Self| simulation.run().violations.iter().any(|violation| violation.law == law);
        let faults: BTreeSet<String> = run.faults.iter().map(|(name, _)| name.clone()).collect();
        let mut smaller = Self { allowed: Some(faults), kept: Some((0..run.submissions).collect()), ..self.clone() };
        // What is left of the one may make some of the other needless.
        for _ in 0..2 {
            let kept = smaller.kept.clone().unwrap_or_default();
            let kept = shrink::smallest(&kept, |kept| fails(&Self { kept: Some(kept.clone()), ..smaller.clone() }));
            smaller.kept = Some(kept);
            let allowed = smaller.allowed.clone().unwrap_or_default();
            let allowed = shrink::smallest(&allowed, |allowed| {
                fails(&Self { allowed: Some(allowed.clone()), ..smaller.clone() })
            });
            smaller.allowed = Some(allowed);
        }
        let submissions = smaller.kept.as_ref().map_or(0, BTreeSet::len);
        let run = smaller.traced().run();
        let violation = run.violations.iter().find(|violation| violation.law == law)?.clone();
        let timeline = timeline(&violation, &run);
        Some(Shrunk { violation, faults: run.faults, submissions, timeline })
    }
}

/// A failure without what it does not need.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The law that is broken.
    pub violation: Violation,
    /// What has to go wrong for it, by the name of the decision.
    pub faults: Vec<(String, Fault)>,
    /// How many submissions it takes.
    pub submissions: usize,
    /// The lines of the trace that concern it.
    pub timeline: Vec<String>,
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(f, "  needs: {} submissions", self.submissions)?;
        for (name, fault) in &self.faults {
            writeln!(f, "  needs: {fault} ({name})")?;
        }
        self.timeline.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The lines about what a violation concerns, and about the lives of whoever had to do with it.
fn timeline(violation: &Violation, run: &Run) -> Vec<String> {
    let subjects: Vec<String> = violation.subjects.iter().map(|subject| trace::subject(subject)).collect();
    let is_about = |line: &str| subjects.iter().any(|subject| line.contains(subject));
    let caller = |line: &str| line.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let callers: BTreeSet<String> = run.trace.iter().filter(|line| is_about(line)).map(|line| caller(line)).collect();
    let is_life =
        |line: &str| ["starts", "dies", "ends:", "stands still", "goes on"].iter().any(|it| line.contains(it));
    let concerns = |line: &&String| is_about(line) || is_life(line) && callers.contains(&caller(line));
    run.trace.iter().filter(concerns).cloned().collect()
}
