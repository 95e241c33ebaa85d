//! Actions of queues and operators.

use cloakroom::protocol::fold::group;

use crate::model::{
    action::Action, definition::Model, message::MessageState, world::ModelWorld, wrong_orders::WrongOrder,
};

impl Model {
    /// Adds all actions of queues and operators.
    pub(super) fn queue_actions(&self, world: &ModelWorld, actions: &mut Vec<Action>) {
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
        for (message, spec, one) in world.each(self) {
            let queued = one.queued.iter().filter(|_| world.dead_letters > 0);
            actions.extend(queued.map(|copy| Action::Recovered { message, copy }));
            let dead = || one.dead.iter();
            actions.extend(dead().filter(|_| world.redrives > 0).map(|copy| Action::Redrive { message, copy }));
            actions.extend(dead().filter(|_| world.finishes > 0).map(|copy| Action::Finish { message, copy }));
            // A message that was not committed cannot be finished. An operator who purges it
            // accepts its loss.
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

    /// The copies that can be delivered together, in every order, and each copy alone.
    fn folds(&self, world: &ModelWorld) -> Vec<Vec<(u8, u8)>> {
        let one = |(message, _, one): (u8, _, &MessageState)| {
            one.copies().filter(|_| one.deliveries_left > 0).map(|copy| (message, copy)).collect::<Vec<_>>()
        };
        let copies: Vec<(u8, u8)> = world.each(self).flat_map(one).collect();
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

    /// Whether a message can be processed together with these copies: it has the same entity and is
    /// none of them.
    pub(super) fn can_join(&self, fold: &[(u8, u8)], message: u8) -> bool {
        let entity = |message: u8| self.scenario.messages[usize::from(message)].entity;
        let identities: Vec<u8> = fold.iter().map(|(other, _)| *other).chain([message]).collect();
        let is_group = group(&identities, false).len() == identities.len();
        let is_of_one = fold.iter().all(|(other, _)| entity(*other) == entity(message));
        is_of_one && (is_group || self.order == Some(WrongOrder::FoldTwice))
    }
}
