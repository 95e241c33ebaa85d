//! What becomes of a world in which nobody is disturbed any more.

use cloakroom::protocol::{CheckIn, Progress, WhenMissing};

use super::{
    Model,
    message::NO_COPY,
    scenario::Placement,
    work::{How, Step},
    world::World,
};

/// More rounds than any scenario needs.
const ROUNDS_MAX: usize = 8;
/// More steps than a worker needs for a message if nobody disturbs it.
const STEPS_MAX: usize = 40;

/// How they work who come after all others have stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) check_in: CheckIn,
    pub(super) placement: Placement,
    /// How many messages are committed together.
    pub(super) fold_max: usize,
}

impl Model {
    /// All manners of a scenario.
    pub(super) fn manners(&self) -> impl Iterator<Item = Manner> {
        let folds = if self.scenario.fold_max > 1 { vec![1, self.scenario.fold_max] } else { vec![1] };
        let of = |check_in| move |placement| (check_in, placement);
        let pairs =
            self.scenario.timings.iter().flat_map(move |check_in| self.scenario.placements.iter().map(of(check_in)));
        pairs.flat_map(move |(check_in, placement)| {
            let manner = |fold_max| Manner { check_in: *check_in, placement: *placement, fold_max };
            folds.clone().into_iter().map(manner)
        })
    }
}

impl World {
    /// Delivers whatever waits, one worker at a time, and puts back what is in dead-letter queues; false if
    /// that comes to no end.
    pub(super) fn deliver_everything(&mut self, model: &Model, manner: Manner) -> bool {
        for _ in 0..ROUNDS_MAX {
            for fold in self.waiting(model, manner.fold_max) {
                let memory = Progress::new(manner.check_in, WhenMissing::Acknowledge);
                self.receive(model, &fold, memory, false);
                if !self.go_on_undisturbed(model, manner.placement, fold.len()) {
                    return false;
                }
            }
            if model.scenario.sweeps > 0 && !self.sweep_undisturbed(model, manner) {
                return false;
            }
            if model.scenario.drops > 0 {
                // Time passes, and no late copy comes any more.
                self.messages.iter_mut().for_each(|message| message.deliveries_left = 0);
                let droppable =
                    model.each(self).map(|(number, ..)| number).filter(|number| self.can_drop(model, *number));
                droppable.collect::<Vec<_>>().into_iter().for_each(|number| self.drop_record(model, number));
            }
            for message in &mut self.messages {
                message.dead.iter().for_each(|copy| message.put_back(copy));
            }
            if self.messages.iter().all(|message| message.queued.is_empty()) {
                return true;
            }
        }
        false
    }

    /// Every copy that waits, with others of its entity if they are received together.
    fn waiting(&self, model: &Model, fold_max: usize) -> Vec<Vec<(u8, u8)>> {
        let mut folds: Vec<Vec<(u8, u8)>> = Vec::new();
        let copies = model.each(self).flat_map(|(message, _, one)| one.queued.iter().map(move |copy| (message, copy)));
        for (message, copy) in copies {
            let takes = |fold: &&mut Vec<_>| fold.len() < fold_max && model.can_join(fold, message);
            match folds.iter_mut().find(takes) {
                Some(fold) => fold.push((message, copy)),
                None => folds.push(vec![(message, copy)]),
            }
        }
        folds
    }

    /// Finishes every record there is.
    fn sweep_undisturbed(&mut self, model: &Model, manner: Manner) -> bool {
        let numbers: Vec<u8> = model.each(self).map(|(number, ..)| number).collect();
        numbers.into_iter().filter(|number| self.is_pending(model, *number)).collect::<Vec<_>>().into_iter().all(
            |number| {
                self.receive(model, &[(number, NO_COPY)], Progress::finishing(), true);
                self.go_on_undisturbed(model, manner.placement, 1)
            },
        )
    }

    /// Lets the workers there are, who began as one with so many messages, work until they have nothing to do.
    fn go_on_undisturbed(&mut self, model: &Model, placement: Placement, messages: usize) -> bool {
        for _ in 0..STEPS_MAX * messages {
            let Some(worker) = self.workers.first() else { return true };
            let todo = worker.todo();
            let place = worker.members.iter().position(|member| member.todo == todo).unwrap_or_default();
            self.work(model, 0, Step { place, how: How::Well, placement });
        }
        false
    }
}
