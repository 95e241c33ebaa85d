//! The protocol as a model whose every state is looked at.
//!
//! Entities, queues, the payload store and workers are plain data ([`World`]); what a worker does is what
//! [`cloakroom::protocol::next`] says, and for several messages together
//! [`next_of_fold`](cloakroom::protocol::next_of_fold), the very functions that the engine follows. Records lie beside the state, or are
//! embedded in its item, as a [`Scenario`] says. Every delivery is a worker of its own. Any worker may wait at any step for as long as
//! it likes, which is also how it dies: it never goes on. Messages are delivered again at any time, also after they were
//! acknowledged, as often as a scenario allows.
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

mod actions;
mod commit;
mod message;
mod properties;
mod scenario;
mod scenarios;
mod timeline;
mod undisturbed;
mod work;
mod worker;
mod world;
mod wrong_orders;

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Mutex, PoisonError},
};

use stateright::{Checker as _, CheckerBuilder, HasDiscoveries, Property};

pub use actions::Action;
pub use scenario::{Handler, Identity, Message, Placement, Scenario};
pub use scenarios::{LARGE, SMALL};
pub use timeline::Timeline;
pub use work::How;
pub use world::World;
pub use wrong_orders::WrongOrder;

/// A scenario, and the order of steps that is followed in it.
#[derive(Debug)]
pub struct Model {
    scenario: Scenario,
    order: Option<WrongOrder>,
    /// Only these are looked for.
    only: Option<&'static [&'static str]>,
    /// Fingerprints of worlds of which it is known that one undisturbed worker at a time finishes everything.
    finishing: Mutex<HashSet<u64>>,
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
    pub fn new(scenario: Scenario) -> Self {
        Self { scenario, order: None, only: None, finishing: Mutex::default() }
    }

    /// The scenario with the protocol broken in one place.
    #[must_use]
    pub fn broken(self, order: WrongOrder) -> Self {
        Self { order: Some(order), ..self }
    }

    /// Looks for violations of these invariants alone.
    #[must_use]
    pub fn only(self, invariants: &'static [&'static str]) -> Self {
        Self { only: Some(invariants), ..self }
    }

    /// Visits every state, until there is no other, or one violates an invariant; then the shortest way to such a state is
    /// looked for.
    pub fn check(&self) -> Found {
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
    fn search(&self, steps: usize) -> Found {
        // The checker counts states, of which a way has one more than steps.
        let depth = steps.saturating_add(1);
        let checker = self.checker_of_failures().target_max_depth(depth);
        self.found(&checker.spawn_bfs().join())
    }

    /// Visits every state in whatever order takes the least memory, on this many threads.
    pub fn check_fast(&self, threads: usize) -> Found {
        self.found(&self.checker_of_failures().threads(threads).spawn_dfs().join())
    }

    /// A search that ends with the first violation.
    fn checker_of_failures(&self) -> CheckerBuilder<Self> {
        let failures = self.invariants().iter().map(|property| property.name).collect::<BTreeSet<_>>();
        let model = Self { finishing: Mutex::default(), ..*self };
        stateright::Model::checker(model).finish_when(HasDiscoveries::AnyOf(failures))
    }

    fn invariants(&self) -> Vec<Property<Self>> {
        let is_wanted = |property: &Property<Self>| self.only.is_none_or(|only| only.contains(&property.name));
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

    /// Whether a world has this fingerprint from which everything is finished, as far as that was found out so far.
    fn knows_as_finishing(&self, fingerprint: u64) -> bool {
        self.finishing.lock().unwrap_or_else(PoisonError::into_inner).contains(&fingerprint)
    }

    fn note_as_finishing(&self, fingerprint: u64) {
        self.finishing.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint);
    }

    fn each<'a>(&'a self, world: &'a World) -> impl Iterator<Item = (u8, &'a Message, &'a message::Message)> {
        (0..).zip(self.scenario.messages).zip(&world.messages).map(|((number, spec), message)| (number, spec, message))
    }
}

impl stateright::Model for Model {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.scenario)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.work_actions(world, actions);
        self.queue_actions(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        world.act(self, action);
        world.normalise(self.order.is_none());
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = self.invariants();
        let reaches = self.scenario.reaches;
        properties.extend(properties::sometimes().into_iter().filter(|property| reaches.contains(&property.name)));
        properties
    }
}
