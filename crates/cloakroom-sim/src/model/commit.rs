//! Commits: what a worker drafts, and what becomes of it.

use cloakroom::protocol::{
    Do, Saw, Version,
    fold::{self, CommitResult},
};

use super::{
    Model,
    scenario::{Handler, Placement},
    work::{How, Step},
    worker::{Member, Worker, claims_of},
    world::{Commit, Entity, Part, Record, Records, World},
    wrong_orders::{Detour, WrongOrder},
};

impl Worker {
    /// What it would commit for these of its members.
    fn draft_commit(&self, model: &Model, places: &[usize], expected: Version, placement: Placement) -> Commit {
        let embeds = |member: &Member| placement == Placement::Embedded && member.can_embed(model);
        let part =
            |member: &Member| Part { message: member.message, record: member.record(), is_embedded: embeds(member) };
        let parts: Vec<Part> = places.iter().map(|place| part(&self.members[*place])).collect();
        let expected = u8::try_from(expected.number()).unwrap_or(u8::MAX);
        let is_embedded = parts.iter().all(|part| part.is_embedded);
        let view = self.view.unwrap_or_default();
        let drops = match model.order {
            Some(WrongOrder::DropBlindly) => true,
            Some(WrongOrder::BesideWithoutMap) => !is_embedded,
            Some(WrongOrder::TombstoneWithoutMap) => self.members.iter().any(|member| member.deletes(model)),
            Some(_) | None => false,
        };
        let key = |part: &Part| model.key(part.message);
        let mut records = if drops { Records::default() } else { view.records };
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
        Commit { entity: self.members[0].spec(model).entity, expected, state, parts }
    }
}

impl Member {
    pub(super) fn deletes(&self, model: &Model) -> bool {
        self.spec(model).handler == Handler::Deletes
    }
}

impl World {
    /// Commits for all members who want it, or leaves it to its fate.
    pub(super) fn commit(&mut self, model: &Model, worker: &mut Worker, expected: Version, step: Step) -> Option<Saw> {
        if let How::Without(message) = step.how {
            worker.view.iter_mut().for_each(|view| view.records.drop_of(message));
            return None;
        }
        let places = worker.places(Do::Commit(expected));
        if !worker.left.is_empty() && model.order != Some(WrongOrder::CommitWithoutAMember) {
            return Some(self.see_commit(model, worker, &places, CommitResult::NotTried));
        }
        let commit = worker.draft_commit(model, &places, expected, step.placement);
        if model.order == Some(WrongOrder::FoldInTwoPuts) {
            return Some(self.commit_in_two_puts(model, worker, &commit));
        }
        let result = match step.how {
            How::Late => {
                self.late.push(commit.clone());
                CommitResult::Unknown
            }
            How::Hidden => {
                self.apply(model, &commit);
                CommitResult::Overtaken
            }
            How::Refused => CommitResult::Refused,
            How::Well | How::Stale | How::Past(_) | How::Failing | How::Failed | How::GivenUp | How::Without(_) => {
                if self.apply(model, &commit) {
                    CommitResult::Applied
                } else {
                    CommitResult::Overtaken
                }
            }
        };
        self.delete_claims(model, &commit, result);
        if places.len() == worker.members.len() {
            worker.view = None;
        }
        Some(self.see_commit(model, worker, &places, result))
    }

    /// Tells members how their commit ended. If they are committed one by one from here on, all but the first start again.
    fn see_commit(&self, model: &Model, worker: &mut Worker, places: &[usize], result: CommitResult) -> Saw {
        let mut seen = Saw::NotTried;
        for place in places {
            let claims = claims_of(&worker.members[*place].record());
            seen = fold::after_commit(result, claims, places.len(), !worker.is_late);
            worker.see(model, *place, seen);
        }
        if fold::narrows(result, places.len()) {
            let wants: Vec<_> = worker.members.iter().map(|member| Some(member.todo)).collect();
            fold::set_aside(&wants).into_iter().for_each(|place| worker.members[place].restarts = true);
        }
        seen
    }

    /// A wrong order: the claims of an attempt that did not commit are deleted.
    fn delete_claims(&mut self, model: &Model, commit: &Commit, result: CommitResult) {
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

    /// A wrong order: first the state as the last handler has left it, and the first record; then all records.
    fn commit_in_two_puts(&mut self, model: &Model, worker: &mut Worker, commit: &Commit) -> Saw {
        let is_second = worker.members[0].detour == Detour::Done;
        let applies = is_second || self.apply(model, commit);
        for (place, part) in commit.parts.iter().enumerate() {
            if is_second {
                self.put_record(model, commit.entity, *part);
            }
            match applies {
                true if is_second || place == 0 => worker.see(model, place, committed(part)),
                true => worker.members[place].detour = Detour::Done,
                false => worker.see(model, place, Saw::Lost),
            }
        }
        if applies { committed(&commit.parts[0]) } else { Saw::Lost }
    }

    /// Applies a commit, if its conditions hold.
    pub(super) fn apply(&mut self, model: &Model, commit: &Commit) -> bool {
        let Commit { entity: number, expected, state, parts } = commit;
        let number = usize::from(*number);
        let entity = self.entities[number];
        let is_unchanged = entity.version == *expected || model.order == Some(WrongOrder::NoVersionCondition);
        // That there is none beside is not demanded of an embedded one: a single put sees one item.
        let record = |part: &Part| self.messages[usize::from(model.key(part.message))].record;
        let is_free = |part: &Part| part.is_embedded || record(part).is_none();
        let is_first = parts.iter().all(is_free) || model.order == Some(WrongOrder::NoRecordCondition);
        if !is_unchanged || !is_first {
            return false;
        }
        let deletes =
            parts.iter().any(|part| model.scenario.messages[usize::from(part.message)].handler == Handler::Deletes);
        // What never existed leaves a version even so.
        let forgets = deletes && entity.version > 0 && model.order == Some(WrongOrder::TrueDelete);
        let state = if forgets { Entity::default() } else { *state };
        self.went_back |= state.version < entity.version;
        self.entities[number] = state;
        self.past[number].push(entity);
        let puts = if model.order == Some(WrongOrder::FoldInTwoPuts) { 1 } else { parts.len() };
        for (place, part) in parts.iter().enumerate() {
            self.messages[usize::from(part.message)].commits += 1;
            self.demand(model, *part);
            if place < puts && !part.is_embedded {
                self.messages[usize::from(model.key(part.message))].record = Some(part.record);
            }
        }
        true
    }

    /// From now on what a record sends has to arrive.
    fn demand(&mut self, model: &Model, part: Part) {
        let Record { sends, claims, .. } = part.record;
        let children = model.scenario.messages[usize::from(part.message)].sends.iter().filter(|_| sends);
        for (place, child) in children.enumerate() {
            self.messages[*child].is_due = true;
            self.messages[*child].rightful = claims.map(|claims| claims[place]);
        }
    }

    fn put_record(&mut self, model: &Model, entity: u8, part: Part) {
        let key = model.key(part.message);
        match part.is_embedded {
            true => self.entities[usize::from(entity)].records.put(key, part.record),
            false => self.messages[usize::from(key)].record = Some(part.record),
        }
    }

    /// Stores claims in a record that has none; in one that is embedded only by a wrong order.
    pub(super) fn store_claims(&mut self, model: &Model, member: &mut Member) -> Saw {
        let spec = member.spec(model);
        let key = model.key(member.message);
        let beside = self.messages[usize::from(key)].record;
        let embedded = self.entities[usize::from(spec.entity)].records.of(key);
        let Some(record) = beside.or(embedded) else { return Saw::RecordGone };
        match record.claims {
            Some(claims) if model.order != Some(WrongOrder::ClaimsStoredTwice) => member.claims = Some(claims),
            Some(_) | None => {
                let record = Record { claims: member.claims, ..record };
                let part = Part { message: member.message, record, is_embedded: beside.is_none() };
                self.put_record(model, spec.entity, part);
                self.demand(model, part);
            }
        }
        Saw::ClaimsStored
    }
}

const fn committed(part: &Part) -> Saw {
    Saw::Committed(claims_of(&part.record))
}
