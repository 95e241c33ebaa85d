//! What can happen next.

use cloakroom::protocol::{
    CheckIn, Consistency, Do, Progress, Saw, WhenMissing,
    embedding::{self, Known},
    fold::group,
};

use super::{
    Model,
    message::NO_COPY,
    scenario::{Handler, Identity, Placement},
    work::{How, Step},
    worker::Worker,
    world::{Entity, Record, Set, World},
    wrong_orders::WrongOrder,
};

/// Something that can happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names tell it")]
pub enum Action {
    /// Messages and copies: one, or several that are processed together.
    Deliver {
        fold: Vec<(u8, u8)>,
        check_in: CheckIn,
        when_missing: WhenMissing,
    },
    Work {
        worker: usize,
        place: usize,
        how: How,
        placement: Placement,
    },
    /// A late commit reaches the store.
    Land {
        late: usize,
    },
    Recovered {
        message: u8,
        copy: u8,
    },
    Redrive {
        message: u8,
        copy: u8,
    },
    Finish {
        message: u8,
        copy: u8,
    },
    Purge {
        message: u8,
        copy: u8,
    },
    /// The window of an id ends: its entry expires.
    Expire {
        message: u8,
    },
    /// An id comes again, for another message, when its window is over.
    Renew {
        message: u8,
    },
    ExpireTombstone {
        entity: u8,
    },
    Sweep {
        message: u8,
    },
    /// A sweep drops an embedded record: its message is older than any message that can come.
    Drop {
        message: u8,
    },
}

impl Model {
    /// Everything that workers can do.
    pub(super) fn work_actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (number, worker) in world.workers.iter().enumerate() {
            // Of workers that are alike it is enough that one goes on.
            if number > 0 && world.workers[number - 1] == *worker {
                continue;
            }
            let todo = worker.todo();
            if world.given_up > 0 && worker.may_give_up() {
                actions.push(Action::Work {
                    worker: number,
                    place: 0,
                    how: How::GivenUp,
                    placement: Placement::Separate,
                });
            }
            if let Do::Commit(_) = todo {
                self.commit_actions(world, number, actions);
                continue;
            }
            let is_shared = matches!(todo, Do::ReadState(_));
            let wants = |place: &usize| if is_shared { *place == 0 } else { worker.members[*place].todo == todo };
            for place in (0..worker.members.len()).filter(wants) {
                let act = |how| Action::Work { worker: number, place, how, placement: Placement::Separate };
                actions.extend(self.ways(world, worker, place).into_iter().map(act));
            }
        }
        actions.extend((0..world.late.len()).map(|late| Action::Land { late }));
    }

    /// The ways in which a worker can take its next step, unless it commits.
    fn ways(&self, world: &World, worker: &Worker, place: usize) -> Vec<How> {
        let member = &worker.members[place];
        let spec = member.spec(self);
        let late = |order| if self.order == Some(order) { vec![How::Well, How::Stale] } else { vec![How::Well] };
        match worker.todo() {
            Do::ReadPayload if spec.handler == Handler::MayReject => vec![How::Well, How::Failing],
            Do::ReadPayload => late(WrongOrder::StalePayload),
            Do::ReadRecord if worker.view.is_none() && self.order == Some(WrongOrder::StaleSecondLook) => {
                vec![How::Well, How::Stale]
            }
            Do::ReadRecord => late(WrongOrder::StaleRecord),
            Do::ReadState(Consistency::Any) => {
                let past = world.past[usize::from(spec.entity)].len();
                let past = if world.stale_reads > 0 && !worker.reads_strongly { past } else { 0 };
                std::iter::once(How::Well).chain((0..past).map(How::Past)).collect()
            }
            Do::CheckIn if worker.members.len() > 1 && world.faults > 0 => vec![How::Well, How::Failed],
            Do::ReadState(Consistency::Strong)
            | Do::Handle
            | Do::Park
            | Do::SendAgain
            | Do::CheckIn
            | Do::Commit(_)
            | Do::StoreClaims
            | Do::Dispatch
            | Do::Settle
            | Do::Clear
            | Do::Acknowledge(_)
            | Do::Leave => vec![How::Well],
        }
    }

    /// A commit with its answers; and what it can leave out.
    fn commit_actions(&self, world: &World, number: usize, actions: &mut Vec<Action>) {
        let worker = &world.workers[number];
        let can_embed = worker.members.iter().any(|member| member.can_embed(self));
        let mut placements: Vec<Placement> = self.scenario.placements.to_vec();
        if !can_embed {
            placements = vec![Placement::Separate];
        }
        let answers: &[How] = match world.faults {
            0 => &[How::Well],
            _ if worker.places(worker.todo()).len() > 1 => &[How::Well, How::Late, How::Hidden, How::Refused],
            _ => &[How::Well, How::Late, How::Hidden],
        };
        for placement in placements {
            let act = |how: &How| Action::Work { worker: number, place: 0, how: *how, placement };
            actions.extend(answers.iter().map(act));
        }
        let carried = worker.view.iter().flat_map(|view| view.records.messages());
        let is_seen_settled = |message: &u8| {
            let known = if world.is_settled(self, *message) { Known::Settled } else { Known::NotSettled };
            let is_remembered = world.renewals < self.scenario.renewals;
            match self.order {
                Some(WrongOrder::DropAfterStaleLook) => self.identity(*message) == Identity::Claim,
                Some(WrongOrder::DropRemembered) if is_remembered => self.identity(*message) == Identity::Id,
                Some(_) | None => embedding::may_drop(known),
            }
        };
        let leave_out = |message| Action::Work {
            worker: number,
            place: 0,
            how: How::Without(message),
            placement: Placement::Embedded,
        };
        actions.extend(carried.filter(is_seen_settled).map(leave_out));
    }

    pub(super) fn identity(&self, message: u8) -> Identity {
        self.scenario.messages[usize::from(message)].identity
    }

    /// The number of the message whose record is found where the record of this one is: its own.
    pub(super) fn key(&self, message: u8) -> u8 {
        let namesake = self.scenario.messages[usize::from(message)].namesake;
        let namesake = namesake.filter(|_| self.order == Some(WrongOrder::RecordKeyedById));
        namesake.and_then(|other| u8::try_from(other).ok()).unwrap_or(message)
    }

    /// Whether some worker of the scenario embeds records.
    pub(super) fn embeds(&self) -> bool {
        self.scenario.placements.contains(&Placement::Embedded)
    }

    /// Everything that queues and operators can do.
    pub(super) fn queue_actions(&self, world: &World, actions: &mut Vec<Action>) {
        for fold in self.folds(world) {
            for check_in in self.scenario.timings.iter().copied() {
                let policies = self.scenario.when_missing.iter().copied();
                actions.extend(policies.map(|when_missing| Action::Deliver {
                    fold: fold.clone(),
                    check_in,
                    when_missing,
                }));
            }
        }
        for (message, spec, one) in self.each(world) {
            let queued = one.queued.iter().filter(|_| world.dead_letters > 0);
            actions.extend(queued.map(|copy| Action::Recovered { message, copy }));
            let dead = || one.dead.iter();
            actions.extend(dead().filter(|_| world.redrives > 0).map(|copy| Action::Redrive { message, copy }));
            actions.extend(dead().filter(|_| world.finishes > 0).map(|copy| Action::Finish { message, copy }));
            // What was not committed, nobody can finish: whoever purges it wants it lost.
            let is_pending = world.is_pending(self, message);
            let purged = one.queued.iter().filter(|_| world.purges > 0 && is_pending);
            actions.extend(purged.map(|copy| Action::Purge { message, copy }));
            if world.sweeps > 0 && is_pending {
                actions.push(Action::Sweep { message });
            }
            if world.drops > 0 && world.can_drop(self, message) {
                actions.push(Action::Drop { message });
            }
            if world.renewals > 0 && world.can_expire_entry(self, message) {
                actions.push(Action::Expire { message });
            }
            if world.renewals > 0 && one.is_over && !world.may_be_committed(self, spec.entity) {
                actions.push(Action::Renew { message });
            }
        }
        let tombstones = (0..).zip(&world.entities).filter(|_| world.expired_tombstones > 0);
        let expired = tombstones.filter(|(entity, _)| world.can_expire(self, *entity));
        actions.extend(expired.map(|(entity, _)| Action::ExpireTombstone { entity }));
    }

    /// What can be delivered together, in every order; single copies, too.
    fn folds(&self, world: &World) -> Vec<Vec<(u8, u8)>> {
        let one = |(message, _, one): (u8, _, &super::message::Message)| {
            one.copies().filter(|_| one.deliveries_left > 0).map(|copy| (message, copy)).collect::<Vec<_>>()
        };
        let copies: Vec<(u8, u8)> = self.each(world).flat_map(one).collect();
        let mut folds: Vec<Vec<(u8, u8)>> = copies.iter().map(|copy| vec![*copy]).collect();
        let mut longest = folds.clone();
        for _ in 1..self.scenario.fold_max {
            let joined = |fold: &Vec<(u8, u8)>| {
                let fits = |(message, _): &&(u8, u8)| {
                    let times = fold.iter().filter(|(other, _)| other == message).count();
                    let left = world.messages[usize::from(*message)].deliveries_left;
                    self.can_join(fold, *message) && times < usize::from(left)
                };
                copies.iter().filter(fits).map(|copy| [fold.clone(), vec![*copy]].concat()).collect::<Vec<_>>()
            };
            longest = longest.iter().flat_map(joined).collect();
            folds.extend(longest.iter().cloned());
        }
        folds
    }

    /// Whether a message can be processed together with these: it is of the same entity, and none of them.
    pub(super) fn can_join(&self, fold: &[(u8, u8)], message: u8) -> bool {
        let entity = |message: u8| self.scenario.messages[usize::from(message)].entity;
        let identities: Vec<u8> = fold.iter().map(|(other, _)| *other).chain([message]).collect();
        let is_group = group(&identities, false).len() == identities.len();
        let is_of_one = fold.iter().all(|(other, _)| entity(*other) == entity(message));
        is_of_one && (is_group || self.order == Some(WrongOrder::FoldTwice))
    }
}

impl World {
    /// Lets something happen. What a worker saw, if it is one that took a step.
    pub(super) fn act(&mut self, model: &Model, action: Action) -> Option<Saw> {
        match action {
            Action::Deliver { fold, check_in, when_missing } => {
                fold.iter().for_each(|(message, _)| self.messages[usize::from(*message)].deliveries_left -= 1);
                self.receive(model, &fold, Progress::new(check_in, when_missing), false);
            }
            Action::Work { worker, place, how, placement } => {
                self.faults -= u8::from(matches!(how, How::Late | How::Hidden | How::Refused | How::Failed));
                self.stale_reads -= u8::from(matches!(how, How::Past(_)));
                self.given_up -= u8::from(how == How::GivenUp);
                return self.work(model, worker, Step { place, how, placement });
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

    /// Whether the message of an embedded record is so old that it cannot come any more.
    pub(super) fn can_drop(&self, model: &Model, message: u8) -> bool {
        let one = &self.messages[usize::from(message)];
        let is_embedded = self.entity_of(model, message).records.of(message).is_some();
        let is_at_work = self.members().any(|member| member.message == message);
        let is_on_its_way = self.late.iter().flat_map(|late| &late.parts).any(|part| part.message == message);
        let may_come = one.is_queued() || one.deliveries_left > 0 || is_at_work || is_on_its_way;
        is_embedded && (!may_come || model.order == Some(WrongOrder::DropWhatMayCome))
    }

    /// A conditional put of the state's item as it was read, without this record. So it is as if both were one step. The version stays.
    pub(super) fn drop_record(&mut self, model: &Model, message: u8) {
        let number = usize::from(model.scenario.messages[usize::from(message)].entity);
        self.past[number].push(self.entities[number]);
        self.entities[number].records.drop_of(message);
        self.messages[usize::from(message)].is_dropped = true;
    }

    /// Gives messages to a new worker.
    pub(super) fn receive(&mut self, model: &Model, copies: &[(u8, u8)], memory: Progress, finishes: bool) {
        let claim = |message: u8, copy: u8| self.messages[usize::from(message)].claim(copy);
        let member = |(message, copy): &(u8, u8)| {
            super::worker::Member::new(*message, *copy, claim(*message, *copy), memory, finishes)
        };
        let members = copies.iter().map(member).collect();
        let mut worker = Worker::of(members);
        for place in 0..copies.len() {
            worker.see(model, place, Saw::Delivery);
        }
        self.workers.push(worker);
    }

    /// Whether a message's record waits for somebody to finish it.
    pub(super) fn is_pending(&self, model: &Model, message: u8) -> bool {
        let one = &self.messages[usize::from(message)];
        let embedded = self.entity_of(model, message).records.of(message);
        let takes_expired = model.order == Some(WrongOrder::SweepExpired);
        one.record.is_some_and(|record| !record.is_retained)
            || embedded.is_some_and(|record| !record.is_expired || takes_expired) && !self.is_settled(model, message)
    }

    /// Whether a commit on an entity may still come.
    fn may_be_committed(&self, model: &Model, entity: u8) -> bool {
        let is_here = |message: u8| model.scenario.messages[usize::from(message)].entity == entity;
        let commits = self.members().any(|member| is_here(member.message) && member.todo < Do::StoreClaims);
        commits || self.late.iter().any(|late| late.entity == entity)
    }

    /// Whether the window of an id can end: nothing is left of its message but an entry, and perhaps an embedded record.
    fn can_expire_entry(&self, model: &Model, message: u8) -> bool {
        let (spec, one) = (&model.scenario.messages[usize::from(message)], &self.messages[usize::from(message)]);
        let is_at_rest = one.entry && !one.is_queued() && !self.members().any(|member| member.message == message);
        spec.identity == Identity::Id && is_at_rest && !self.may_be_committed(model, spec.entity)
    }

    /// The entry expires. No copy of the message comes any more.
    fn expire_entry(&mut self, model: &Model, message: u8) {
        let entity = usize::from(model.scenario.messages[usize::from(message)].entity);
        let records = &mut self.entities[entity].records;
        if let Some(record) = records.of(message) {
            records.put(message, Record { is_expired: true, ..record });
        }
        let message = &mut self.messages[usize::from(message)];
        (message.entry, message.is_over, message.deliveries_left) = (false, true, 0);
    }

    /// The id comes again, for another message.
    fn renew(&mut self, model: &Model, message: u8) {
        let spec = &model.scenario.messages[usize::from(message)];
        let entity = &mut self.entities[usize::from(spec.entity)];
        entity.applied = entity.applied.without(message);
        let first = Set::default().with(0);
        self.messages[usize::from(message)] = super::message::Message {
            sent: first,
            queued: first,
            is_due: true,
            rightful: Some(0),
            deliveries_left: spec.deliveries,
            entry: self.messages[usize::from(message)].entry,
            ..super::message::Message::default()
        };
    }

    /// Whether the tombstone of an entity can expire: no message is in the middle of its work on it.
    fn can_expire(&self, model: &Model, number: u8) -> bool {
        let entity = &self.entities[usize::from(number)];
        let is_settled = |message| self.is_settled(model, message);
        entity.is_deleted && entity.records.messages().all(is_settled) && !self.may_be_committed(model, number)
    }

    pub(super) fn is_settled(&self, model: &Model, message: u8) -> bool {
        self.messages[usize::from(message)].is_settled(model.identity(message))
    }

    pub(super) fn entity_of(&self, model: &Model, message: u8) -> &Entity {
        &self.entities[usize::from(model.scenario.messages[usize::from(message)].entity)]
    }
}
