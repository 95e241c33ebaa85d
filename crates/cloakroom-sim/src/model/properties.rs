//! What has to hold in every state, and what has to come up in some.

use cloakroom::{Outcome, protocol::Do};
use stateright::Property;

use super::{
    Model,
    message::{Message, NO_COPY},
    scenario::{Handler, Identity},
    worker::{Member, Worker},
    world::World,
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
        Property::sometimes("parked", |_, world| is_doing(world, Do::Acknowledge(Outcome::Parked))),
        Property::sometimes("deferred", |_, world| is_doing(world, Do::Acknowledge(Outcome::Deferred))),
        Property::sometimes("left", |_, world| is_doing(world, Do::Leave)),
        Property::sometimes("conflict", |model: &Model, world: &World| {
            world.members().any(|member| commits_at(member).is_some_and(|version| version < now(model, world, member)))
        }),
        Property::sometimes("orphan", |_, world: &World| {
            let is_at_rest = world.workers.is_empty() && world.late.is_empty();
            let has_orphan = |message: &Message| {
                message.payloads.iter().any(|claim| !message.sent.has(claim) && message.rightful != Some(claim))
            };
            is_at_rest && world.messages.iter().any(has_orphan)
        }),
        Property::sometimes("stranded", |model: &Model, world: &World| {
            let is_stranded = |(number, _, one): (u8, _, &Message)| {
                world.is_pending(model, number) && one.queued.is_empty() && !one.dead.is_empty()
            };
            model.each(world).any(is_stranded)
        }),
        Property::sometimes("purged", |model: &Model, world: &World| {
            model.each(world).any(|(number, _, one)| world.is_pending(model, number) && !one.is_queued())
        }),
        Property::sometimes("swept", |_, world: &World| {
            let has_swept =
                |member: &Member| member.copy == NO_COPY && member.todo == Do::Acknowledge(Outcome::Resumed);
            world.members().any(has_swept)
        }),
        Property::sometimes("forgotten", |_, world: &World| world.messages.iter().any(|one| one.is_dropped)),
        Property::sometimes("renewed", |model: &Model, world: &World| world.renewals < model.scenario.renewals),
        Property::sometimes("vanished", |model: &Model, world: &World| {
            world.expired_tombstones < model.scenario.expired_tombstones
        }),
        Property::sometimes("thinned", |_, world: &World| {
            world.workers.iter().any(|worker| !worker.left.is_empty() && matches!(worker.todo(), Do::Commit(_)))
        }),
        Property::sometimes("folded", |model: &Model, world: &World| {
            let folds = |worker: &Worker| worker.members.len() > 1 && will_commit(model, world, worker);
            world.workers.iter().any(folds)
        }),
        Property::sometimes("carried on", |model: &Model, world: &World| {
            let carries = |worker: &Worker| {
                let mut carried = worker.view.iter().flat_map(|view| view.records.messages());
                will_commit(model, world, worker) && carried.any(|message| !world.is_settled(model, message))
            };
            world.workers.iter().any(carries)
        }),
        Property::sometimes("dropped", |model: &Model, world: &World| {
            let drops = |worker: &Worker| {
                let now = world.entity_of(model, worker.members[0].message).records;
                let is_left_out = |message| worker.view.is_some_and(|view| view.records.of(message).is_none());
                will_commit(model, world, worker) && now.messages().any(is_left_out)
            };
            world.workers.iter().any(drops)
        }),
        Property::sometimes("mixed", |_, world: &World| {
            world.entities.iter().any(|entity| !entity.is_complete && entity.records.messages().next().is_some())
        }),
        Property::sometimes("retained", |_, world: &World| {
            world.messages.iter().any(|one| one.record.is_some_and(|record| record.is_retained))
        }),
    ]
}

fn is_doing(world: &World, todo: Do) -> bool {
    world.members().any(|member| member.todo == todo)
}

/// The version on which it wants to commit.
fn commits_at(member: &Member) -> Option<u64> {
    if let Do::Commit(version) = member.todo { Some(version.number()) } else { None }
}

/// The version of its entity.
fn now(model: &Model, world: &World, member: &Member) -> u64 {
    world.entity_of(model, member.message).version.into()
}

/// Its commit would succeed.
fn will_commit(model: &Model, world: &World, worker: &Worker) -> bool {
    worker.members.iter().all(|member| commits_at(member) == Some(now(model, world, member)))
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
        message.sent.is_empty() || is_waiting(model, world, number) || is_done(model, world, number)
    })
}

/// I2, what must always be possible: from here one undisturbed worker at a time finishes everything. What others are about to do
/// counts for nothing, and many states differ in that alone; so each world without it is tried once.
fn one_undisturbed_worker_finishes(model: &Model, world: &World) -> bool {
    let fingerprint = world.fingerprint_without_workers();
    if model.knows_as_finishing(fingerprint) {
        return true;
    }
    let world = World { workers: Vec::new(), late: Vec::new(), ..world.clone() };
    let finishes = model.manners().all(|manner| {
        let mut world = world.clone();
        world.deliver_everything(model, manner) && is_finished(model, &world)
    });
    if finishes {
        model.note_as_finishing(fingerprint);
    }
    finishes
}

fn is_finished(model: &Model, world: &World) -> bool {
    model.each(world).all(|(number, _, message)| {
        !message.is_due || !is_waiting(model, world, number) && is_done(model, world, number)
    }) && no_residue(model, world)
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
            Identity::Id | Identity::Retained => is_done || !message.is_settled(spec.identity),
        }
    })
}

/// I6. Of a message that nobody will receive again nothing is left but a record that is its proof, or that is embedded and settled:
/// the next commit can drop it.
fn no_residue(model: &Model, world: &World) -> bool {
    model.each(world).all(|(number, _, message)| {
        let is_at_rest = !message.sent.is_empty() && !is_waiting(model, world, number);
        // Whoever deletes a message by hand leaves its payload, which expires.
        let payload_is_left = !message.is_dropped && message.sent.iter().any(|claim| message.payloads.has(claim));
        !is_at_rest || !world.is_pending(model, number) && !payload_is_left
    })
}

/// Somebody will receive it, or put it back; or finish its record, or drop it, if there are sweeps.
fn is_waiting(model: &Model, world: &World, number: u8) -> bool {
    let is_swept = model.scenario.sweeps > 0 || model.scenario.drops > 0;
    world.messages[usize::from(number)].is_queued() || is_swept && world.is_pending(model, number)
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
