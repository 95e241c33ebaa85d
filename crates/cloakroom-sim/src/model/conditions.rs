//! Conditions of a world that decide which actions are possible.

use cloakroom::protocol::Do;

use crate::model::{
    definition::Model, entity::Entity, scenario::Identity, world::ModelWorld, wrong_orders::WrongOrder,
};

impl ModelWorld {
    /// Whether a message can no longer be delivered, so that its embedded record can be dropped.
    pub(super) fn can_drop(&self, model: &Model, message: u8) -> bool {
        let one = &self.messages[usize::from(message)];
        let is_embedded = self.entity_of(model, message).records.of(message).is_some();
        let is_at_work = self.members().any(|member| member.message == message);
        let is_on_its_way = self.late.iter().flat_map(|late| &late.parts).any(|part| part.message == message);
        let may_come = one.is_queued() || one.deliveries_left > 0 || is_at_work || is_on_its_way;
        is_embedded && (!may_come || model.order == Some(WrongOrder::DropDeliverable))
    }

    /// Whether a message has a record that is not finished.
    pub(super) fn is_pending(&self, model: &Model, message: u8) -> bool {
        let one = &self.messages[usize::from(message)];
        let embedded = self.entity_of(model, message).records.of(message);
        let takes_expired = model.order == Some(WrongOrder::SweepExpired);
        one.record.is_some_and(|record| !record.is_retained)
            || embedded.is_some_and(|record| !record.is_expired || takes_expired) && !self.is_settled(model, message)
    }

    /// Whether a commit on an entity may still follow.
    pub(super) fn may_be_committed(&self, model: &Model, entity: u8) -> bool {
        let is_here = |message: u8| model.scenario.messages[usize::from(message)].entity == entity;
        let commits = self.members().any(|member| is_here(member.message) && member.todo < Do::StoreClaims);
        commits || self.late.iter().any(|late| late.entity == entity)
    }

    /// Whether the deduplication window of an id can end: only an entry is left of its message, and
    /// possibly an embedded record.
    pub(super) fn can_expire_entry(&self, model: &Model, message: u8) -> bool {
        let (spec, one) = (&model.scenario.messages[usize::from(message)], &self.messages[usize::from(message)]);
        let is_at_rest = one.entry && !one.is_queued() && !self.members().any(|member| member.message == message);
        spec.identity == Identity::Id && is_at_rest && !self.may_be_committed(model, spec.entity)
    }

    /// Whether the tombstone of an entity can expire: no worker is processing a message of the
    /// entity.
    pub(super) fn can_expire(&self, model: &Model, number: u8) -> bool {
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
