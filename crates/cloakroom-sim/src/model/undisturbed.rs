//! Running a world to its end without faults, one worker at a time.

use cloakroom::protocol::{CheckIn, Progress, WhenMissing};

use crate::model::{
    definition::Model,
    message::NO_COPY,
    scenario::Placement,
    step::{StepMode, WorkerStep},
    world::ModelWorld,
};

/// More rounds than any scenario needs.
const ROUNDS_MAX: usize = 8;
/// More steps than an undisturbed worker needs for one message.
const STEPS_MAX: usize = 40;

/// How the workers process messages after all others have stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct UndisturbedSettings {
    pub(super) check_in: CheckIn,
    pub(super) placement: Placement,
    /// How many messages are committed together.
    pub(super) fold_max: usize,
}

impl Model {
    /// All settings that the scenario allows.
    pub(super) fn undisturbed_settings(&self) -> impl Iterator<Item = UndisturbedSettings> {
        let folds = if self.scenario.fold_max > 1 { vec![1, self.scenario.fold_max] } else { vec![1] };
        let of = |check_in| move |placement| (check_in, placement);
        let pairs =
            self.scenario.timings.iter().flat_map(move |check_in| self.scenario.placements.iter().map(of(check_in)));
        pairs.flat_map(move |(check_in, placement)| {
            let settings = |fold_max| UndisturbedSettings { check_in: *check_in, placement: *placement, fold_max };
            folds.clone().into_iter().map(settings)
        })
    }
}

impl ModelWorld {
    /// Delivers every waiting copy, one worker at a time, and moves copies back from dead-letter
    /// queues. Returns false if that does not end.
    pub(super) fn deliver_everything(&mut self, model: &Model, settings: UndisturbedSettings) -> bool {
        for _ in 0..ROUNDS_MAX {
            for fold in self.waiting(model, settings.fold_max) {
                let progress = Progress::new(settings.check_in, WhenMissing::Acknowledge);
                self.receive(model, &fold, progress, false);
                if !self.work_undisturbed(model, settings.placement, fold.len()) {
                    return false;
                }
            }
            if model.scenario.sweeps > 0 && !self.sweep_undisturbed(model, settings) {
                return false;
            }
            if model.scenario.drops > 0 {
                // Time passes until no late copy can be delivered.
                self.messages.iter_mut().for_each(|message| message.deliveries_left = 0);
                let droppable =
                    self.each(model).map(|(number, ..)| number).filter(|number| self.can_drop(model, *number));
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

    /// Every copy that waits. Copies of one entity are together, up to `fold_max`.
    fn waiting(&self, model: &Model, fold_max: usize) -> Vec<Vec<(u8, u8)>> {
        let mut folds: Vec<Vec<(u8, u8)>> = Vec::new();
        let copies = self.each(model).flat_map(|(message, _, one)| one.queued.iter().map(move |copy| (message, copy)));
        for (message, copy) in copies {
            let takes = |fold: &&mut Vec<_>| fold.len() < fold_max && model.can_join(fold, message);
            match folds.iter_mut().find(takes) {
                Some(fold) => fold.push((message, copy)),
                None => folds.push(vec![(message, copy)]),
            }
        }
        folds
    }

    /// Finishes every record.
    fn sweep_undisturbed(&mut self, model: &Model, settings: UndisturbedSettings) -> bool {
        let numbers: Vec<u8> = self.each(model).map(|(number, ..)| number).collect();
        numbers.into_iter().filter(|number| self.is_pending(model, *number)).collect::<Vec<_>>().into_iter().all(
            |number| {
                self.receive(model, &[(number, NO_COPY)], Progress::finishing(), true);
                self.work_undisturbed(model, settings.placement, 1)
            },
        )
    }

    /// Runs all workers until they have no step left. They began as one worker with this many
    /// messages.
    fn work_undisturbed(&mut self, model: &Model, placement: Placement, messages: usize) -> bool {
        for _ in 0..STEPS_MAX * messages {
            let Some(worker) = self.workers.first() else { return true };
            let todo = worker.todo();
            let position = worker.members.iter().position(|member| member.todo == todo).unwrap_or_default();
            self.work(model, 0, WorkerStep { position, mode: StepMode::Normal, placement });
        }
        false
    }
}
