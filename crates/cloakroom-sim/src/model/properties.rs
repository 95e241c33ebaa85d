//! What has to hold in every state, and what has to come up in some.

use cloakroom::protocol::{CheckIn, Do, Memory, Outcome, WhenMissing};
use stateright::Property;

use super::{
    Model,
    scenario::{Handler, Identity},
    work::How,
    world::{Message, NO_COPY, Worker, World},
};

/// The invariants of the protocol.
pub(super) fn always() -> Vec<Property<Model>> {
    vec![
        Property::always("at most once", at_most_once),
        Property::always("no loss", no_loss),
        Property::always("one undisturbed worker finishes", one_undisturbed_worker_finishes),
        Property::always("no ghost", no_ghost),
        Property::always("payload lives", payload_lives),
        Property::always("no resurrection", |_, world: &World| {
            world.messages.iter().all(|message| !message.is_rewritten)
        }),
        Property::always("no residue", no_residue),
        Property::always("versions grow", |_, world: &World| !world.went_back),
    ]
}

/// What shows that the interesting states are reached; a scenario names those that it has to reach.
pub(super) fn sometimes() -> Vec<Property<Model>> {
    vec![
        Property::sometimes("resumed", |_, world| is_doing(world, Do::Acknowledge(Outcome::Resumed))),
        Property::sometimes("duplicate", |_, world| is_doing(world, Do::Acknowledge(Outcome::Duplicate))),
        Property::sometimes("withdrawn", |_, world| is_doing(world, Do::Withdraw)),
        Property::sometimes("parked", |_, world| is_doing(world, Do::Acknowledge(Outcome::Parked))),
        Property::sometimes("left", |_, world| is_doing(world, Do::Leave)),
        Property::sometimes("conflict", |model: &Model, world: &World| {
            let is_late =
                |worker: &Worker, version: u64| version < world.entity_of(model, worker.message).version.into();
            let is_doomed =
                |worker: &Worker| matches!(worker.todo, Do::Commit(version) if is_late(worker, version.number()));
            world.workers.iter().any(is_doomed)
        }),
        Property::sometimes("orphan", |_, world: &World| {
            let is_at_rest = world.workers.is_empty() && world.late.is_empty();
            let has_orphan = |message: &Message| {
                message.payloads.iter().any(|claim| !message.sent.has(claim) && message.rightful != Some(claim))
            };
            is_at_rest && world.messages.iter().any(has_orphan)
        }),
        Property::sometimes("stranded", |_, world: &World| {
            let is_stranded = |one: &Message| one.record.is_some() && one.queued.is_empty() && !one.dead.is_empty();
            world.messages.iter().any(is_stranded)
        }),
        Property::sometimes("purged", |_, world: &World| {
            world.messages.iter().any(|one| one.record.is_some() && !one.is_waiting(false))
        }),
        Property::sometimes("swept", |_, world: &World| {
            let has_swept =
                |worker: &Worker| worker.copy == NO_COPY && worker.todo == Do::Acknowledge(Outcome::Resumed);
            world.workers.iter().any(has_swept)
        }),
    ]
}

fn is_doing(world: &World, todo: Do) -> bool {
    world.workers.iter().any(|worker| worker.todo == todo)
}

/// I1. No message commits twice; and the state holds what was committed, all of it.
fn at_most_once(model: &Model, world: &World) -> bool {
    let is_deleted = |entity: u8| {
        model.scenario.messages.iter().any(|spec| spec.entity == entity && spec.handler == Handler::Deletes)
    };
    model.each(world).all(|(number, spec, message)| {
        let is_in_state = world.entities[usize::from(spec.entity)].applied.has(number);
        message.commits <= 1 && (is_deleted(spec.entity) || is_in_state == (message.commits > 0))
    })
}

/// I2, what must never have happened: a message that nobody will receive again, and that was not finished.
fn no_loss(model: &Model, world: &World) -> bool {
    model.each(world).all(|(number, _, message)| {
        message.sent.is_empty() || is_waiting(model, message) || is_done(model, world, number)
    })
}

/// I2, what must always be possible: from here one undisturbed worker at a time finishes everything.
fn one_undisturbed_worker_finishes(model: &Model, world: &World) -> bool {
    model.scenario.timings.iter().all(|check_in| {
        let mut world = World { workers: Vec::new(), late: Vec::new(), ..world.clone() };
        world.deliver_everything(model, *check_in) && is_finished(model, &world)
    })
}

fn is_finished(model: &Model, world: &World) -> bool {
    model
        .each(world)
        .all(|(number, _, message)| !message.is_due || !is_waiting(model, message) && is_done(model, world, number))
        && no_residue(model, world)
        && at_most_once(model, world)
}

/// I3. What was sent was committed before, under this claim.
fn no_ghost(model: &Model, world: &World) -> bool {
    model
        .each(world)
        .all(|(_, spec, message)| spec.is_first || message.sent.iter().all(|claim| message.rightful == Some(claim)))
}

/// I4. The payload of what was sent is there until its receiver has committed, and sent what that demands.
fn payload_lives(model: &Model, world: &World) -> bool {
    model.each(world).all(|(number, spec, message)| {
        let is_done = is_done(model, world, number);
        match spec.identity {
            Identity::Claim => is_done || message.sent.iter().all(|claim| message.payloads.has(claim)),
            Identity::Id => is_done || !message.entry,
        }
    })
}

/// I6. Of a message that nobody will receive again nothing is left.
fn no_residue(model: &Model, world: &World) -> bool {
    model.each(world).all(|(_, _, message)| {
        let is_at_rest = !message.sent.is_empty() && !is_waiting(model, message);
        let payload_is_left = message.sent.iter().any(|claim| message.payloads.has(claim));
        !is_at_rest || message.record.is_none() && !payload_is_left
    })
}

/// Somebody will see to it.
const fn is_waiting(model: &Model, message: &Message) -> bool {
    message.is_waiting(model.scenario.sweeps > 0)
}

/// It was committed, and everything that its commit demands was sent.
fn is_done(model: &Model, world: &World, number: u8) -> bool {
    let message = &world.messages[usize::from(number)];
    if message.commits == 0 {
        return message.is_skipped;
    }
    model.scenario.messages[usize::from(number)].sends.iter().all(|child| {
        let child = &world.messages[*child];
        !child.is_due || child.rightful.is_some_and(|claim| child.sent.has(claim))
    })
}

/// More rounds than any scenario needs.
const ROUNDS_MAX: usize = 8;
/// More steps than a worker needs whom nobody disturbs.
const STEPS_MAX: usize = 40;

impl World {
    /// Delivers whatever waits, one message at a time, and puts back what is in dead-letter queues; false if
    /// that comes to no end.
    fn deliver_everything(&mut self, model: &Model, check_in: CheckIn) -> bool {
        for _ in 0..ROUNDS_MAX {
            let waiting: Vec<(u8, u8)> = model
                .each(self)
                .flat_map(|(number, _, one)| one.queued.iter().map(move |copy| (number, copy)))
                .collect();
            for (number, copy) in &waiting {
                let memory = Memory::new(check_in, WhenMissing::Acknowledge);
                if !self.deliver_undisturbed(model, *number, *copy, memory, false) {
                    return false;
                }
            }
            if model.scenario.sweeps > 0 && !self.sweep_undisturbed(model) {
                return false;
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

    /// Finishes every record there is.
    fn sweep_undisturbed(&mut self, model: &Model) -> bool {
        let records = model.each(self).filter(|(_, _, one)| one.record.is_some());
        let numbers: Vec<u8> = records.map(|(number, _, _)| number).collect();
        numbers.into_iter().all(|number| self.deliver_undisturbed(model, number, NO_COPY, Memory::finishing(), true))
    }

    /// Lets one worker work until it has nothing to do.
    fn deliver_undisturbed(&mut self, model: &Model, message: u8, copy: u8, memory: Memory, finishes: bool) -> bool {
        self.receive(model, message, copy, memory, finishes);
        for _ in 0..STEPS_MAX {
            if self.workers.is_empty() {
                return true;
            }
            self.work(model, 0, How::Well);
        }
        false
    }
}
