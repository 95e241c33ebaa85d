//! What a worker does next, and what becomes of the world by it: the model's counterpart of the engine.

use cloakroom::{
    Version,
    protocol::{Claims as Stored, Do, Saw},
};

use super::{
    Model,
    scenario::{Handler, Identity, Message},
    world::{Claims, Commit, Entity, NO_COPY, PUT_BACK, Record, Set, Worker, World, version},
    wrong_orders::{Detour, WrongOrder, next},
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
    /// A read that sees what was there before.
    Stale,
    /// A payload is read, and then the handler fails for good.
    Failing,
}

impl World {
    /// Lets a worker take one step. What it saw, if it comes to see anything.
    pub(super) fn work(&mut self, model: &Model, index: usize, how: How) -> Option<Saw> {
        let mut worker = self.workers[index];
        let saw = self.perform(model, &mut worker, how);
        match saw {
            Some(saw) => proceed(model, &mut worker, saw, how),
            None if matches!(worker.todo, Do::Dispatch) => {}
            None if model.order == Some(WrongOrder::AcknowledgeBeforeDispatch) && worker.detour == Detour::Early => {
                worker.detour = Detour::Done;
                worker.todo = Do::Dispatch;
                if !worker.sends {
                    proceed(model, &mut worker, Saw::Dispatched, How::Well);
                }
            }
            None => {
                self.workers.remove(index);
                return None;
            }
        }
        self.workers[index] = worker;
        saw
    }

    /// Performs what the worker has to do.
    fn perform(&mut self, model: &Model, worker: &mut Worker, how: How) -> Option<Saw> {
        let number = usize::from(worker.message);
        let spec = &model.scenario.messages[number];
        Some(match worker.todo {
            Do::ReadState(_) => {
                let entities = &self.entities;
                let entity = if how == How::Stale { Entity::default() } else { entities[usize::from(spec.entity)] };
                worker.view = entity.applied;
                Saw::State(version(entity.version))
            }
            Do::ReadRecord => match self.messages[number].record.filter(|_| how != How::Stale) {
                None => Saw::NoRecord,
                Some(Record { sends, claims }) => {
                    worker.sends = sends;
                    worker.claims = claims;
                    Saw::Record(if claims.is_some() { Stored::Stored } else { Stored::Missing })
                }
            },
            Do::ReadPayload => {
                let exists = match spec.identity {
                    Identity::Claim => self.messages[number].payloads.has(worker.claim),
                    Identity::Id => !self.messages[number].entry,
                };
                if exists || how == How::Stale { Saw::Payload } else { Saw::PayloadMissing }
            }
            Do::Withdraw => {
                for (child, claim) in std::iter::zip(spec.sends, worker.claims.into_iter().flatten()) {
                    self.delete(*child, claim);
                }
                Saw::Withdrawn
            }
            Do::Park => {
                self.messages[number].dead = self.messages[number].dead.with(worker.copy);
                Saw::Parked
            }
            Do::CheckIn => {
                let mut claims = Claims::default();
                for (child, claim) in std::iter::zip(spec.sends, &mut claims) {
                    *claim = self.check_in(model, *child);
                }
                worker.claims = Some(claims);
                Saw::CheckedIn
            }
            Do::Commit(version) => self.commit(model, worker, version, how),
            Do::StoreClaims => self.store_claims(model, worker),
            Do::Dispatch => return self.dispatch(spec, worker),
            Do::Settle => self.settle(model, worker),
            Do::Clear => {
                self.messages[number].record = None;
                Saw::Cleared
            }
            Do::Acknowledge(_) => {
                let message = &mut self.messages[number];
                let queue = if worker.finishes { &mut message.dead } else { &mut message.queued };
                *queue = queue.without(worker.copy);
                return None;
            }
            // A handler has been run as soon as it was to be run: see `proceed`.
            Do::Handle | Do::Leave => return None,
        })
    }

    /// Commits, or leaves it to its fate.
    fn commit(&mut self, model: &Model, worker: &Worker, expected: Version, how: How) -> Saw {
        let Worker { message, view, sends, claims, .. } = *worker;
        let claims = if sends { claims } else { Some(Claims::default()) };
        let expected = u8::try_from(expected.number()).unwrap_or(u8::MAX);
        let commit = Commit { message, expected, view, sends, claims };
        match how {
            How::Late => {
                self.late.push(commit);
                Saw::Unknown
            }
            How::Hidden => {
                self.apply(model, commit);
                Saw::Lost
            }
            How::Well | How::Stale | How::Failing if self.apply(model, commit) => {
                Saw::Committed(if claims.is_some() { Stored::Stored } else { Stored::Missing })
            }
            How::Well | How::Stale | How::Failing => Saw::Lost,
        }
    }

    /// Sends one message at a time: a worker may stop in between.
    fn dispatch(&mut self, spec: &Message, worker: &mut Worker) -> Option<Saw> {
        let place = usize::from(worker.dispatched);
        self.send(spec.sends[place], worker.claims.unwrap_or_default()[place]);
        worker.dispatched += 1;
        if place + 1 < spec.sends.len() {
            return None;
        }
        worker.dispatched = 0;
        Some(Saw::Dispatched)
    }

    fn settle(&mut self, model: &Model, worker: &Worker) -> Saw {
        let number = usize::from(worker.message);
        self.messages[number].is_skipped |=
            model.order == Some(WrongOrder::NoCommitWithoutEffect) && worker.detour == Detour::Early;
        if model.order == Some(WrongOrder::SweepWithoutSettling) && worker.copy == NO_COPY {
            return Saw::Settled;
        }
        match model.scenario.messages[number].identity {
            Identity::Claim => self.delete(number, worker.claim),
            Identity::Id => self.messages[number].entry = true,
        }
        Saw::Settled
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

    /// Applies a commit, if its conditions hold.
    pub(super) fn apply(&mut self, model: &Model, commit: Commit) -> bool {
        let Commit { message: number, expected, view, sends, claims } = commit;
        let spec = &model.scenario.messages[usize::from(number)];
        let entity = &mut self.entities[usize::from(spec.entity)];
        let message = &mut self.messages[usize::from(number)];
        let is_unchanged = entity.version == expected || model.order == Some(WrongOrder::NoVersionCondition);
        let is_first = message.record.is_none() || model.order == Some(WrongOrder::NoRecordCondition);
        if !is_unchanged || !is_first {
            return false;
        }
        let before = entity.version;
        let deletes = spec.handler == Handler::Deletes;
        entity.applied = if deletes { Set::default() } else { view.with(number) };
        // What never existed leaves a version even so.
        let forgets = deletes && before > 0 && model.order == Some(WrongOrder::TrueDelete);
        entity.version = if forgets { 0 } else { before + 1 };
        self.went_back |= entity.version < before;
        message.commits += 1;
        message.record = Some(Record { sends, claims });
        if sends {
            for (place, child) in spec.sends.iter().enumerate() {
                self.messages[*child].is_due = true;
                self.messages[*child].rightful = claims.map(|claims| claims[place]);
            }
        }
        true
    }

    fn store_claims(&mut self, model: &Model, worker: &mut Worker) -> Saw {
        let number = usize::from(worker.message);
        let Some(record) = &mut self.messages[number].record else { return Saw::RecordGone };
        match record.claims {
            Some(claims) if model.order != Some(WrongOrder::ClaimsStoredTwice) => worker.claims = Some(claims),
            Some(_) | None => {
                record.claims = worker.claims;
                for (child, claim) in
                    std::iter::zip(model.scenario.messages[number].sends, worker.claims.into_iter().flatten())
                {
                    self.messages[*child].rightful = Some(claim);
                }
            }
        }
        Saw::ClaimsStored
    }
}

/// Asks the step function what to do next. What touches nothing but the worker is done at once: nobody could tell
/// whether it happened earlier or later.
pub(super) fn proceed(model: &Model, worker: &mut Worker, saw: Saw, how: How) {
    let mut saw = saw;
    loop {
        if matches!(saw, Saw::Committed(_) | Saw::Record(_)) {
            worker.view = Set::default();
        }
        (worker.memory, worker.detour, worker.todo) = next(model.order, worker.memory, worker.detour, saw);
        saw = match worker.todo {
            Do::Handle if how == How::Failing => Saw::Rejected,
            Do::Handle => {
                let saw = decide(model, worker);
                if model.order == Some(WrongOrder::NoCommitWithoutEffect) && has_no_effect(model, worker) {
                    (worker.detour, worker.todo) = (Detour::Early, Do::Settle);
                    return;
                }
                saw
            }
            Do::CheckIn if !worker.sends => Saw::CheckedIn,
            Do::Dispatch if !worker.sends => Saw::Dispatched,
            Do::ReadState(_)
            | Do::ReadRecord
            | Do::ReadPayload
            | Do::Withdraw
            | Do::Park
            | Do::CheckIn
            | Do::Commit(_)
            | Do::StoreClaims
            | Do::Dispatch
            | Do::Settle
            | Do::Clear
            | Do::Acknowledge(_)
            | Do::Leave => return,
        };
    }
}

/// Runs the handler, on the state that was read.
fn decide(model: &Model, worker: &mut Worker) -> Saw {
    let spec = &model.scenario.messages[usize::from(worker.message)];
    let has = |message: usize| u8::try_from(message).is_ok_and(|number| worker.view.has(number));
    let sends = match spec.handler {
        Handler::RejectsUnlessAfter(other) if !has(other) => return Saw::Rejected,
        Handler::SendsAfter(other) => has(other),
        Handler::Sends | Handler::RejectsUnlessAfter(_) | Handler::Deletes | Handler::MayReject => true,
    };
    worker.sends = sends && !spec.sends.is_empty();
    worker.claims = None;
    Saw::Accepted
}

/// Whether a handler that sends under a condition has found that it does not hold.
fn has_no_effect(model: &Model, worker: &Worker) -> bool {
    let handler = model.scenario.messages[usize::from(worker.message)].handler;
    matches!(handler, Handler::SendsAfter(_)) && !worker.sends
}
