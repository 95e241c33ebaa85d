//! Plans: at which steps a run is disturbed, and how; and the search through all of them, the simplest first.

use super::gate::Way;
use crate::wire::Operation;

/// A disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twist {
    /// The other delivery goes on.
    Switch,
    /// The process that has the turn dies.
    Stop,
    /// A call is not simply answered.
    Call(Way),
}

/// Disturbances, by their step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan(Vec<(usize, Twist)>);

impl Plan {
    pub(super) fn of(step: usize, twist: Twist) -> Self {
        Self(vec![(step, twist)])
    }

    pub(super) fn at(&self, step: usize) -> Option<Twist> {
        self.0.iter().find(|(number, _)| *number == step).map(|(_, twist)| *twist)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn stops(&self) -> usize {
        self.0.iter().filter(|(_, twist)| *twist == Twist::Stop).count()
    }

    fn and(&self, step: usize, twist: Twist) -> Self {
        Self(self.0.iter().copied().chain([(step, twist)]).collect())
    }

    /// The first step that comes after all disturbances.
    fn end(&self) -> usize {
        self.0.last().map_or(0, |(step, _)| step + 1)
    }
}

/// What could have been disturbed at a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// The call that would be made.
    pub(super) operation: Operation,
    /// Another delivery could go on instead.
    pub(super) has_other: bool,
}

/// Which plans are tried.
#[derive(Clone, Copy)]
pub(super) struct Search {
    /// The disturbances that may come next.
    pub(super) twists: fn(&Plan, Choice) -> Vec<Twist>,
    /// At most that many in one run.
    pub(super) twists_max: usize,
    /// Not counting the runs with no more than one disturbance, which are all tried.
    pub(super) runs_max: usize,
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) runs: usize,
    /// All plans with up to this many disturbances were.
    pub(super) twists: usize,
    /// Plans with one more that were not.
    pub(super) left_out: usize,
}

impl Tried {
    /// Runs with a disturbance: all but the first of the search.
    pub(super) const fn disturbed(self) -> usize {
        self.runs.saturating_sub(1)
    }
}

impl Search {
    /// Has every plan run: first without a disturbance, then with one, then with two, until there are no more or the bound
    /// is reached. Of those with the last number of disturbances as many are tried as the bound allows, spread evenly.
    pub(super) fn each<E>(self, mut run: impl FnMut(&Plan) -> Result<Vec<Choice>, E>) -> Result<Tried, E> {
        let mut tried = Tried::default();
        let mut plans = vec![Plan::default()];
        for twists in 0..=self.twists_max {
            let left = if twists > 1 { self.runs_max.saturating_sub(tried.runs) } else { usize::MAX };
            let taken = plans.len().min(left);
            let mut next = Vec::new();
            for number in 0..taken {
                let plan = &plans[number * plans.len() / taken];
                let choices = run(plan)?;
                if twists < self.twists_max && taken == plans.len() {
                    self.extend(plan, &choices, &mut next);
                }
            }
            tried.runs += taken;
            if taken < plans.len() {
                tried.left_out = plans.len() - taken;
                break;
            }
            tried.twists = twists;
            if next.is_empty() {
                break;
            }
            plans = next;
        }
        Ok(tried)
    }

    fn extend(self, plan: &Plan, choices: &[Choice], plans: &mut Vec<Plan>) {
        for (step, choice) in choices.iter().enumerate().skip(plan.end()) {
            plans.extend((self.twists)(plan, *choice).into_iter().map(|twist| plan.and(step, twist)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn tried(runs_max: usize, twists_max: usize) -> (Tried, Vec<Plan>) {
        let choice = Choice { operation: Operation::ReadState, has_other: false };
        let search = Search { twists: |_, _| vec![Twist::Stop], twists_max, runs_max };
        let mut plans = Vec::new();
        let tried = search.each(|plan| {
            plans.push(plan.clone());
            Ok::<_, Infallible>(vec![choice; 4])
        });
        (tried.unwrap_or_else(|never| match never {}), plans)
    }

    #[test]
    fn plans_are_tried_once_each_and_the_simplest_first() {
        let (tried, plans) = tried(1_000, 2);
        assert_eq!(tried, Tried { runs: 1 + 4 + 6, twists: 2, left_out: 0 });
        assert!(plans.iter().enumerate().all(|(number, plan)| !plans[..number].contains(plan)));
        assert!(plans.is_sorted_by_key(|plan| plan.0.len()));
    }

    #[test]
    fn what_a_bound_leaves_out_is_told() {
        let (tried, plans) = tried(7, 9);
        assert_eq!(tried, Tried { runs: 7, twists: 1, left_out: 4 });
        assert_eq!(plans.len(), 7);
    }
}
