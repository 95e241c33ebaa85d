//! What there is at a moment: entities, messages wherever they are, and workers in the middle of their work.

use cloakroom::protocol::{Do, Memory};

use super::{
    scenario::{Identity, Scenario},
    wrong_orders::Detour,
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

/// The state of an entity: which messages were applied to it, and the version, which outlives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Entity {
    pub(super) version: u8,
    pub(super) applied: Set,
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
}

/// Where a logical message, its payloads and its record are. Claims have numbers, and each attempt takes new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Message {
    /// Claims whose payload exists.
    pub(super) payloads: Set,
    /// How many claims were ever taken.
    pub(super) claims: u8,
    /// A payload was written under a claim that had been taken before.
    pub(super) is_rewritten: bool,
    /// A dedupe entry exists.
    pub(super) entry: bool,
    /// Claims under which it was ever sent, and can be delivered late, or once more, at any time.
    pub(super) sent: Set,
    /// Copies of it that wait to be acknowledged. What was sent has the number of its claim; each copy that was put back has
    /// a number of its own, so that it isn't acknowledged by who received an earlier one.
    pub(super) queued: Set,
    /// Copies that lie in the dead-letter queue.
    pub(super) dead: Set,
    /// How many copies were put back.
    pub(super) put_back: u8,
    pub(super) deliveries_left: u8,
    /// How often it was committed.
    pub(super) commits: u8,
    pub(super) record: Option<Record>,
    /// It was settled without a commit, for want of an effect: a wrong order.
    pub(super) is_skipped: bool,
    /// A commit demands that it is sent.
    pub(super) is_due: bool,
    /// The claim that its sender's record has for it.
    pub(super) rightful: Option<u8>,
}

/// Copies that were put back have numbers from here.
pub(super) const PUT_BACK: u8 = 16;
/// The number of no copy: a sweep has none in hand.
pub(super) const NO_COPY: u8 = 31;

impl Message {
    /// The claim of a copy. What is put back is what was sent under the claim that is rightful.
    pub(super) fn claim(&self, copy: u8) -> u8 {
        if copy < PUT_BACK { copy } else { self.rightful.unwrap_or_default() }
    }

    /// Puts a copy back from the dead-letter queue.
    pub(super) fn put_back(&mut self, copy: u8) {
        self.dead = self.dead.without(copy);
        self.queued = self.queued.with(PUT_BACK + self.put_back);
        self.put_back += 1;
    }

    /// Copies that can be delivered: any that was ever sent, however late, and what was put back.
    pub(super) fn copies(&self) -> impl Iterator<Item = u8> + use<> {
        self.sent.union(self.queued).iter()
    }

    /// Whether somebody will receive it, or put it back; or finish its record, if there are sweeps.
    pub(super) const fn is_waiting(&self, is_swept: bool) -> bool {
        !self.queued.is_empty() || !self.dead.is_empty() || is_swept && self.record.is_some()
    }
}

/// A worker in the middle of a delivery. One that has died is one that never goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Worker {
    pub(super) message: u8,
    /// Which copy of it.
    pub(super) copy: u8,
    /// Of that copy.
    pub(super) claim: u8,
    /// Took the message from the dead-letter queue, or found its record.
    pub(super) finishes: bool,
    pub(super) memory: Memory,
    pub(super) detour: Detour,
    pub(super) todo: Do,
    /// The state it has read.
    pub(super) view: Set,
    /// What its record has to send, be it its own or found.
    pub(super) sends: bool,
    /// The claims it has taken, or found; none before.
    pub(super) claims: Option<Claims>,
    /// How many messages of its record it has sent.
    pub(super) dispatched: u8,
}

/// A commit on its way, whose worker has given up waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Commit {
    pub(super) message: u8,
    pub(super) expected: u8,
    pub(super) view: Set,
    pub(super) sends: bool,
    pub(super) claims: Option<Claims>,
}

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub(super) entities: Vec<Entity>,
    pub(super) messages: Vec<Message>,
    pub(super) workers: Vec<Worker>,
    pub(super) late: Vec<Commit>,
    pub(super) stale_reads: u8,
    pub(super) faults: u8,
    pub(super) dead_letters: u8,
    pub(super) redrives: u8,
    pub(super) finishes: u8,
    pub(super) purges: u8,
    pub(super) sweeps: u8,
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
            messages: messages.collect(),
            workers: Vec::new(),
            late: Vec::new(),
            stale_reads: scenario.stale_reads,
            faults: scenario.faults,
            dead_letters: scenario.dead_letters,
            redrives: scenario.redrives,
            finishes: scenario.finishes,
            purges: scenario.purges,
            sweeps: scenario.sweeps,
            went_back: false,
        }
    }

    /// Brings it into the one form that stands for all that do not differ: workers have no names, and a late commit that can
    /// never apply is none.
    pub(super) fn normalise(&mut self, versions_grow: bool, entity_of: impl Fn(u8) -> u8) {
        self.workers.sort_unstable();
        if versions_grow {
            let entities = &self.entities;
            self.late.retain(|late| entities[usize::from(entity_of(late.message))].version == late.expected);
        }
        self.late.sort_unstable();
    }
}

pub(super) fn version(number: u8) -> cloakroom::Version {
    cloakroom::Version::new(number.into())
}
