//! What a worker's step does to the world: the model's counterpart of the engine.

use cloakroom::protocol::{Do, Saw};

use super::{
    Model,
    message::{NO_COPY, PUT_BACK},
    scenario::{Identity, Placement},
    worker::{Member, Worker, claims_of},
    world::{Claims, Entity, World, version},
    wrong_orders::{Detour, WrongOrder},
};

/// How a step is performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As it should be.
    Well,
    /// A commit that its worker has no answer to, and that may apply at any time, or never.
    Late,
    /// A commit that applies, and whose repetition by the client library is told that a condition failed.
    Hidden,
    /// A read that sees what was there before anything happened.
    Stale,
    /// A read of the state that sees what it was before it was changed for this time, counted from 0.
    Past(usize),
    /// A payload is read, and later the handler fails for good.
    Failing,
    /// Not the commit itself: the worker sees that this message, whose record the commit would carry on, is settled, and leaves it out.
    Without(u8),
}

/// A step of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Which of its messages it is about, unless it is about all of them.
    pub(super) place: usize,
    pub(super) how: How,
    /// Where the commit puts records, as far as they can be embedded.
    pub(super) placement: Placement,
}

impl World {
    /// Lets a worker take one step. What it saw, if it comes to see anything.
    pub(super) fn work(&mut self, model: &Model, index: usize, step: Step) -> Option<Saw> {
        let mut worker = std::mem::replace(&mut self.workers[index], Worker { view: None, members: Vec::new() });
        let todo = worker.todo();
        let saw = match todo {
            Do::ReadState(_) => Some(self.read_state(model, &mut worker, todo, step.how)),
            Do::Commit(version) => self.commit(model, &mut worker, version, step),
            Do::ReadRecord
            | Do::ReadPayload
            | Do::Withdraw
            | Do::Handle
            | Do::Park
            | Do::CheckIn
            | Do::StoreClaims
            | Do::Dispatch
            | Do::Settle
            | Do::Clear
            | Do::Acknowledge(_)
            | Do::Leave => {
                let saw = self.perform(model, &mut worker, step.place, step.how);
                if let Some(saw) = saw {
                    worker.see(model, step.place, saw);
                }
                saw
            }
        };
        worker.go_on(model);
        self.seat(index, worker);
        saw
    }

    /// Members whose work concerns no other any more go on alone. A worker of production goes on with them in step; this visits
    /// these orders, and others.
    fn seat(&mut self, index: usize, worker: Worker) {
        let Worker { view, members } = worker;
        let (alone, together): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.leaves);
        let together = Some(Worker { view, members: together }).filter(|worker| !worker.members.is_empty());
        let alone = alone.into_iter().map(|member| Worker::alone(Member { leaves: false, ..member }));
        let mut parted = together.into_iter().chain(alone);
        match parted.next() {
            Some(first) => self.workers[index] = first,
            None => drop(self.workers.remove(index)),
        }
        self.workers.extend(parted);
    }

    fn read_state(&mut self, model: &Model, worker: &mut Worker, todo: Do, how: How) -> Saw {
        let number = usize::from(worker.members[0].spec(model).entity);
        let view = match how {
            How::Past(change) => self.past[number][change],
            How::Well | How::Late | How::Hidden | How::Stale | How::Failing | How::Without(_) => self.entities[number],
        };
        worker.view = Some(view);
        let saw = Saw::State(version(view.version));
        worker.places(todo).into_iter().for_each(|place| worker.see(model, place, saw));
        saw
    }

    /// Performs what one of the members has to do.
    fn perform(&mut self, model: &Model, worker: &mut Worker, place: usize, how: How) -> Option<Saw> {
        let member = worker.members[place];
        let number = usize::from(member.message);
        let sends = member.spec(model).sends;
        Some(match member.todo {
            Do::ReadRecord => self.read_record(model, worker, place, how),
            Do::ReadPayload => {
                worker.members[place].fails = how == How::Failing;
                let message = &self.messages[number];
                let exists = match member.spec(model).identity {
                    Identity::Claim => message.payloads.has(member.claim),
                    Identity::Id => !message.entry,
                    Identity::Retained => true,
                };
                if exists || how == How::Stale { Saw::Payload } else { Saw::PayloadMissing }
            }
            Do::Withdraw => {
                for (child, claim) in std::iter::zip(sends, member.claims.into_iter().flatten()) {
                    self.delete(*child, claim);
                }
                Saw::Withdrawn
            }
            Do::Park => {
                self.messages[number].dead = self.messages[number].dead.with(member.copy);
                Saw::Parked
            }
            Do::CheckIn => {
                let mut claims = Claims::default();
                for (child, claim) in std::iter::zip(sends, &mut claims) {
                    *claim = self.check_in(model, *child);
                }
                worker.members[place].claims = Some(claims);
                Saw::CheckedIn
            }
            Do::StoreClaims => self.store_claims(model, &mut worker.members[place]),
            Do::Dispatch => return self.dispatch(sends, &mut worker.members[place]),
            Do::Settle => self.settle(model, &member),
            Do::Clear => {
                // An embedded record stays, and so does one that is the proof.
                if member.spec(model).identity != Identity::Retained {
                    self.messages[number].record = None;
                }
                Saw::Cleared
            }
            Do::Acknowledge(_) => return self.acknowledge(model, worker, place),
            // A handler has been run as soon as it was to be run; the others are performed for all members together.
            Do::Leave | Do::Handle | Do::ReadState(_) | Do::Commit(_) => {
                worker.members.remove(place);
                return None;
            }
        })
    }

    /// Reads the record beside the state. If the state's item is to be read anew, both are taken in at one glance: of the message, which
    /// was committed before, there is one record. Whether the first of the two reads finds it embedded, or the second beside,
    /// or neither, for it was dropped or cleared meanwhile, it comes to the same.
    fn read_record(&self, model: &Model, worker: &mut Worker, place: usize, how: How) -> Saw {
        let member = worker.members[place];
        if worker.view.is_none() || member.leaves {
            let now = self.entities[usize::from(member.spec(model).entity)];
            let view = if how == How::Stale { Entity::default() } else { now };
            if let Some(saw) = worker.members[place].find_in(model, &view) {
                return saw;
            }
        }
        match self.messages[usize::from(member.message)].record.filter(|_| how != How::Stale) {
            None => Saw::NoRecord,
            Some(record) if record.is_retained => Saw::Retained,
            Some(record) => worker.members[place].take(record, Saw::Record(claims_of(&record))),
        }
    }

    /// Sends one message at a time: a worker may stop in between.
    fn dispatch(&mut self, sends: &[usize], member: &mut Member) -> Option<Saw> {
        let place = usize::from(member.dispatched);
        self.send(sends[place], member.claims.unwrap_or_default()[place]);
        member.dispatched += 1;
        if place + 1 < sends.len() {
            return None;
        }
        member.dispatched = 0;
        Some(Saw::Dispatched)
    }

    fn settle(&mut self, model: &Model, member: &Member) -> Saw {
        let number = usize::from(member.message);
        self.messages[number].is_skipped |=
            model.order == Some(WrongOrder::NoCommitWithoutEffect) && member.detour == Detour::Early;
        if model.order == Some(WrongOrder::SweepWithoutSettling) && member.copy == NO_COPY {
            return Saw::Settled;
        }
        match member.spec(model).identity {
            Identity::Claim => self.delete(number, member.claim),
            Identity::Id => self.messages[number].entry = true,
            Identity::Retained => {
                if let Some(record) = &mut self.messages[number].record {
                    record.is_retained = true;
                }
            }
        }
        Saw::Settled
    }

    fn acknowledge(&mut self, model: &Model, worker: &mut Worker, place: usize) -> Option<Saw> {
        let member = &mut worker.members[place];
        let message = &mut self.messages[usize::from(member.message)];
        let queue = if member.finishes { &mut message.dead } else { &mut message.queued };
        *queue = queue.without(member.copy);
        if model.order == Some(WrongOrder::AcknowledgeBeforeDispatch) && member.detour == Detour::Early {
            (member.detour, member.todo) = (Detour::Done, Do::Dispatch);
        } else {
            worker.members.remove(place);
        }
        None
    }

    fn check_in(&mut self, model: &Model, message: usize) -> u8 {
        let derived =
            matches!(model.order, Some(WrongOrder::DerivedClaimsAfterCommit | WrongOrder::DerivedClaimsBeforeCommit));
        let message = &mut self.messages[message];
        let claim = if derived { 0 } else { message.claims };
        assert!(claim < PUT_BACK, "a scenario in which a message has that many attempts has too many states");
        message.is_rewritten |= claim < message.claims;
        message.claims = message.claims.max(claim + 1);
        message.payloads = message.payloads.with(claim);
        claim
    }

    fn delete(&mut self, message: usize, claim: u8) {
        self.messages[message].payloads = self.messages[message].payloads.without(claim);
    }

    fn send(&mut self, message: usize, claim: u8) {
        let message = &mut self.messages[message];
        message.sent = message.sent.with(claim);
        message.queued = message.queued.with(claim);
    }
}
