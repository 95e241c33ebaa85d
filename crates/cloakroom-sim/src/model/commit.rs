//! Commits: what a worker writes, and the result.

use cloakroom::protocol::{
    Do, Saw, Version,
    fold::{self, CommitResult},
};

use crate::model::{
    commit_draft::{CommitDraft, CommitPart},
    definition::Model,
    entity::Entity,
    member::{Member, claims_of},
    record::{EmbeddedRecords, Record},
    scenario::{Handler, Placement},
    step::{StepMode, WorkerStep},
    worker::ModelWorker,
    world::ModelWorld,
    wrong_orders::WrongOrder,
    wrong_steps::Detour,
};

impl ModelWorker {
    /// Returns what the worker would commit for the members at these positions.
    fn draft_commit(&self, model: &Model, positions: &[usize], expected: Version, placement: Placement) -> CommitDraft {
        let embeds = |member: &Member| placement == Placement::Embedded && member.can_embed(model);
        let part = |member: &Member| CommitPart {
            message: member.message,
            record: member.record(),
            is_embedded: embeds(member),
        };
        let parts: Vec<CommitPart> = positions.iter().map(|position| part(&self.members[*position])).collect();
        let expected = u8::try_from(expected.number()).unwrap_or(u8::MAX);
        let is_embedded = parts.iter().all(|part| part.is_embedded);
        let view = self.view.unwrap_or_default();
        let drops = match model.order {
            Some(WrongOrder::DropBlindly) => true,
            Some(WrongOrder::SeparateWithoutMap) => !is_embedded,
            Some(WrongOrder::TombstoneWithoutMap) => self.members.iter().any(|member| member.deletes(model)),
            Some(_) | None => false,
        };
        let key = |part: &CommitPart| model.key(part.message);
        let mut records = if drops { EmbeddedRecords::default() } else { view.records };
        let puts = match model.order {
            Some(WrongOrder::TombstoneWithoutMap) if drops => 0,
            Some(WrongOrder::FoldInTwoPuts) => 1,
            Some(_) | None => parts.len(),
        };
        parts.iter().take(puts).filter(|part| part.is_embedded).for_each(|part| records.put(key(part), part.record));
        let moves = if model.order == Some(WrongOrder::EmbedWithoutVersion) && is_embedded { 0 } else { parts.len() };
        let state = Entity {
            version: u8::try_from(moves).map_or(u8::MAX, |moves| expected.saturating_add(moves)),
            applied: self.draft(model, self.members.len()),
            records,
            is_complete: view.is_complete && is_embedded,
            is_deleted: self.members.iter().any(|member| member.deletes(model)),
        };
        CommitDraft { entity: self.members[0].spec(model).entity, expected, state, parts }
    }
}

impl Member {
    pub(super) fn deletes(&self, model: &Model) -> bool {
        self.spec(model).handler == Handler::Deletes
    }
}

impl ModelWorld {
    /// Commits for all members that have reached the commit, in the mode of this step.
    pub(super) fn commit(
        &mut self,
        model: &Model,
        worker: &mut ModelWorker,
        expected: Version,
        step: WorkerStep,
    ) -> Option<Saw> {
        if let StepMode::Without(message) = step.mode {
            worker.view.iter_mut().for_each(|view| view.records.drop_of(message));
            return None;
        }
        let positions = worker.positions(Do::Commit(expected));
        if !worker.left.is_empty() && model.order != Some(WrongOrder::CommitWithoutAMember) {
            return Some(self.see_commit(model, worker, &positions, CommitResult::NotTried));
        }
        let commit = worker.draft_commit(model, &positions, expected, step.placement);
        if model.order == Some(WrongOrder::FoldInTwoPuts) {
            return Some(self.commit_in_two_puts(model, worker, &commit));
        }
        let result = match step.mode {
            StepMode::Late => {
                self.late.push(commit.clone());
                CommitResult::Unknown
            }
            StepMode::Hidden => {
                self.apply(model, &commit);
                CommitResult::Overtaken
            }
            StepMode::Refused => CommitResult::Refused,
            StepMode::Normal
            | StepMode::Stale
            | StepMode::Past(_)
            | StepMode::Failing
            | StepMode::Failed
            | StepMode::GivenUp
            | StepMode::Without(_) => {
                if self.apply(model, &commit) {
                    CommitResult::Applied
                } else {
                    CommitResult::Overtaken
                }
            }
        };
        self.delete_claims(model, &commit, result);
        if positions.len() == worker.members.len() {
            worker.view = None;
        }
        Some(self.see_commit(model, worker, &positions, result))
    }

    /// Reports the result of a commit to its members. If the members are committed one by one from
    /// here on, all but the first start again.
    fn see_commit(&self, model: &Model, worker: &mut ModelWorker, positions: &[usize], result: CommitResult) -> Saw {
        let mut seen = Saw::NotTried;
        for position in positions {
            let claims = claims_of(&worker.members[*position].record());
            seen = fold::after_commit(result, claims, positions.len(), !worker.may_be_stale);
            worker.see(model, *position, seen);
        }
        if fold::narrows(result, positions.len()) {
            let wants: Vec<_> = worker.members.iter().map(|member| Some(member.todo)).collect();
            fold::set_aside(&wants).into_iter().for_each(|position| worker.members[position].restarts = true);
        }
        seen
    }

    /// Deletes the claims of an attempt that did not commit. Only wrong orders do so.
    fn delete_claims(&mut self, model: &Model, commit: &CommitDraft, result: CommitResult) {
        let deletes = match model.order {
            Some(WrongOrder::DeleteClaimsAfterLost) => result == CommitResult::Overtaken,
            Some(WrongOrder::DeleteClaimsAfterUnknown) => result == CommitResult::Unknown,
            Some(_) | None => false,
        };
        for part in commit.parts.iter().filter(|_| deletes) {
            let sends = model.scenario.messages[usize::from(part.message)].sends;
            let claims = part.record.claims.filter(|_| part.record.sends).into_iter().flatten();
            for (child, claim) in std::iter::zip(sends, claims) {
                let payloads = &mut self.messages[*child].payloads;
                *payloads = payloads.without(claim);
            }
        }
    }

    /// Commits in two writes, as a wrong order does: first the state as the last handler left it
    /// with the first record, then all records.
    fn commit_in_two_puts(&mut self, model: &Model, worker: &mut ModelWorker, commit: &CommitDraft) -> Saw {
        let is_second = worker.members[0].detour == Detour::Done;
        let applies = is_second || self.apply(model, commit);
        for (position, part) in commit.parts.iter().enumerate() {
            if is_second {
                self.put_record(model, commit.entity, *part);
            }
            match applies {
                true if is_second || position == 0 => worker.see(model, position, committed(part)),
                true => worker.members[position].detour = Detour::Done,
                false => worker.see(model, position, Saw::Lost),
            }
        }
        if applies { committed(&commit.parts[0]) } else { Saw::Lost }
    }

    /// Applies a commit if its conditions hold. Returns whether they do.
    pub(super) fn apply(&mut self, model: &Model, commit: &CommitDraft) -> bool {
        let CommitDraft { entity: number, expected, state, parts } = commit;
        let number = usize::from(*number);
        let entity = self.entities[number];
        let is_unchanged = entity.version == *expected || model.order == Some(WrongOrder::NoVersionCondition);
        // A commit that embeds a record does not check that there is no separate one: a single put
        // sees one item.
        let record = |part: &CommitPart| self.messages[usize::from(model.key(part.message))].record;
        let is_free = |part: &CommitPart| part.is_embedded || record(part).is_none();
        let is_first = parts.iter().all(is_free) || model.order == Some(WrongOrder::NoRecordCondition);
        if !is_unchanged || !is_first {
            return false;
        }
        let deletes =
            parts.iter().any(|part| model.scenario.messages[usize::from(part.message)].handler == Handler::Deletes);
        // A state that never existed gets a version, too.
        let forgets = deletes && entity.version > 0 && model.order == Some(WrongOrder::TrueDelete);
        let state = if forgets { Entity::default() } else { *state };
        self.version_decreased |= state.version < entity.version;
        self.entities[number] = state;
        self.past[number].push(entity);
        let puts = if model.order == Some(WrongOrder::FoldInTwoPuts) { 1 } else { parts.len() };
        for (position, part) in parts.iter().enumerate() {
            self.messages[usize::from(part.message)].commits += 1;
            self.require_dispatch(model, *part);
            if position < puts && !part.is_embedded {
                self.messages[usize::from(model.key(part.message))].record = Some(part.record);
            }
        }
        true
    }

    /// Marks the messages that a record sends: from now on they must be dispatched.
    fn require_dispatch(&mut self, model: &Model, part: CommitPart) {
        let Record { sends, claims, .. } = part.record;
        let children = model.scenario.messages[usize::from(part.message)].sends.iter().filter(|_| sends);
        for (position, child) in children.enumerate() {
            self.messages[*child].must_be_sent = true;
            self.messages[*child].recorded_claim = claims.map(|claims| claims[position]);
        }
    }

    fn put_record(&mut self, model: &Model, entity: u8, part: CommitPart) {
        let key = model.key(part.message);
        match part.is_embedded {
            true => self.entities[usize::from(entity)].records.put(key, part.record),
            false => self.messages[usize::from(key)].record = Some(part.record),
        }
    }

    /// Stores claims in a record that has none. Only a wrong order stores claims in an embedded
    /// record.
    pub(super) fn store_claims(&mut self, model: &Model, member: &mut Member) -> Saw {
        let spec = member.spec(model);
        let key = model.key(member.message);
        let separate = self.messages[usize::from(key)].record;
        let embedded = self.entities[usize::from(spec.entity)].records.of(key);
        let Some(record) = separate.or(embedded) else { return Saw::RecordGone };
        match record.claims {
            Some(claims) if model.order != Some(WrongOrder::ClaimsStoredTwice) => member.claims = Some(claims),
            Some(_) | None => {
                let record = Record { claims: member.claims, ..record };
                let part = CommitPart { message: member.message, record, is_embedded: separate.is_none() };
                self.put_record(model, spec.entity, part);
                self.require_dispatch(model, part);
            }
        }
        Saw::ClaimsStored
    }
}

const fn committed(part: &CommitPart) -> Saw {
    Saw::Committed(claims_of(&part.record))
}
