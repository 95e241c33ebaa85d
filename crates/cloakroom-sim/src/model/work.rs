//! The effect of a worker's step on the world: the model's counterpart of the engine.

use cloakroom::protocol::{
    Consistency, Do, Saw,
    embedding::{self, Absent},
};

use crate::model::{
    definition::Model,
    entity::{Entity, version},
    member::{Member, claims_of},
    message::{NO_COPY, PUT_BACK},
    record::Claims,
    scenario::Identity,
    set::NumberSet,
    step::{StepMode, WorkerStep},
    worker::ModelWorker,
    world::ModelWorld,
    wrong_orders::WrongOrder,
    wrong_steps::Detour,
};

impl ModelWorld {
    /// Performs one step of a worker. Returns what the worker saw, if it saw anything.
    pub(super) fn work(&mut self, model: &Model, index: usize, step: WorkerStep) -> Option<Saw> {
        let mut worker = std::mem::replace(&mut self.workers[index], ModelWorker::of(Vec::new()));
        if step.mode == StepMode::GivenUp {
            worker.members[0].todo = Do::SendAgain;
            self.workers[index] = worker;
            return None;
        }
        let todo = worker.todo();
        let saw = match todo {
            Do::ReadState(_) => Some(self.read_state(model, &mut worker, todo, step.mode)),
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
                let saw = self.perform(model, &mut worker, step.position, step.mode);
                if let Some(saw) = saw {
                    worker.see(model, step.position, saw);
                }
                saw
            }
        };
        worker.take_local_steps(model);
        self.replace_worker(model, index, worker);
        saw
    }

    /// Puts a worker back after its step. A member whose work concerns no other member continues as
    /// a worker of its own, and so does a member that starts again.
    ///
    /// A production worker keeps the former in step with the others, and takes up the latter after
    /// the others have ended. The model visits these orders, and others.
    fn replace_worker(&mut self, model: &Model, index: usize, worker: ModelWorker) {
        let ModelWorker { members, .. } = worker;
        let (alone, together): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| member.leaves || member.restarts);
        let together = Some(ModelWorker { members: together, ..worker }).filter(|worker| !worker.members.is_empty());
        let alone = alone.into_iter().map(|member| match member.restarts {
            true => ModelWorker {
                reads_strongly: model.scenario.stale_reads > 0,
                ..ModelWorker::of(vec![member.restarted(model)])
            },
            false => ModelWorker::of(vec![Member { leaves: false, ..member }]),
        });
        let mut workers = together.into_iter().chain(alone);
        match workers.next() {
            Some(first) => self.workers[index] = first,
            None => drop(self.workers.remove(index)),
        }
        self.workers.extend(workers);
    }

    fn read_state(&mut self, model: &Model, worker: &mut ModelWorker, todo: Do, mode: StepMode) -> Saw {
        let number = usize::from(worker.members[0].spec(model).entity);
        let view = match mode {
            StepMode::Past(change) => self.past[number][change],
            StepMode::Normal
            | StepMode::Late
            | StepMode::Hidden
            | StepMode::Stale
            | StepMode::Failing
            | StepMode::Refused
            | StepMode::Failed
            | StepMode::GivenUp
            | StepMode::Without(_) => self.entities[number],
        };
        worker.view = Some(view);
        worker.left = NumberSet::default();
        let is_first = matches!(todo, Do::ReadState(Consistency::Any));
        worker.may_be_stale = is_first && model.scenario.stale_reads > 0 && !worker.reads_strongly;
        worker.has_tried |= !is_first && model.scenario.expired_tombstones > 0;
        let saw = Saw::State(version(view.version));
        worker.positions(todo).into_iter().for_each(|position| worker.see(model, position, saw));
        saw
    }

    /// Performs the next step of one member.
    fn perform(&mut self, model: &Model, worker: &mut ModelWorker, position: usize, mode: StepMode) -> Option<Saw> {
        let member = worker.members[position];
        let number = usize::from(member.message);
        let sends = member.spec(model).sends;
        Some(match member.todo {
            Do::ReadRecord => self.read_record(model, worker, position, mode),
            Do::ReadPayload => {
                worker.members[position].fails = mode == StepMode::Failing;
                let message = &self.messages[number];
                let exists = match member.spec(model).identity {
                    Identity::Claim => message.payloads.has(member.claim),
                    Identity::Id => !message.entry,
                    Identity::Retained => true,
                };
                let exists = exists || member.is_taken_for_another(model);
                if exists || mode == StepMode::Stale { Saw::NotSettled } else { Saw::PossiblySettled }
            }
            Do::Park => {
                self.messages[number].dead = self.messages[number].dead.with(member.copy);
                Saw::Parked
            }
            Do::SendAgain => {
                self.messages[number].send_again();
                Saw::SentAgain
            }
            Do::CheckIn if mode == StepMode::Failed => {
                worker.members.remove(position);
                worker.left = worker.left.with(member.message);
                return None;
            }
            Do::CheckIn => {
                let mut claims = Claims::default();
                for (child, claim) in std::iter::zip(sends, &mut claims) {
                    *claim = self.check_in(model, *child);
                }
                worker.members[position].claims = Some(claims);
                Saw::CheckedIn
            }
            Do::StoreClaims => self.store_claims(model, &mut worker.members[position]),
            Do::Dispatch => return self.dispatch(sends, &mut worker.members[position]),
            Do::Settle => self.settle(model, &member),
            Do::Clear => {
                // An embedded record stays, and so does a retained one.
                if member.spec(model).identity != Identity::Retained {
                    self.messages[usize::from(model.key(member.message))].record = None;
                }
                Saw::Cleared
            }
            Do::Acknowledge(_) => return self.acknowledge(model, worker, position),
            // A handler runs as soon as it is reached. The other steps are performed for all
            // members together.
            Do::Leave | Do::Handle | Do::ReadState(_) | Do::Commit(_) => {
                worker.members.remove(position);
                return None;
            }
        })
    }

    /// Reads the separate record. If the state's item must be read again, both reads are one step
    /// of the model. This is sound: the message was committed before, so it has one record. The
    /// first read may find it embedded, the second one may find it separate, or it was dropped or
    /// cleared in between. The outcome is the same.
    fn read_record(&self, model: &Model, worker: &mut ModelWorker, position: usize, mode: StepMode) -> Saw {
        let member = worker.members[position];
        let entity = member.spec(model).entity;
        if worker.view.is_none() || member.leaves {
            let view = if mode == StepMode::Stale { Entity::default() } else { self.entities[usize::from(entity)] };
            let absent = if mode == StepMode::Stale { Absent::Conditional } else { Absent::Unchecked };
            if let Some(saw) = worker.members[position].find_in(model, &view, absent) {
                return saw;
            }
        } else if let Some(view) = worker.view.as_mut().filter(|view| view.version == 0) {
            let any = self.has_records(model, entity);
            view.is_complete &= embedding::is_complete(true, version(0), Absent::Looked { any });
            if let Some(saw) = worker.members[position].find_in(model, &Entity::default(), Absent::Looked { any }) {
                return saw;
            }
        }
        match self.messages[usize::from(model.key(member.message))].record.filter(|_| mode != StepMode::Stale) {
            None => Saw::NoRecord,
            Some(record) if record.is_retained => Saw::Retained,
            Some(record) => worker.members[position].take(record, Saw::Record(claims_of(&record))),
        }
    }

    /// Whether any message of this entity has a separate record.
    fn has_records(&self, model: &Model, entity: u8) -> bool {
        self.each(model).any(|(_, spec, one)| spec.entity == entity && one.record.is_some())
    }

    /// Sends one message at a time, because a worker may stop between two of them.
    fn dispatch(&mut self, sends: &[usize], member: &mut Member) -> Option<Saw> {
        let position = usize::from(member.dispatched);
        self.send(sends[position], member.claims.unwrap_or_default()[position]);
        member.dispatched += 1;
        if position + 1 < sends.len() {
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

    fn acknowledge(&mut self, model: &Model, worker: &mut ModelWorker, position: usize) -> Option<Saw> {
        let member = &mut worker.members[position];
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
            Some(_) | None => drop(worker.members.remove(position)),
        }
        None
    }

    fn check_in(&mut self, model: &Model, message: usize) -> u8 {
        let derived =
            matches!(model.order, Some(WrongOrder::DerivedClaimsAfterCommit | WrongOrder::DerivedClaimsBeforeCommit));
        let message = &mut self.messages[message];
        let claim = if derived { 0 } else { message.claims };
        assert!(claim < PUT_BACK, "a scenario in which a message has this many attempts has too many states");
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
