//! What there is at a moment: entities, messages wherever they are, and workers in the middle of their work.

use ahash::RandomState;

use super::{
    message::Message,
    scenario::{Identity, Scenario},
    worker::{Member, Worker},
};

/// A set of small numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Set(u32);

impl Set {
    pub(super) const fn has(self, number: u8) -> bool {
        self.0 & 1 << number != 0
    }

    #[must_use]
    pub(super) const fn with(self, number: u8) -> Self {
        Self(self.0 | 1 << number)
    }

    #[must_use]
    pub(super) const fn without(self, number: u8) -> Self {
        Self(self.0 & !(1 << number))
    }

    #[must_use]
    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..32).filter(move |number| self.has(*number))
    }
}

/// The claims of up to two outgoing messages, in their order.
pub(super) type Claims = [u8; 2];

/// An outbox record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Record {
    /// Whether it has messages to send at all.
    pub(super) sends: bool,
    /// None while it has bodies in their place.
    pub(super) claims: Option<Claims>,
    /// It is kept as the proof that its message was processed.
    pub(super) is_retained: bool,
    /// It is older than any message that it could belong to.
    pub(super) is_expired: bool,
}

/// How many messages a scenario has at most.
const MESSAGES_MAX: usize = 4;

/// Embedded records, by the numbers of their messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Records([Option<Record>; MESSAGES_MAX]);

impl Records {
    pub(super) fn of(&self, message: u8) -> Option<Record> {
        self.0[usize::from(message)]
    }

    pub(super) fn put(&mut self, message: u8, record: Record) {
        self.0[usize::from(message)] = Some(record);
    }

    pub(super) fn drop_of(&mut self, message: u8) {
        self.0[usize::from(message)] = None;
    }

    /// Whose they are.
    pub(super) fn messages(&self) -> impl Iterator<Item = u8> {
        (0..).zip(&self.0).filter_map(|(message, record)| record.map(|_| message))
    }
}

/// The item of an entity's state: which messages were applied to it, and what outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Entity {
    pub(super) version: u8,
    pub(super) applied: Set,
    /// The records that are embedded in it.
    pub(super) records: Records,
    /// No record was ever put beside it.
    pub(super) is_complete: bool,
    /// It is a tombstone.
    pub(super) is_deleted: bool,
}

impl Default for Entity {
    fn default() -> Self {
        let (version, applied, records, is_deleted) = Default::default();
        Self { version, applied, records, is_complete: true, is_deleted }
    }
}

/// A commit on its way, whose worker has given up waiting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Commit {
    pub(super) entity: u8,
    pub(super) expected: u8,
    /// The state's item as it will be, with the records of others that are carried on.
    pub(super) state: Entity,
    pub(super) parts: Vec<Part>,
}

/// What a commit holds of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Part {
    pub(super) message: u8,
    pub(super) record: Record,
    pub(super) is_embedded: bool,
}

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub(super) entities: Vec<Entity>,
    /// What each of them was before, as long as somebody may still see it.
    pub(super) past: Vec<Vec<Entity>>,
    pub(super) messages: Vec<Message>,
    pub(super) workers: Vec<Worker>,
    pub(super) late: Vec<Commit>,
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
    /// A version became smaller.
    pub(super) went_back: bool,
}

impl World {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let entities = scenario.messages.iter().map(|message| message.entity).max().map_or(0, |last| last + 1);
        let messages = scenario.messages.iter().map(|message| {
            let first = if message.is_first { Set::default().with(0) } else { Set::default() };
            let has_payload = message.is_first && message.identity == Identity::Claim;
            Message {
                payloads: if has_payload { first } else { Set::default() },
                claims: u8::from(message.is_first),
                sent: first,
                queued: first,
                is_due: message.is_first,
                rightful: message.is_first.then_some(0),
                deliveries_left: message.deliveries,
                ..Message::default()
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
            went_back: false,
        }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.workers.iter().flat_map(|worker| &worker.members)
    }

    /// Stands for all worlds that differ in nothing but who works on messages, and in commits that are late.
    #[rustfmt::skip]
    pub(super) fn fingerprint_without_workers(&self) -> u64 {
        let Self { entities, past, messages, workers: _, late: _, stale_reads, faults, dead_letters, redrives, finishes, purges,
            renewals, expired_tombstones, sweeps, given_up, drops, went_back } = self;
        let left = [stale_reads, faults, dead_letters, redrives, finishes, purges, renewals, expired_tombstones, sweeps, given_up, drops];
        RandomState::with_seeds(1, 2, 3, 4).hash_one((entities, past, messages, left, went_back))
    }

    /// Brings it into the one form that stands for all that do not differ: workers have no names, a late commit that can
    /// never apply is none, and a past that nobody can see is forgotten.
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
}

pub(super) fn version(number: u8) -> cloakroom::protocol::Version {
    cloakroom::protocol::Version::new(number.into())
}
