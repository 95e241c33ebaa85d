//! The protocol as a model whose every state is looked at.
//!
//! Entities, queues, the payload store and workers are plain data ([`World`]); what a worker does is what
//! [`cloakroom::protocol::next`] says, the very function that the engine follows. Every delivery is a worker of its own. Any worker may wait
//! at any step for as long as it likes, which is also how it dies: it never goes on. Messages are delivered again at any time, also
//! after they were acknowledged, as often as a scenario allows.
//!
//! The model checker ([stateright](https://www.stateright.rs)) visits every state that can be reached, and in each of them
//! the invariants must hold. A [`WrongOrder`] breaks the protocol in one place; then the checker must find a way to a
//! state in which one does not hold.
//!
//! ```
//! use cloakroom_sim::model::{Model, SMALL};
//!
//! let scenario = SMALL[2];
//! let found = Model::new(scenario).check();
//! assert!(found.violation.is_none());
//! assert_eq!(found.states, scenario.states);
//! ```

mod properties;
mod scenario;
mod timeline;
mod work;
mod world;
mod wrong_orders;

use std::collections::BTreeSet;

use cloakroom::protocol::{CheckIn, Consistency, Do, Memory, Saw, WhenMissing};
use stateright::{Checker as _, HasDiscoveries, Property};

pub use scenario::{Handler, Identity, LARGE, Message, SMALL, Scenario};
pub use timeline::Timeline;
pub use work::How;
pub use world::World;
pub use wrong_orders::WrongOrder;

use self::world::Worker;

/// A scenario, and the order of steps that is followed in it.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    scenario: Scenario,
    order: Option<WrongOrder>,
    /// Only this is looked for.
    only: Option<&'static str>,
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names tell it")]
pub enum Action {
    Deliver {
        message: u8,
        copy: u8,
        check_in: CheckIn,
        when_missing: WhenMissing,
    },
    Work {
        worker: usize,
        how: How,
    },
    /// A late commit reaches the store.
    Land {
        late: usize,
    },
    DeadLetter {
        message: u8,
        copy: u8,
    },
    Redrive {
        message: u8,
        copy: u8,
    },
    Finish {
        message: u8,
        copy: u8,
    },
    Purge {
        message: u8,
        copy: u8,
    },
    Sweep {
        message: u8,
    },
}

/// What a check has found.
#[derive(Clone, Debug)]
pub struct Found {
    /// How many different states there are, or were visited before a violation was found.
    pub states: usize,
    /// How many steps the longest path has that was followed.
    pub depth: usize,
    /// The way to a state in which an invariant does not hold; the shortest, unless the search was [fast](Model::check_fast).
    pub violation: Option<Timeline>,
    /// What the scenario should have come to, and did not.
    pub unreached: Vec<&'static str>,
}

impl Model {
    /// The scenario with the protocol as it is.
    pub const fn new(scenario: Scenario) -> Self {
        Self { scenario, order: None, only: None }
    }

    /// The scenario with the protocol broken in one place.
    #[must_use]
    pub const fn broken(self, order: WrongOrder) -> Self {
        Self { order: Some(order), ..self }
    }

    /// Looks for violations of this invariant alone.
    #[must_use]
    pub const fn only(self, invariant: &'static str) -> Self {
        Self { only: Some(invariant), ..self }
    }

    /// Visits every state, until there is no other, or one violates an invariant; then the shortest way to such a state is
    /// looked for.
    pub fn check(self) -> Found {
        let mut found = self.search(usize::MAX);
        while let Some(timeline) = &found.violation {
            let nearer = self.search(timeline.len());
            if nearer.violation.is_none() {
                break;
            }
            found = nearer;
        }
        found
    }

    /// Visits the states that are fewer steps away than this, nearest first.
    fn search(self, steps: usize) -> Found {
        // The checker counts states, of which a way has one more than steps.
        let depth = steps.saturating_add(1);
        let checker = stateright::Model::checker(self).finish_when(self.failures()).target_max_depth(depth);
        self.found(&checker.spawn_bfs().join())
    }

    /// Visits every state in whatever order takes the least memory, on this many threads.
    pub fn check_fast(self, threads: usize) -> Found {
        let checker = stateright::Model::checker(self).finish_when(self.failures()).threads(threads).spawn_dfs().join();
        self.found(&checker)
    }

    /// What ends a search.
    fn failures(&self) -> HasDiscoveries {
        HasDiscoveries::AnyOf(self.invariants().iter().map(|property| property.name).collect::<BTreeSet<_>>())
    }

    fn invariants(&self) -> Vec<Property<Self>> {
        let is_wanted = |property: &Property<Self>| self.only.is_none_or(|only| property.name == only);
        properties::always().into_iter().filter(is_wanted).collect()
    }

    fn found(&self, checker: &impl stateright::Checker<Self>) -> Found {
        let mut discoveries = checker.discoveries();
        let reaches = self.scenario.reaches.iter().copied();
        let unreached = reaches.filter(|name| !discoveries.contains_key(name)).collect();
        let violation = self.invariants().iter().find_map(|property| {
            let path = discoveries.remove(property.name)?;
            Some(Timeline::new(self, property.name, path.into_actions()))
        });
        Found { states: checker.unique_state_count(), depth: checker.max_depth(), violation, unreached }
    }

    fn each<'a>(&'a self, world: &'a World) -> impl Iterator<Item = (u8, &'a Message, &'a world::Message)> {
        (0..).zip(self.scenario.messages).zip(&world.messages).map(|((number, spec), message)| (number, spec, message))
    }

    fn normalise(&self, world: &mut World) {
        world.normalise(self.order.is_none(), |message| self.scenario.messages[usize::from(message)].entity);
    }

    /// Everything that queues and operators can do.
    fn queue_actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (message, _, one) in self.each(world) {
            for copy in one.copies().filter(|_| one.deliveries_left > 0) {
                for check_in in self.scenario.timings.iter().copied() {
                    let policies = self.scenario.when_missing.iter().copied();
                    actions.extend(policies.map(|when_missing| Action::Deliver {
                        message,
                        copy,
                        check_in,
                        when_missing,
                    }));
                }
            }
            let queued = one.queued.iter().filter(|_| world.dead_letters > 0);
            actions.extend(queued.map(|copy| Action::DeadLetter { message, copy }));
            let dead = || one.dead.iter();
            actions.extend(dead().filter(|_| world.redrives > 0).map(|copy| Action::Redrive { message, copy }));
            actions.extend(dead().filter(|_| world.finishes > 0).map(|copy| Action::Finish { message, copy }));
            // What was not committed, nobody can finish: whoever purges it wants it lost.
            let purged = one.queued.iter().filter(|_| world.purges > 0 && one.record.is_some());
            actions.extend(purged.map(|copy| Action::Purge { message, copy }));
            actions.extend(one.record.filter(|_| world.sweeps > 0).map(|_| Action::Sweep { message }));
        }
    }

    /// The ways in which a worker can take its next step.
    fn ways(&self, world: &World, worker: &Worker) -> &'static [How] {
        match (worker.todo, self.order) {
            (Do::Commit(_), _) if world.faults > 0 => &[How::Well, How::Late, How::Hidden],
            (Do::ReadPayload, _)
                if self.scenario.messages[usize::from(worker.message)].handler == Handler::MayReject =>
            {
                &[How::Well, How::Failing]
            }
            (Do::ReadState(_), _) if world.stale_reads > 0 => &[How::Well, How::Stale],
            (Do::ReadRecord, Some(WrongOrder::StaleRecord)) => &[How::Well, How::Stale],
            (Do::ReadPayload, Some(WrongOrder::StalePayload)) => &[How::Well, How::Stale],
            _ => &[How::Well],
        }
    }
}

impl stateright::Model for Model {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.scenario)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (number, worker) in world.workers.iter().enumerate() {
            // Of workers that are alike it is enough that one goes on.
            if number == 0 || world.workers[number - 1] != *worker {
                actions.extend(self.ways(world, worker).iter().map(|how| Action::Work { worker: number, how: *how }));
            }
        }
        actions.extend((0..world.late.len()).map(|late| Action::Land { late }));
        self.queue_actions(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        world.act(self, action);
        self.normalise(&mut world);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = self.invariants();
        let reaches = self.scenario.reaches;
        properties.extend(properties::sometimes().into_iter().filter(|property| reaches.contains(&property.name)));
        properties
    }
}

impl World {
    /// Lets something happen. What a worker saw, if it is one that took a step.
    fn act(&mut self, model: &Model, action: Action) -> Option<Saw> {
        match action {
            Action::Deliver { message, copy, check_in, when_missing } => {
                self.messages[usize::from(message)].deliveries_left -= 1;
                self.receive(model, message, copy, Memory::new(check_in, when_missing), false);
            }
            Action::Work { worker, how } => {
                self.faults -= u8::from(matches!(how, How::Late | How::Hidden));
                if how == How::Stale && matches!(self.workers[worker].todo, Do::ReadState(_)) {
                    self.stale_reads -= 1;
                }
                return self.work(model, worker, how);
            }
            Action::Land { late } => {
                let commit = self.late.remove(late);
                self.apply(model, commit);
            }
            Action::DeadLetter { message, copy } => {
                self.dead_letters -= 1;
                let message = &mut self.messages[usize::from(message)];
                (message.queued, message.dead) = (message.queued.without(copy), message.dead.with(copy));
            }
            Action::Redrive { message, copy } => {
                self.redrives -= 1;
                self.messages[usize::from(message)].put_back(copy);
            }
            Action::Finish { message, copy } => {
                self.finishes -= 1;
                self.receive(model, message, copy, Memory::finishing(), true);
            }
            Action::Purge { message, copy } => {
                self.purges -= 1;
                let message = &mut self.messages[usize::from(message)];
                message.queued = message.queued.without(copy);
            }
            Action::Sweep { message } => {
                self.sweeps -= 1;
                self.receive(model, message, world::NO_COPY, Memory::finishing(), true);
            }
        }
        None
    }

    /// Gives a message to a new worker.
    fn receive(&mut self, model: &Model, message: u8, copy: u8, memory: Memory, finishes: bool) {
        let claim = self.messages[usize::from(message)].claim(copy);
        let todo = Do::ReadState(Consistency::Any);
        let (detour, view, sends, claims, dispatched) = Default::default();
        let mut worker =
            Worker { message, copy, claim, finishes, memory, detour, todo, view, sends, claims, dispatched };
        work::proceed(model, &mut worker, Saw::Delivery, How::Well);
        self.workers.push(worker);
    }

    fn entity_of(&self, model: &Model, message: u8) -> &world::Entity {
        &self.entities[usize::from(model.scenario.messages[usize::from(message)].entity)]
    }
}
