//! Claims whose payloads this endpoint has deleted. The next commit drops their embedded records
//! without a check.
//!
//! SUBTLE: only claims are stored. A claim is never used again, so the fact stays true. An id may
//! be used again after its entry has expired, for another message
//! (`record_of_a_reused_id_is_not_dropped`).

use std::{
    collections::HashSet,
    mem,
    sync::{Mutex, PoisonError},
};

use crate::format::{
    name::Claim,
    record::{Record, Settles},
};

/// At least this number of the latest claims is kept, and at most twice this number.
const GENERATION: usize = 32_768;

/// The latest claims whose payloads were deleted. An embedded record whose claim is no longer kept
/// costs a read.
#[derive(Debug, Default)]
pub(crate) struct Settled(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<Claim>,
    old: HashSet<Claim>,
}

impl Settled {
    pub(crate) fn note(&self, claim: &Claim) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= GENERATION {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(claim.clone());
    }

    /// Returns whether the message of this record is known to be settled.
    pub(crate) fn knows(&self, record: &Record) -> bool {
        let Some(Settles::Payload(claim)) = &record.settles else { return false };
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.young.contains(claim) || generations.old.contains(claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_settled_claims_are_kept_in_bounded_space() {
        let settled = Settled::default();
        let claim = |number: usize| Claim::new(number.to_string());
        let record = |number| Record { settles: Some(Settles::Payload(claim(number))), ..Record::default() };
        (0..3 * GENERATION).for_each(|number| settled.note(&claim(number)));
        assert!((2 * GENERATION..3 * GENERATION).all(|number| settled.knows(&record(number))));
        assert!(!settled.knows(&record(0)));
        let entry = Record { settles: Some(Settles::Entry("0".to_owned())), ..Record::default() };
        assert!(!settled.knows(&entry));
    }
}
