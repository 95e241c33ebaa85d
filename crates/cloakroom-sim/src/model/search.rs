//! The search through all states of the model.

use std::{collections::BTreeSet, sync::Mutex};

use stateright::{Checker as _, CheckerBuilder, HasDiscoveries, Property};

use crate::model::{action::Action, counterexample::Counterexample, definition::Model, properties, world::ModelWorld};

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Found {
    /// The number of different states. If there is a violation: of those that were visited before
    /// it.
    pub states: usize,
    /// The number of steps of the longest path.
    pub depth: usize,
    /// The path to a state that violates an invariant. It is the shortest one, unless the search
    /// was [fast](Model::check_fast).
    pub violation: Option<Counterexample>,
    /// The properties that the scenario should have reached and did not.
    pub unreached: Vec<&'static str>,
}

impl Model {
    /// Visits every state, or stops at the first state that violates an invariant. In that case it
    /// then searches for the shortest path to such a state.
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

    /// Visits the states that are fewer than this many steps away, nearest first.
    fn search(&self, steps: usize) -> Found {
        // The checker counts the states of a path: one more than its steps.
        let depth = steps.saturating_add(1);
        let checker = self.checker_of_failures().target_max_depth(depth);
        self.found(&checker.spawn_bfs().join())
    }

    /// Visits every state on this many threads, in the order that takes the least memory.
    pub fn check_fast(&self, threads: usize) -> Found {
        self.found(&self.checker_of_failures().threads(threads).spawn_dfs().join())
    }

    /// Returns a search that ends with the first violation.
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
            Some(Counterexample::new(self, property.name, path.into_actions()))
        });
        Found { states: checker.unique_state_count(), depth: checker.max_depth(), violation, unreached }
    }
}

impl stateright::Model for Model {
    type State = ModelWorld;
    type Action = Action;

    fn init_states(&self) -> Vec<ModelWorld> {
        vec![ModelWorld::new(&self.scenario)]
    }

    fn actions(&self, world: &ModelWorld, actions: &mut Vec<Action>) {
        self.work_actions(world, actions);
        self.queue_actions(world, actions);
    }

    fn next_state(&self, world: &ModelWorld, action: Action) -> Option<ModelWorld> {
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
