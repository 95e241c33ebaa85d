//! The effect of each action on the world.

use cloakroom::protocol::{Progress, Saw};

use crate::model::{
    action::Action,
    definition::Model,
    entity::Entity,
    member::Member,
    message::{MessageState, NO_COPY},
    record::Record,
    set::NumberSet,
    step::{StepMode, WorkerStep},
    worker::ModelWorker,
    world::ModelWorld,
};

impl ModelWorld {
    /// Performs an action. Returns what the worker saw, if the action is a step of a worker that
    /// saw something.
    pub(super) fn act(&mut self, model: &Model, action: Action) -> Option<Saw> {
        match action {
            Action::Deliver { fold, check_in, when_missing } => {
                fold.iter().for_each(|(message, _)| self.messages[usize::from(*message)].deliveries_left -= 1);
                self.receive(model, &fold, Progress::new(check_in, when_missing), false);
            }
            Action::Work { worker, position, mode, placement } => {
                self.faults -=
                    u8::from(matches!(mode, StepMode::Late | StepMode::Hidden | StepMode::Refused | StepMode::Failed));
                self.stale_reads -= u8::from(matches!(mode, StepMode::Past(_)));
                self.given_up -= u8::from(mode == StepMode::GivenUp);
                return self.work(model, worker, WorkerStep { position, mode, placement });
            }
            Action::Land { late } => {
                let commit = self.late.remove(late);
                self.apply(model, &commit);
            }
            Action::Recovered { message, copy } => {
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
                self.receive(model, &[(message, copy)], Progress::finishing(), true);
            }
            Action::Purge { message, copy } => {
                self.purges -= 1;
                let message = &mut self.messages[usize::from(message)];
                message.queued = message.queued.without(copy);
            }
            Action::Expire { message } => self.expire_entry(model, message),
            Action::Renew { message } => {
                self.renewals -= 1;
                self.renew(model, message);
            }
            Action::ExpireTombstone { entity } => {
                self.expired_tombstones -= 1;
                self.entities[usize::from(entity)] = Entity::default();
            }
            Action::Sweep { message } => {
                self.sweeps -= 1;
                self.receive(model, &[(message, NO_COPY)], Progress::finishing(), true);
            }
            Action::Drop { message } => {
                self.drops -= 1;
                self.drop_record(model, message);
            }
        }
        None
    }

    /// Drops an embedded record: a conditional put of the state's item as it was read, without this
    /// record. Because the put is conditional, the read and the put count as one step. The version
    /// stays the same.
    pub(super) fn drop_record(&mut self, model: &Model, message: u8) {
        let number = usize::from(model.scenario.messages[usize::from(message)].entity);
        self.past[number].push(self.entities[number]);
        self.entities[number].records.drop_of(message);
        self.messages[usize::from(message)].is_dropped = true;
    }

    /// Gives messages to a new worker.
    pub(super) fn receive(&mut self, model: &Model, copies: &[(u8, u8)], progress: Progress, finishes: bool) {
        let claim = |message: u8, copy: u8| self.messages[usize::from(message)].claim(copy);
        let member =
            |(message, copy): &(u8, u8)| Member::new(*message, *copy, claim(*message, *copy), progress, finishes);
        let members = copies.iter().map(member).collect();
        let mut worker = ModelWorker::of(members);
        for position in 0..copies.len() {
            worker.see(model, position, Saw::Delivery);
        }
        self.workers.push(worker);
    }

    /// Expires the dedupe entry of a message. No copy of the message is delivered after that.
    fn expire_entry(&mut self, model: &Model, message: u8) {
        let entity = usize::from(model.scenario.messages[usize::from(message)].entity);
        let records = &mut self.entities[entity].records;
        if let Some(record) = records.of(message) {
            records.put(message, Record { is_expired: true, ..record });
        }
        let message = &mut self.messages[usize::from(message)];
        (message.entry, message.is_over, message.deliveries_left) = (false, true, 0);
    }

    /// Uses the id of a message again, for another message.
    fn renew(&mut self, model: &Model, message: u8) {
        let spec = &model.scenario.messages[usize::from(message)];
        let entity = &mut self.entities[usize::from(spec.entity)];
        entity.applied = entity.applied.without(message);
        let first = NumberSet::default().with(0);
        self.messages[usize::from(message)] = MessageState {
            sent: first,
            queued: first,
            must_be_sent: true,
            recorded_claim: Some(0),
            deliveries_left: spec.deliveries,
            entry: self.messages[usize::from(message)].entry,
            ..MessageState::default()
        };
    }
}
