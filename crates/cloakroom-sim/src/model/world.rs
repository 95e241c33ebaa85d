//! A state of the model: entities, messages, and workers in the middle of their work.

use ahash::RandomState;

use crate::model::{
    commit_draft::CommitDraft,
    definition::Model,
    entity::Entity,
    member::Member,
    message::MessageState,
    scenario::{Identity, MessageSpec, Scenario},
    set::NumberSet,
    worker::ModelWorker,
};

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelWorld {
    pub(super) entities: Vec<Entity>,
    /// The earlier states of each entity, as long as a read can return them.
    pub(super) past: Vec<Vec<Entity>>,
    pub(super) messages: Vec<MessageState>,
    pub(super) workers: Vec<ModelWorker>,
    pub(super) late: Vec<CommitDraft>,
    pub(super) stale_reads: u8,
    pub(super) faults: u8,
    pub(super) dead_letters: u8,
    pub(super) redrives: u8,
    pub(super) finishes: u8,
    pub(super) purges: u8,
    pub(super) renewals: u8,
    pub(super) expired_tombstones: u8,
    pub(super) sweeps: u8,
    pub(super) given_up: u8,
    pub(super) drops: u8,
    /// The version of some entity decreased.
    pub(super) version_decreased: bool,
}

impl ModelWorld {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let entities = scenario.messages.iter().map(|message| message.entity).max().map_or(0, |last| last + 1);
        let messages = scenario.messages.iter().map(|message| {
            let first = if message.is_first { NumberSet::default().with(0) } else { NumberSet::default() };
            let has_payload = message.is_first && message.identity == Identity::Claim;
            MessageState {
                payloads: if has_payload { first } else { NumberSet::default() },
                claims: u8::from(message.is_first),
                sent: first,
                queued: first,
                must_be_sent: message.is_first,
                recorded_claim: message.is_first.then_some(0),
                deliveries_left: message.deliveries,
                ..MessageState::default()
            }
        });
        Self {
            entities: vec![Entity::default(); entities.into()],
            past: vec![Vec::new(); entities.into()],
            messages: messages.collect(),
            workers: Vec::new(),
            late: Vec::new(),
            stale_reads: scenario.stale_reads,
            faults: scenario.faults,
            dead_letters: scenario.dead_letters,
            redrives: scenario.redrives,
            finishes: scenario.finishes,
            purges: scenario.purges,
            renewals: scenario.renewals,
            expired_tombstones: scenario.expired_tombstones,
            sweeps: scenario.sweeps,
            given_up: scenario.given_up,
            drops: scenario.drops,
            version_decreased: false,
        }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.workers.iter().flat_map(|worker| &worker.members)
    }

    /// A fingerprint that ignores workers and late commits. All other fields decide it.
    #[rustfmt::skip]
    pub(super) fn fingerprint_without_workers(&self) -> u64 {
        let Self { entities, past, messages, workers: _, late: _, stale_reads, faults, dead_letters, redrives, finishes, purges,
            renewals, expired_tombstones, sweeps, given_up, drops, version_decreased } = self;
        let left = [stale_reads, faults, dead_letters, redrives, finishes, purges, renewals, expired_tombstones, sweeps, given_up, drops];
        RandomState::with_seeds(1, 2, 3, 4).hash_one((entities, past, messages, left, version_decreased))
    }

    /// Brings the world into the form that represents all equivalent worlds. Workers have no names.
    /// A late commit that can never apply is removed. Earlier states that no read can return are
    /// removed.
    pub(super) fn normalise(&mut self, versions_grow: bool) {
        self.workers.sort_unstable();
        if versions_grow {
            let entities = &self.entities;
            self.late.retain(|late| entities[usize::from(late.entity)].version == late.expected);
        }
        self.late.sort_unstable();
        if self.stale_reads == 0 {
            self.past.iter_mut().for_each(Vec::clear);
        }
    }

    /// Every message with its number and its specification.
    pub(super) fn each<'a>(
        &'a self,
        model: &'a Model,
    ) -> impl Iterator<Item = (u8, &'a MessageSpec, &'a MessageState)> {
        (0..).zip(model.scenario.messages).zip(&self.messages).map(|((number, spec), message)| (number, spec, message))
    }
}
