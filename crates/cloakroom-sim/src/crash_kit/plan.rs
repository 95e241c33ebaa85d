//! Plans: the steps at which a run is disturbed, and how. The search tries all plans, the simplest
//! first.

use crate::{crash_kit::events::CallOutcome, wire::Operation};

/// A disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    /// The other delivery continues.
    Switch,
    /// The current process stops.
    Stop,
    /// A call has another outcome than its response.
    Call(CallOutcome),
}

/// Disturbances, by their steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan(Vec<(usize, Disturbance)>);

impl Plan {
    pub(super) fn of(step: usize, disturbance: Disturbance) -> Self {
        Self(vec![(step, disturbance)])
    }

    pub(super) fn at(&self, step: usize) -> Option<Disturbance> {
        self.0.iter().find(|(number, _)| *number == step).map(|(_, disturbance)| *disturbance)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn stops(&self) -> usize {
        self.0.iter().filter(|(_, disturbance)| *disturbance == Disturbance::Stop).count()
    }

    fn and(&self, step: usize, disturbance: Disturbance) -> Self {
        Self(self.0.iter().copied().chain([(step, disturbance)]).collect())
    }

    /// The first step after all disturbances.
    fn end(&self) -> usize {
        self.0.last().map_or(0, |(step, _)| step + 1)
    }
}

/// What could have been disturbed at a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// The call of this step.
    pub(super) operation: Operation,
    /// Another delivery could continue instead.
    pub(super) has_other: bool,
}

/// The plans that are tried.
#[derive(Clone, Copy)]
pub(super) struct Search {
    /// Returns the disturbances that may come next.
    pub(super) disturbances: fn(&Plan, Choice) -> Vec<Disturbance>,
    /// The maximum number of disturbances in one run.
    pub(super) disturbances_max: usize,
    /// The maximum number of runs. Runs with at most one disturbance are made beyond the maximum,
    /// too.
    pub(super) runs_max: usize,
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) runs: usize,
    /// All plans with up to this many disturbances were tried.
    pub(super) disturbances: usize,
    /// The number of plans with one disturbance more that were not tried.
    pub(super) left_out: usize,
}

impl Tried {
    /// The number of runs with a disturbance: all but the first of the search.
    pub(super) const fn disturbed(self) -> usize {
        self.runs.saturating_sub(1)
    }
}

impl Search {
    /// Runs every plan: first without a disturbance, then with one, then with two, until there are
    /// no more plans or the bound is reached. If the bound does not allow all plans of the last
    /// number of disturbances, the plans that are run are spread evenly.
    pub(super) fn each<E>(self, mut run: impl FnMut(&Plan) -> Result<Vec<Choice>, E>) -> Result<Tried, E> {
        let mut tried = Tried::default();
        let mut plans = vec![Plan::default()];
        for disturbances in 0..=self.disturbances_max {
            let left = if disturbances > 1 { self.runs_max.saturating_sub(tried.runs) } else { usize::MAX };
            let taken = plans.len().min(left);
            let mut next = Vec::new();
            for number in 0..taken {
                let plan = &plans[number * plans.len() / taken];
                let choices = run(plan)?;
                if disturbances < self.disturbances_max && taken == plans.len() {
                    self.extend(plan, &choices, &mut next);
                }
            }
            tried.runs += taken;
            if taken < plans.len() {
                tried.left_out = plans.len() - taken;
                break;
            }
            tried.disturbances = disturbances;
            if next.is_empty() {
                break;
            }
            plans = next;
        }
        Ok(tried)
    }

    fn extend(self, plan: &Plan, choices: &[Choice], plans: &mut Vec<Plan>) {
        for (step, choice) in choices.iter().enumerate().skip(plan.end()) {
            plans.extend((self.disturbances)(plan, *choice).into_iter().map(|disturbance| plan.and(step, disturbance)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn tried(runs_max: usize, disturbances_max: usize) -> (Tried, Vec<Plan>) {
        let choice = Choice { operation: Operation::ReadState, has_other: false };
        let search = Search { disturbances: |_, _| vec![Disturbance::Stop], disturbances_max, runs_max };
        let mut plans = Vec::new();
        let tried = search.each(|plan| {
            plans.push(plan.clone());
            Ok::<_, Infallible>(vec![choice; 4])
        });
        (tried.unwrap_or_else(|never| match never {}), plans)
    }

    #[test]
    fn each_plan_is_tried_once_and_the_simplest_first() {
        let (tried, plans) = tried(1_000, 2);
        assert_eq!(tried, Tried { runs: 1 + 4 + 6, disturbances: 2, left_out: 0 });
        assert!(plans.iter().enumerate().all(|(number, plan)| !plans[..number].contains(plan)));
        assert!(plans.is_sorted_by_key(|plan| plan.0.len()));
    }

    #[test]
    fn plans_left_out_by_a_bound_are_counted() {
        let (tried, plans) = tried(7, 9);
        assert_eq!(tried, Tried { runs: 7, disturbances: 1, left_out: 4 });
        assert_eq!(plans.len(), 7);
    }
}
