//! Claims whose payloads this endpoint has deleted: the next commit drops their embedded records without a look.
//!
//! SUBTLE: claims only. A claim never exists again, so the fact holds for good. An id may come again after its entry has
//! expired, and then names another message (`the_record_of_an_id_that_came_again_is_not_dropped`).

use std::{
    collections::HashSet,
    mem,
    sync::{Mutex, PoisonError},
};

use crate::format::{
    name::Claim,
    record::{Record, Settles},
};

/// How many are remembered: at least so many of the last, at most twice as many.
const GENERATION: usize = 32_768;

/// Claims that were deleted. A forgotten one costs a read.
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

    /// Whether the message of this record is known to be settled.
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
    fn the_last_claims_are_remembered_and_space_is_bounded() {
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
