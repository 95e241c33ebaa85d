//! Simulation: the production engine, endpoints and workers, in one thread and on virtual time,
//! with every kind of fault. Laws are then checked against what the stores did.
//!
//! Everything follows from a seed: the submissions, the number of workers, when they stop, and the
//! outcome of each call. The same seed makes the same [trace](Run::trace), byte for byte.
//!
//! - A call is a request, an effect and a reply. The effect takes place even if the caller has
//!   stopped in the meantime, perhaps much later.
//! - Workers are dropped or pause at any await, and return.
//! - Queues deliver twice, late, out of order, and while another worker processes the message. They
//!   move messages to the dead-letter queue. An operator moves them back or finishes them.
//! - Then the faults end, and everything must come to rest.
//!
//! [`Law`] lists what is checked. A seed that breaks a law is [shrunk](Simulation::shrink) to the
//! submissions and faults that are needed. Implement [`Scenario`] to simulate your own services.

mod actors;
mod faults;
mod faulty_queue;
mod history;
mod laws;
mod ledger;
mod network;
mod recorded;
mod run_settings;
mod scenario;
mod seeds;
mod shrink;
mod tally;
mod trace;
mod world;

use std::{collections::BTreeSet, fmt, sync::Arc};

use cloakroom::{
    Ports, Timestamp,
    memory::Memory,
    ports::{Clock as _, PartitionStore as _},
    protocol::Consistency,
};
use futures::FutureExt as _;

pub use faults::Fault;
pub use history::{Final, Rest};
pub use laws::law::{Law, Violation};
pub use ledger::Ledger;
pub use scenario::{Scenario, Submission};
pub use seeds::known_seeds;
pub use tally::Tally;

use crate::{
    leftover_records::unsettled_records,
    simulation::{
        actors::{Actors, run_actors},
        faults::FaultInjector,
        history::{StoreEvent, dead_letters},
        run_settings::RunSettings,
        trace::Trace,
        world::SimulationWorld,
    },
};

/// Returns broken ports for given ones, to test that the laws detect it. It is called once for each
/// world.
pub type BreakPorts = fn(&Memory, Ports) -> Ports;

/// How many times a message is received before it is moved to the dead-letter queue. With 1 it is
/// moved at its first redelivery, when its record may still have to be finished.
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
    sabotage: Option<BreakPorts>,
    is_traced: bool,
    /// If set, only these decisions may be faults.
    allowed: Option<BTreeSet<String>>,
    /// If set, only the submissions with these numbers are made.
    kept: Option<BTreeSet<usize>>,
}

/// The result of a seed.
#[derive(Clone, Debug)]
pub struct Run {
    /// The laws that were broken.
    pub violations: Vec<Violation>,
    /// Counts of what happened.
    pub tally: Tally,
    /// What happened, line by line. Empty unless it was [requested](Simulation::traced).
    pub trace: Vec<String>,
    /// The faults, by the names of their decisions.
    pub faults: Vec<(String, Fault)>,
    submissions: usize,
}

impl<'a> Simulation<'a> {
    /// Returns the simulation of this seed.
    pub const fn new(scenario: &'a dyn Scenario, seed: u64) -> Self {
        Self { scenario, seed, sabotage: None, is_traced: false, allowed: None, kept: None }
    }

    /// Runs on broken ports.
    #[must_use]
    pub fn on(self, sabotage: BreakPorts) -> Self {
        Self { sabotage: Some(sabotage), ..self }
    }

    /// Records a trace.
    #[must_use]
    pub fn traced(self) -> Self {
        Self { is_traced: true, ..self }
    }

    /// The scenario.
    pub const fn scenario(&self) -> &'a dyn Scenario {
        self.scenario
    }

    /// Runs until everything has come to rest, and checks the laws.
    ///
    /// # Panics
    /// If the scenario's endpoints cannot be built.
    pub fn run(&self) -> Run {
        let memory = Memory::seeded(self.seed);
        for name in self.scenario.endpoints() {
            memory.queues.create(*name);
            memory.queues.create(dead_letters(name));
        }
        let injector = FaultInjector::new(self.seed, Arc::clone(&memory.clock), self.allowed.clone());
        let mut random = injector.stream("scenario");
        let world = Arc::new(SimulationWorld::new(memory, injector, Trace::new(self.is_traced)));
        let submissions = self.scenario.submissions(&mut random);
        let count = submissions.len();
        let is_kept = |number: &usize| self.kept.as_ref().is_none_or(|kept| kept.contains(number));
        let submissions: Vec<_> = submissions.into_iter().enumerate().filter(|(number, _)| is_kept(number)).collect();

        let settings = RunSettings::drawn(self.scenario.endpoints(), &world.injector, &mut random);
        let ports = recorded::recorded(&world, random.choice(REDRIVE_AFTER).unwrap_or(5));
        let ports = self.sabotage.map_or_else(|| ports.clone(), |sabotage| sabotage(&world.memory, ports.clone()));
        let workers: Vec<_> = self
            .scenario
            .endpoints()
            .iter()
            .flat_map(|name| (1..=random.u32(1..=3)).map(move |number| (*name, format!("{name}-{number}"))))
            .collect();
        let actors = Actors { world: Arc::clone(&world), scenario: self.scenario, ports, settings };
        let is_reached =
            world.run(run_actors(&actors, &workers, submissions.iter().map(|(number, one)| (*number, one))));

        let final_states = self.final_states(&world, is_reached);
        let submissions: Vec<_> = submissions.into_iter().map(|(_, submission)| submission).collect();
        self.verdict(&world, &final_states, &submissions, count)
    }

    fn verdict(&self, world: &SimulationWorld, final_states: &Rest, submissions: &[Submission], count: usize) -> Run {
        let history = world.history();
        let mut violations =
            laws::violations(&history.events, final_states, &|reason| self.scenario.is_rejection(reason));
        if final_states.is_reached {
            let findings = self.scenario.audit(submissions, final_states);
            violations.extend(findings.into_iter().map(|finding| Violation::new(Law::Audit, finding, &[])));
        }
        let faults = world.injector.faults();
        let mut tally = Tally {
            seeds: 1,
            messages: laws::messages_to_process(&history.events),
            commits: history.events.iter().filter(|event| matches!(event, StoreEvent::Committed { .. })).count() as u64,
            orphans: laws::orphans(&history.events, final_states),
            violations: violations.len() as u64,
            time: world.memory.clock.now().since(Timestamp::default()),
            ..history.tally.clone()
        };
        for (_, fault) in &faults {
            *tally.faults.entry(*fault).or_default() += 1;
        }
        Run { violations, tally, trace: world.trace.take(), faults, submissions: count }
    }

    fn final_states(&self, world: &SimulationWorld, is_reached: bool) -> Rest {
        let Memory { store, payloads, queues, .. } = &world.memory;
        let mut final_states = Rest { is_reached, payloads: payloads.claims(), ..Rest::default() };
        for event in &world.history().events {
            let StoreEvent::Committed { endpoint, partition, .. } = event else { continue };
            let address = (endpoint.clone(), partition.clone());
            if !final_states.states.contains_key(&address)
                && let Some(Ok(read)) = store.read_state(partition, endpoint, Consistency::Strong).now_or_never()
            {
                final_states.states.insert(address, read);
            }
        }
        let partitions: BTreeSet<_> = final_states.states.keys().map(|(_, partition)| partition).collect();
        for partition in partitions {
            final_states.records.extend(unsettled_records(&store.partition(partition), &**payloads));
        }
        for name in self.scenario.endpoints() {
            for queue in [(*name).to_owned(), dead_letters(name)] {
                let messages = queues.get(&queue).messages();
                if !messages.is_empty() {
                    final_states.queues.insert(queue, messages);
                }
            }
        }
        final_states
    }

    /// If the seed breaks a law: removes submissions and faults as long as the same law is broken,
    /// and returns the rest.
    pub fn shrink(&self) -> Option<Shrunk> {
        let run = self.run();
        let law = run.violations.first()?.law;
        let fails = |simulation: &Self| simulation.run().violations.iter().any(|violation| violation.law == law);
        let faults: BTreeSet<String> = run.faults.iter().map(|(name, _)| name.clone()).collect();
        let mut smaller = Self { allowed: Some(faults), kept: Some((0..run.submissions).collect()), ..self.clone() };
        // After faults were removed, more submissions may be unnecessary, and the other way round.
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

/// A failure without the submissions and faults that it does not need.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The law that is broken.
    pub violation: Violation,
    /// The faults that it needs, by the names of their decisions.
    pub faults: Vec<(String, Fault)>,
    /// The number of submissions that it needs.
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

/// Returns the lines about the subjects of a violation, and about the starts and stops of the
/// callers in them.
fn timeline(violation: &Violation, run: &Run) -> Vec<String> {
    let subjects: Vec<String> = violation.subjects.iter().map(|subject| trace::subject(subject)).collect();
    let is_about = |line: &str| subjects.iter().any(|subject| line.contains(subject));
    let caller = |line: &str| line.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let callers: BTreeSet<String> = run.trace.iter().filter(|line| is_about(line)).map(|line| caller(line)).collect();
    let is_lifecycle =
        |line: &str| ["starts", "stops", "ends:", "pauses", "continues"].iter().any(|it| line.contains(it));
    let concerns = |line: &&String| is_about(line) || is_lifecycle(line) && callers.contains(&caller(line));
    run.trace.iter().filter(concerns).cloned().collect()
}
