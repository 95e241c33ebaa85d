//! Digests of the messages that were last committed to a state. They are in the state's item. If
//! the digest of a message is there, its missing payload shows a duplicate and not a loss.
//!
//! Only the loss alarm uses the digests, so they may be incomplete. They occupy only the unused
//! bytes of the item's last write unit, so they cost nothing.

use serde_dynamo::{AttributeValue, Item};

use crate::format::{
    derived_id::derived_id,
    item_size::item_bytes,
    name::Claim,
    record::{Record, Settles},
    schema::attribute,
};

/// The maximum number of digests.
const RECENT_MAX: usize = 32;
const DIGEST_BYTES: usize = 4;
/// The size of a DynamoDB write unit.
const WRITE_UNIT_BYTES: usize = 1024;

/// Digests of the claims of the messages that were committed last.
///
/// About one in a hundred million other claims has one of these digests by chance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent(Vec<[u8; DIGEST_BYTES]>);

impl Recent {
    /// Returns whether a message with this claim was committed recently. `false` proves nothing.
    pub fn has(&self, claim: &Claim) -> bool {
        self.0.contains(&digest(claim))
    }

    /// Reads the digests from a state's item.
    pub(crate) fn read(item: &Item) -> Self {
        match item.get(attribute::RECENT) {
            Some(AttributeValue::B(bytes)) => Self(bytes.as_chunks().0.to_vec()),
            _ => Self::default(),
        }
    }

    /// Writes these digests and the digests of the messages that are committed with the item. If
    /// there is not enough room, the oldest digests are left out. `key_bytes` is the size of the
    /// item's keys.
    pub(crate) fn write<'r>(mut self, records: impl Iterator<Item = &'r Record>, item: &mut Item, key_bytes: usize) {
        self.0.extend(records.filter_map(|record| match &record.settles {
            Some(Settles::Payload(claim)) => Some(digest(claim)),
            Some(Settles::Entry(_) | Settles::Retained(_)) | None => None,
        }));
        let bytes = key_bytes + item_bytes(item);
        let room = bytes.next_multiple_of(WRITE_UNIT_BYTES) - bytes;
        let fitting = room.saturating_sub(attribute::RECENT.len()) / DIGEST_BYTES;
        let last = self.0.len().saturating_sub(fitting.min(RECENT_MAX));
        if last < self.0.len() {
            item.insert(attribute::RECENT.to_owned(), AttributeValue::B(self.0[last..].concat()));
        }
    }
}

fn digest(claim: &Claim) -> [u8; DIGEST_BYTES] {
    let [a, b, c, d, ..] = *derived_id(&[claim.as_str()]).as_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn record(number: u128) -> Record {
        Record { settles: Some(Settles::Payload(Claim::from_random(number, "s"))), ..Record::default() }
    }

    #[test]
    fn recent_claims_never_cost_a_write_unit() {
        let records: Vec<_> = (0..40).map(record).collect();
        for length in 0..2_100 {
            let text = AttributeValue::S("x".repeat(length));
            let mut item = Item::from(HashMap::from([("text".to_owned(), text)]));
            let units = |item: &Item| (item_bytes(item) + 50).div_ceil(WRITE_UNIT_BYTES);
            let before = units(&item);
            Recent::default().write(records.iter(), &mut item, 50);
            assert_eq!(units(&item), before, "{length}");
        }
    }

    #[test]
    fn recent_claims_are_the_last_ones_that_fit() {
        let mut item = Item::default();
        let (first, last): (Vec<_>, Vec<_>) = ((0..30).map(record).collect(), (30..40).map(record).collect());
        Recent::default().write(first.iter(), &mut item, 50);
        Recent::read(&item).write(last.iter(), &mut item, 50);
        let recent = Recent::read(&item);
        let has = |number| recent.has(&Claim::from_random(number, "s"));
        assert_eq!((0..50).filter(|number| has(*number)).collect::<Vec<_>>(), (8..40).collect::<Vec<_>>());
    }
}
