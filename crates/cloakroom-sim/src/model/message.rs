//! Where a logical message is, and all that belongs to it.

use super::{
    scenario::Identity,
    world::{Record, Set},
};

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
    /// Copies of it that wait to be acknowledged. What was sent has the number of its claim; each copy that was put back, or sent again, has
    /// a number of its own, so that it isn't acknowledged by who received an earlier one.
    pub(super) queued: Set,
    /// Copies that lie in the dead-letter queue.
    pub(super) dead: Set,
    /// How many copies were put back, or sent again.
    pub(super) put_back: u8,
    pub(super) deliveries_left: u8,
    /// How often it was committed.
    pub(super) commits: u8,
    /// The record beside the state.
    pub(super) record: Option<Record>,
    /// Its window is over: its entry has expired.
    pub(super) is_over: bool,
    /// A sweep has dropped its record, because it cannot come any more.
    pub(super) is_dropped: bool,
    /// It was settled without a commit, for want of an effect: a wrong order.
    pub(super) is_skipped: bool,
    /// A commit demands that it is sent.
    pub(super) is_due: bool,
    /// The claim that its sender's record has for it.
    pub(super) rightful: Option<u8>,
}

/// Copies that were put back, or sent again, have numbers from here.
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
        self.send_again();
    }

    /// Sends the same message to its queue once more.
    pub(super) fn send_again(&mut self) {
        assert!(
            PUT_BACK + self.put_back < NO_COPY,
            "a scenario in which a message has that many copies has too many states"
        );
        self.queued = self.queued.with(PUT_BACK + self.put_back);
        self.put_back += 1;
    }

    /// Copies that can be delivered: any that was ever sent, however late, and what was put back.
    pub(super) fn copies(&self) -> impl Iterator<Item = u8> + use<> {
        self.sent.union(self.queued).iter()
    }

    /// Whether somebody will receive it, or put it back.
    pub(super) const fn is_queued(&self) -> bool {
        !self.queued.is_empty() || !self.dead.is_empty()
    }

    /// Whether its payload, its entry, or its record tells that it was processed, and all sent that this demands. For good: a claim
    /// never exists again.
    pub(super) fn is_settled(&self, identity: Identity) -> bool {
        match identity {
            Identity::Claim => self.rightful.is_none_or(|claim| !self.payloads.has(claim)),
            Identity::Id => self.entry,
            Identity::Retained => self.record.is_some_and(|record| record.is_retained),
        }
    }
}
