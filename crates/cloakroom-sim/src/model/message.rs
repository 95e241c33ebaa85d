//! The state of one logical message.

use crate::model::{record::Record, scenario::Identity, set::NumberSet};

/// The payloads, copies and record of a logical message. Claims are numbers. Each attempt uses new
/// ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct MessageState {
    /// The claims whose payload exists.
    pub(super) payloads: NumberSet,
    /// How many claims were ever used.
    pub(super) claims: u8,
    /// A payload was written under a claim that had been used before.
    pub(super) is_rewritten: bool,
    /// A dedupe entry exists.
    pub(super) entry: bool,
    /// The claims under which the message was ever sent. A copy of each can be delivered again at
    /// any time.
    pub(super) sent: NumberSet,
    /// Copies that wait to be acknowledged. A copy that was sent has the number of its claim. A
    /// copy that was moved back from the dead-letter queue or sent again has its own number, so
    /// that the receiver of an earlier copy does not acknowledge it.
    pub(super) queued: NumberSet,
    /// Copies in the dead-letter queue.
    pub(super) dead: NumberSet,
    /// How many copies were moved back or sent again.
    pub(super) put_back: u8,
    pub(super) deliveries_left: u8,
    /// How often the message was committed.
    pub(super) commits: u8,
    /// The separate record.
    pub(super) record: Option<Record>,
    /// The deduplication window is over: the entry has expired.
    pub(super) is_over: bool,
    /// A sweep has dropped the record, because the message can no longer be delivered.
    pub(super) is_dropped: bool,
    /// The message was settled without a commit, because it had no effect. Only a wrong order does
    /// so.
    pub(super) is_skipped: bool,
    /// A commit requires that the message is sent.
    pub(super) must_be_sent: bool,
    /// The claim of this message in the record of its sender.
    pub(super) recorded_claim: Option<u8>,
}

/// Copies that were moved back or sent again have numbers from here.
pub(super) const PUT_BACK: u8 = 16;
/// Stands for no copy: a sweep has received none.
pub(super) const NO_COPY: u8 = 31;

impl MessageState {
    /// The claim of a copy. A copy that was moved back or sent again has the claim in the sender's
    /// record.
    pub(super) fn claim(&self, copy: u8) -> u8 {
        if copy < PUT_BACK { copy } else { self.recorded_claim.unwrap_or_default() }
    }

    /// Moves a copy back from the dead-letter queue.
    pub(super) fn put_back(&mut self, copy: u8) {
        self.dead = self.dead.without(copy);
        self.send_again();
    }

    /// Sends the same message to its queue once more.
    pub(super) fn send_again(&mut self) {
        assert!(
            PUT_BACK + self.put_back < NO_COPY,
            "a scenario in which a message has this many copies has too many states"
        );
        self.queued = self.queued.with(PUT_BACK + self.put_back);
        self.put_back += 1;
    }

    /// The copies that can be delivered: any that was ever sent, and those that were moved back or
    /// sent again.
    pub(super) fn copies(&self) -> impl Iterator<Item = u8> + use<> {
        self.sent.union(self.queued).iter()
    }

    /// Whether a copy is in the queue or in the dead-letter queue.
    pub(super) const fn is_queued(&self) -> bool {
        !self.queued.is_empty() || !self.dead.is_empty()
    }

    /// Whether the payload, the entry or the record shows that the message was processed and that
    /// everything it sends was dispatched. This never becomes false again, because a claim is never
    /// used twice.
    pub(super) fn is_settled(&self, identity: Identity) -> bool {
        match identity {
            Identity::Claim => self.recorded_claim.is_none_or(|claim| !self.payloads.has(claim)),
            Identity::Id => self.entry,
            Identity::Retained => self.record.is_some_and(|record| record.is_retained),
        }
    }
}
