//! What can happen next.

use cloakroom::protocol::{CheckIn, Consistency, Do, Memory, Saw, WhenMissing};

use super::{
    Model,
    message::NO_COPY,
    scenario::{Handler, Identity, Placement},
    work::{How, Step},
    worker::Worker,
    world::{Entity, World},
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
    DeadLetter {
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
    Sweep {
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
            if let Do::Commit(_) = todo {
                self.commit_actions(world, number, actions);
                continue;
            }
            let is_shared = matches!(todo, Do::ReadState(_));
            let wants = |place: &usize| if is_shared { *place == 0 } else { worker.members[*place].todo == todo };
            for place in (0..worker.members.len()).filter(wants) {
                let act = |how| Action::Work { worker: number, place, how, placement: Placement::Beside };
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
            Do::ReadState(consistency)
                if consistency == Consistency::Any || self.order == Some(WrongOrder::WithdrawAfterStaleRead) =>
            {
                let past = world.past[usize::from(spec.entity)].len();
                let past = if world.stale_reads > 0 { past } else { 0 };
                std::iter::once(How::Well).chain((0..past).map(How::Past)).collect()
            }
            Do::ReadState(_)
            | Do::Withdraw
            | Do::Handle
            | Do::Park
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
            placements = vec![Placement::Beside];
        }
        let answers: &[How] = if world.faults > 0 { &[How::Well, How::Late, How::Hidden] } else { &[How::Well] };
        for placement in placements {
            let act = |how: &How| Action::Work { worker: number, place: 0, how: *how, placement };
            actions.extend(answers.iter().map(act));
        }
        let carried = worker.view.iter().flat_map(|view| view.records.messages());
        let is_seen_settled = |message: &u8| match self.order {
            Some(WrongOrder::DropAfterStaleLook) => self.identity(*message) == Identity::Claim,
            Some(_) | None => world.is_settled(self, *message),
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
        for (message, _, one) in self.each(world) {
            let queued = one.queued.iter().filter(|_| world.dead_letters > 0);
            actions.extend(queued.map(|copy| Action::DeadLetter { message, copy }));
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
        }
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
        fold.iter().all(|(other, _)| {
            entity(*other) == entity(message) && (*other != message || self.order == Some(WrongOrder::FoldTwice))
        })
    }
}

impl World {
    /// Lets something happen. What a worker saw, if it is one that took a step.
    pub(super) fn act(&mut self, model: &Model, action: Action) -> Option<Saw> {
        match action {
            Action::Deliver { fold, check_in, when_missing } => {
                fold.iter().for_each(|(message, _)| self.messages[usize::from(*message)].deliveries_left -= 1);
                self.receive(model, &fold, Memory::new(check_in, when_missing), false);
            }
            Action::Work { worker, place, how, placement } => {
                self.faults -= u8::from(matches!(how, How::Late | How::Hidden));
                self.stale_reads -= u8::from(matches!(how, How::Past(_)));
                return self.work(model, worker, Step { place, how, placement });
            }
            Action::Land { late } => {
                let commit = self.late.remove(late);
                self.apply(model, &commit);
            }
            Action::DeadLetter { message, copy } => {
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
                self.receive(model, &[(message, copy)], Memory::finishing(), true);
            }
            Action::Purge { message, copy } => {
                self.purges -= 1;
                let message = &mut self.messages[usize::from(message)];
                message.queued = message.queued.without(copy);
            }
            Action::Sweep { message } => {
                self.sweeps -= 1;
                self.receive(model, &[(message, NO_COPY)], Memory::finishing(), true);
            }
        }
        None
    }

    /// Gives messages to a new worker.
    pub(super) fn receive(&mut self, model: &Model, copies: &[(u8, u8)], memory: Memory, finishes: bool) {
        let claim = |message: u8, copy: u8| self.messages[usize::from(message)].claim(copy);
        let member = |(message, copy): &(u8, u8)| {
            super::worker::Member::new(*message, *copy, claim(*message, *copy), memory, finishes)
        };
        let mut worker = Worker { view: None, members: copies.iter().map(member).collect() };
        for place in 0..copies.len() {
            worker.see(model, place, Saw::Delivery);
        }
        self.workers.push(worker);
    }

    /// Whether a message's record waits for somebody to finish it.
    pub(super) fn is_pending(&self, model: &Model, message: u8) -> bool {
        let one = &self.messages[usize::from(message)];
        one.record.is_some_and(|record| !record.is_retained)
            || self.embedded(model, message) && !self.is_settled(model, message)
    }

    /// Whether a message's record is embedded in its entity's item.
    pub(super) fn embedded(&self, model: &Model, message: u8) -> bool {
        self.entity_of(model, message).records.of(message).is_some()
    }

    pub(super) fn is_settled(&self, model: &Model, message: u8) -> bool {
        self.messages[usize::from(message)].is_settled(model.identity(message))
    }

    pub(super) fn entity_of(&self, model: &Model, message: u8) -> &Entity {
        &self.entities[usize::from(model.scenario.messages[usize::from(message)].entity)]
    }
}
