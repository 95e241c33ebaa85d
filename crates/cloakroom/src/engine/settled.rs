//! Embedded records whose messages this endpoint has settled itself: the next commit drops them without having to look.

use std::{
    collections::HashSet,
    mem,
    sync::{Mutex, PoisonError},
};

use crate::{Claim, MessageId, Partition, Settles};

/// How many are remembered: at least so many of the last, at most twice as many.
const GENERATION: usize = 32_768;

/// Messages that were settled. What is forgotten costs a read.
#[derive(Debug, Default)]
pub(crate) struct Settled(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<Identity>,
    old: HashSet<Identity>,
}

impl Settled {
    pub(crate) fn note(&self, partition: &Partition, message: &MessageId, settles: Option<&Settles>) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= GENERATION {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(Identity::of(partition, message, settles));
    }

    pub(crate) fn knows(&self, partition: &Partition, message: &MessageId, settles: Option<&Settles>) -> bool {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = Identity::of(partition, message, settles);
        generations.young.contains(&identity) || generations.old.contains(&identity)
    }
}

/// No two messages have the same, so none passes for another's; two of one id differ in their claims.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Identity {
    Claimed(Claim),
    Unclaimed(Partition, MessageId),
}

impl Identity {
    fn of(partition: &Partition, message: &MessageId, settles: Option<&Settles>) -> Self {
        match settles {
            Some(Settles::Payload(claim)) => Self::Claimed(claim.clone()),
            Some(Settles::Entry(_) | Settles::Retained(_)) | None => {
                Self::Unclaimed(partition.clone(), message.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered_and_space_is_bounded() {
        let settled = Settled::default();
        let message = |number: usize| MessageId::new(number.to_string());
        let partition = Partition::from("p");
        (0..3 * GENERATION).for_each(|number| settled.note(&partition, &message(number), None));
        assert!((2 * GENERATION..3 * GENERATION).all(|number| settled.knows(&partition, &message(number), None)));
        assert!(!settled.knows(&partition, &message(0), None));
        assert!(!settled.knows(&Partition::from("q"), &message(3 * GENERATION - 1), None));
    }
}
