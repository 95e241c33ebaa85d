//! What a worker's step does to the world: the model's counterpart of the engine.

use cloakroom::protocol::{
    Consistency, Do, Saw,
    embedding::{self, Absent},
};

use super::{
    Model,
    message::{NO_COPY, PUT_BACK},
    scenario::{Identity, Placement},
    worker::{Member, Worker, claims_of},
    world::{Claims, Entity, Set, World, version},
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
    /// Messages that are committed together, and that the store refuses together.
    Refused,
    /// A member whose handler has run fails for itself, and leaves the others.
    Failed,
    /// Not the step itself: the worker gives up the message, and will send it to its queue again.
    GivenUp,
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
        let mut worker = std::mem::replace(&mut self.workers[index], Worker::of(Vec::new()));
        if step.how == How::GivenUp {
            worker.members[0].todo = Do::SendAgain;
            self.workers[index] = worker;
            return None;
        }
        let todo = worker.todo();
        let saw = match todo {
            Do::ReadState(_) => Some(self.read_state(model, &mut worker, todo, step.how)),
            Do::Commit(version) => self.commit(model, &mut worker, version, step),
            Do::ReadRecord
            | Do::ReadPayload
            | Do::Handle
            | Do::Park
            | Do::SendAgain
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
        self.seat(model, index, worker);
        saw
    }

    /// Members whose work concerns no other any more go on alone, and so do those that start again. A worker of
    /// production goes on with the former in step, and takes up the latter when the others have ended; this visits these
    /// orders, and others.
    fn seat(&mut self, model: &Model, index: usize, worker: Worker) {
        let Worker { members, .. } = worker;
        let (alone, together): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| member.leaves || member.restarts);
        let together = Some(Worker { members: together, ..worker }).filter(|worker| !worker.members.is_empty());
        let alone = alone.into_iter().map(|member| match member.restarts {
            true => {
                Worker { reads_strongly: model.scenario.stale_reads > 0, ..Worker::of(vec![member.restarted(model)]) }
            }
            false => Worker::of(vec![Member { leaves: false, ..member }]),
        });
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
            How::Well
            | How::Late
            | How::Hidden
            | How::Stale
            | How::Failing
            | How::Refused
            | How::Failed
            | How::GivenUp
            | How::Without(_) => self.entities[number],
        };
        worker.view = Some(view);
        worker.left = Set::default();
        let is_first = matches!(todo, Do::ReadState(Consistency::Any));
        worker.is_late = is_first && model.scenario.stale_reads > 0 && !worker.reads_strongly;
        worker.has_tried |= !is_first && model.scenario.expired_tombstones > 0;
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
                let exists = exists || member.is_taken_for_another(model);
                if exists || how == How::Stale { Saw::NotSettled } else { Saw::PossiblySettled }
            }
            Do::Park => {
                self.messages[number].dead = self.messages[number].dead.with(member.copy);
                Saw::Parked
            }
            Do::SendAgain => {
                self.messages[number].send_again();
                Saw::SentAgain
            }
            Do::CheckIn if how == How::Failed => {
                worker.members.remove(place);
                worker.left = worker.left.with(member.message);
                return None;
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
                    self.messages[usize::from(model.key(member.message))].record = None;
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
        let entity = member.spec(model).entity;
        if worker.view.is_none() || member.leaves {
            let view = if how == How::Stale { Entity::default() } else { self.entities[usize::from(entity)] };
            let absent = if how == How::Stale { Absent::Conditional } else { Absent::Unchecked };
            if let Some(saw) = worker.members[place].find_in(model, &view, absent) {
                return saw;
            }
        } else if let Some(view) = worker.view.as_mut().filter(|view| view.version == 0) {
            let any = self.has_records(model, entity);
            view.is_complete &= embedding::is_complete(true, version(0), Absent::Looked { any });
            if let Some(saw) = worker.members[place].find_in(model, &Entity::default(), Absent::Looked { any }) {
                return saw;
            }
        }
        match self.messages[usize::from(model.key(member.message))].record.filter(|_| how != How::Stale) {
            None => Saw::NoRecord,
            Some(record) if record.is_retained => Saw::Retained,
            Some(record) => worker.members[place].take(record, Saw::Record(claims_of(&record))),
        }
    }

    /// Whether any message of this entity has a record beside the state.
    fn has_records(&self, model: &Model, entity: u8) -> bool {
        model.each(self).any(|(_, spec, one)| spec.entity == entity && one.record.is_some())
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
                if let Some(record) = &mut self.messages[usize::from(model.key(member.message))].record {
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
        match model.order {
            Some(WrongOrder::AcknowledgeBeforeDispatch) if member.detour == Detour::Early => {
                (member.detour, member.todo) = (Detour::Done, Do::Dispatch);
            }
            Some(WrongOrder::AcknowledgeBeforeDeferral) if member.detour == Detour::Early => {
                (member.detour, member.todo) = (Detour::Done, Do::SendAgain);
            }
            Some(_) | None => drop(worker.members.remove(place)),
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
