//! The properties of the model: invariants of every state, and states that a scenario must reach.

use cloakroom::{Outcome, protocol::Do};
use stateright::Property;

use crate::model::{
    definition::Model,
    member::Member,
    message::{MessageState, NO_COPY},
    scenario::{Handler, Identity},
    worker::ModelWorker,
    world::ModelWorld,
};

/// The invariants of the protocol.
pub(super) fn always() -> Vec<Property<Model>> {
    vec![
        Property::always("at most once", at_most_once),
        Property::always("no loss", no_loss),
        Property::always("one undisturbed worker finishes", one_undisturbed_worker_finishes),
        Property::always("no ghost", no_ghost),
        Property::always("payload lives", payload_lives),
        Property::always("no resurrection", |_, world: &ModelWorld| {
            world.messages.iter().all(|message| !message.is_rewritten)
        }),
        Property::always("no residue", no_residue),
        Property::always("versions grow", |_, world: &ModelWorld| !world.version_decreased),
    ]
}

/// The states that are of interest. A scenario names those that it must reach.
pub(super) fn sometimes() -> Vec<Property<Model>> {
    vec![
        Property::sometimes("resumed", |_, world| is_doing(world, Do::Acknowledge(Outcome::Resumed))),
        Property::sometimes("duplicate", |_, world| is_doing(world, Do::Acknowledge(Outcome::Duplicate))),
        Property::sometimes("parked", |_, world| is_doing(world, Do::Acknowledge(Outcome::Parked))),
        Property::sometimes("deferred", |_, world| is_doing(world, Do::Acknowledge(Outcome::Deferred))),
        Property::sometimes("left", |_, world| is_doing(world, Do::Leave)),
        Property::sometimes("conflict", |model: &Model, world: &ModelWorld| {
            world.members().any(|member| commits_at(member).is_some_and(|version| version < now(model, world, member)))
        }),
        Property::sometimes("orphan", |_, world: &ModelWorld| {
            let is_at_rest = world.workers.is_empty() && world.late.is_empty();
            let has_orphan = |message: &MessageState| {
                message.payloads.iter().any(|claim| !message.sent.has(claim) && message.recorded_claim != Some(claim))
            };
            is_at_rest && world.messages.iter().any(has_orphan)
        }),
        Property::sometimes("stranded", |model: &Model, world: &ModelWorld| {
            let is_stranded = |(number, _, one): (u8, _, &MessageState)| {
                world.is_pending(model, number) && one.queued.is_empty() && !one.dead.is_empty()
            };
            world.each(model).any(is_stranded)
        }),
        Property::sometimes("purged", |model: &Model, world: &ModelWorld| {
            world.each(model).any(|(number, _, one)| world.is_pending(model, number) && !one.is_queued())
        }),
        Property::sometimes("swept", |_, world: &ModelWorld| {
            let has_swept =
                |member: &Member| member.copy == NO_COPY && member.todo == Do::Acknowledge(Outcome::Resumed);
            world.members().any(has_swept)
        }),
        Property::sometimes("forgotten", |_, world: &ModelWorld| world.messages.iter().any(|one| one.is_dropped)),
        Property::sometimes("renewed", |model: &Model, world: &ModelWorld| world.renewals < model.scenario.renewals),
        Property::sometimes("vanished", |model: &Model, world: &ModelWorld| {
            world.expired_tombstones < model.scenario.expired_tombstones
        }),
        Property::sometimes("thinned", |_, world: &ModelWorld| {
            world.workers.iter().any(|worker| !worker.left.is_empty() && matches!(worker.todo(), Do::Commit(_)))
        }),
        Property::sometimes("folded", |model: &Model, world: &ModelWorld| {
            let folds = |worker: &ModelWorker| worker.members.len() > 1 && will_commit(model, world, worker);
            world.workers.iter().any(folds)
        }),
        Property::sometimes("carried on", |model: &Model, world: &ModelWorld| {
            let carries = |worker: &ModelWorker| {
                let mut carried = worker.view.iter().flat_map(|view| view.records.messages());
                will_commit(model, world, worker) && carried.any(|message| !world.is_settled(model, message))
            };
            world.workers.iter().any(carries)
        }),
        Property::sometimes("dropped", |model: &Model, world: &ModelWorld| {
            let drops = |worker: &ModelWorker| {
                let now = world.entity_of(model, worker.members[0].message).records;
                let is_left_out = |message| worker.view.is_some_and(|view| view.records.of(message).is_none());
                will_commit(model, world, worker) && now.messages().any(is_left_out)
            };
            world.workers.iter().any(drops)
        }),
        Property::sometimes("mixed", |_, world: &ModelWorld| {
            world.entities.iter().any(|entity| !entity.is_complete && entity.records.messages().next().is_some())
        }),
        Property::sometimes("retained", |_, world: &ModelWorld| {
            world.messages.iter().any(|one| one.record.is_some_and(|record| record.is_retained))
        }),
    ]
}

fn is_doing(world: &ModelWorld, todo: Do) -> bool {
    world.members().any(|member| member.todo == todo)
}

/// The version on which the member is about to commit.
fn commits_at(member: &Member) -> Option<u64> {
    if let Do::Commit(version) = member.todo { Some(version.number()) } else { None }
}

/// The current version of the member's entity.
fn now(model: &Model, world: &ModelWorld, member: &Member) -> u64 {
    world.entity_of(model, member.message).version.into()
}

/// Whether the worker's commit would apply.
fn will_commit(model: &Model, world: &ModelWorld, worker: &ModelWorker) -> bool {
    worker.members.iter().all(|member| commits_at(member) == Some(now(model, world, member)))
}

/// I1. No message commits twice, and the state holds exactly what was committed.
fn at_most_once(model: &Model, world: &ModelWorld) -> bool {
    let is_deleted = |entity: u8| {
        model.scenario.messages.iter().any(|spec| spec.entity == entity && spec.handler == Handler::Deletes)
    };
    world.each(model).all(|(number, spec, message)| {
        let is_in_state = world.entities[usize::from(spec.entity)].applied.has(number);
        message.commits <= 1 && (is_deleted(spec.entity) || is_in_state == (message.commits > 0))
    })
}

/// I2, safety. A message with no copy left in a queue was finished.
fn no_loss(model: &Model, world: &ModelWorld) -> bool {
    world.each(model).all(|(number, _, message)| {
        message.sent.is_empty() || is_waiting(model, world, number) || is_done(model, world, number)
    })
}

/// I2, liveness. From every state one undisturbed worker at a time can finish everything. The next
/// steps of existing workers do not matter for that. Many states differ only in those workers, so
/// each world is tried once without them.
fn one_undisturbed_worker_finishes(model: &Model, world: &ModelWorld) -> bool {
    let fingerprint = world.fingerprint_without_workers();
    if model.is_known_to_finish(fingerprint) {
        return true;
    }
    let world = ModelWorld { workers: Vec::new(), late: Vec::new(), ..world.clone() };
    let finishes = model.undisturbed_settings().all(|settings| {
        let mut world = world.clone();
        world.deliver_everything(model, settings) && is_finished(model, &world)
    });
    if finishes {
        model.note_finishing(fingerprint);
    }
    finishes
}

fn is_finished(model: &Model, world: &ModelWorld) -> bool {
    world.each(model).all(|(number, _, message)| {
        !message.must_be_sent || !is_waiting(model, world, number) && is_done(model, world, number)
    }) && no_residue(model, world)
        && at_most_once(model, world)
}

/// I3. Every message that was sent was committed before, under this claim.
fn no_ghost(model: &Model, world: &ModelWorld) -> bool {
    world.each(model).all(|(_, spec, message)| {
        spec.is_first || message.sent.iter().all(|claim| message.recorded_claim == Some(claim))
    })
}

/// I4. The payload of a message exists until its receiver has committed it and has dispatched what
/// it sends.
fn payload_lives(model: &Model, world: &ModelWorld) -> bool {
    world.each(model).all(|(number, spec, message)| {
        let is_done = is_done(model, world, number);
        match spec.identity {
            Identity::Claim => is_done || message.sent.iter().all(|claim| message.payloads.has(claim)),
            Identity::Id | Identity::Retained => is_done || !message.is_settled(spec.identity),
        }
    })
}

/// I6. If no copy of a message is left in a queue, its payload is gone, and so is its record. A
/// record may stay if it is retained, or if it is embedded and settled: the next commit can drop
/// it.
fn no_residue(model: &Model, world: &ModelWorld) -> bool {
    world.each(model).all(|(number, _, message)| {
        let is_at_rest = !message.sent.is_empty() && !is_waiting(model, world, number);
        // An operator who deletes a message leaves its payload behind. The payload expires.
        let payload_is_left = !message.is_dropped && message.sent.iter().any(|claim| message.payloads.has(claim));
        !is_at_rest || !world.is_pending(model, number) && !payload_is_left
    })
}

/// Whether a copy is in a queue. If the scenario has sweeps: also whether a record is left to
/// finish or to drop.
fn is_waiting(model: &Model, world: &ModelWorld, number: u8) -> bool {
    let is_swept = model.scenario.sweeps > 0 || model.scenario.drops > 0;
    world.messages[usize::from(number)].is_queued() || is_swept && world.is_pending(model, number)
}

/// Whether the message was committed and everything that it sends was dispatched.
fn is_done(model: &Model, world: &ModelWorld, number: u8) -> bool {
    let message = &world.messages[usize::from(number)];
    if message.commits == 0 {
        return message.is_skipped;
    }
    model.scenario.messages[usize::from(number)].sends.iter().all(|child| {
        let child = &world.messages[*child];
        !child.must_be_sent || child.recorded_claim.is_some_and(|claim| child.sent.has(claim))
    })
}
