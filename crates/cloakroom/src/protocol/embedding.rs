//! Embedded records: outbox records in the state's item.
//!
//! Every commit writes the state's item. It carries on the embedded records of other messages, also when it deletes the
//! state. It may drop one of which this worker knows that its message is settled ([`may_drop`]), and no other. Nothing
//! else drops an embedded record but a sweep, or whoever reads it under the id of a new message, if no copy of its own
//! message can come any more ([`is_expired`]); and nothing
//! changes one: a commit that had read it would overwrite the change. That is
//! why a record that has still to change is always an item of its own ([`may_embed`]).
//!
//! A commit that writes a record as an item of its own says so in the state's item, for good: from then on the embedded
//! records are not all there are ([`is_complete`]).

use std::time::Duration;

use crate::protocol::{step::Claims, version::Version};

/// What shows whether records lie beside an absent state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Absent {
    /// A look, after the state was read: any message of the endpoint has a record in the partition.
    Looked {
        /// Whether one has.
        any: bool,
    },
    /// The commit itself: it puts its record beside the state, on the condition that there is none.
    Conditional,
    /// Nothing.
    Unchecked,
}

/// Whether the embedded records are all that the endpoint has in the partition. Then there is no need to look for
/// another one. `stated`: the state's item says so.
///
/// SUBTLE: an absent state says nothing. It may have been deleted and its tombstone have expired while a record lies
/// beside it, and a commit that embeds its record has no condition on that one (`trust_an_absent_state`,
/// `an_embedding_worker_finds_a_record_without_its_state`). A record that is written beside it after the look makes the
/// commit lose: the state is not absent any more.
pub const fn is_complete(stated: bool, version: Version, absent: Absent) -> bool {
    match absent {
        _ if version.number() != Version::ABSENT.number() => stated,
        Absent::Looked { any } => !any,
        Absent::Conditional => true,
        Absent::Unchecked => false,
    }
}

/// Whether a worker has to look for records beside the state before it embeds one.
pub const fn must_look(version: Version, embeds: bool) -> bool {
    embeds && version.number() == Version::ABSENT.number()
}

/// Whether a record may lie in the state's item. One that still has to get its claims, and one that is kept as the proof
/// that its message was processed, is changed later: it is an item of its own.
pub const fn may_embed(claims: Claims, is_retained: bool) -> bool {
    matches!(claims, Claims::Stored) && !is_retained
}

/// Whether an embedded record is older than any message can be. So no copy of its own message can come any more, and
/// one that is found under the identity of a message without a claim belongs to an earlier message of that identity.
///
/// SUBTLE: such a record has no entry any more, so it looks like one whose message was not settled. It would be sent
/// again, and the new message would be settled without having been handled (`resume_expired`,
/// `an_id_that_comes_again_after_its_window_is_handled`).
pub fn is_expired(age: Duration, longest_life_of_a_message: Duration) -> bool {
    age > longest_life_of_a_message
}

/// What a worker knows about the message of an embedded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Known {
    /// Its payload is missing, or its entry is present; or this worker has settled it.
    Settled,
    /// It is not settled.
    NotSettled,
    /// The worker has not looked, or could not.
    Nothing,
}

/// Whether a commit may leave out the embedded record of another message.
///
/// SUBTLE: a record that is dropped while its message lives is a commit that nobody remembers (`drop_blindly`,
/// `what_is_not_settled_is_carried_on`).
pub const fn may_drop(known: Known) -> bool {
    match known {
        Known::Settled => true,
        Known::NotSettled | Known::Nothing => false,
    }
}

/// Returns the positions of the embedded records of other messages that a commit looks at, given what is known of each:
/// at most `looks_max` of those of which nothing is known, from a random one on. So records that nobody may drop do not
/// hide the others for long.
pub fn looks(known: &[Known], random: u128, looks_max: usize) -> Vec<usize> {
    let open: Vec<usize> = (0..known.len()).filter(|position| known[*position] == Known::Nothing).collect();
    let first = random.checked_rem(open.len() as u128).and_then(|first| usize::try_from(first).ok());
    open.iter().copied().cycle().skip(first.unwrap_or_default()).take(looks_max.min(open.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_reach_every_unknown_record_whatever_hides_it() {
        let mut known = [Known::Nothing; 40];
        known[3] = Known::Settled;
        known[4] = Known::NotSettled;
        let mut seen = std::collections::BTreeSet::new();
        for random in 0..38 {
            let looks = looks(&known, random, 32);
            assert_eq!(looks.len(), 32);
            seen.extend(looks);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), (0..40).filter(|n| ![3, 4].contains(n)).collect::<Vec<_>>());
        assert_eq!(looks(&[Known::Nothing; 3], 1, 32), [1, 2, 0]);
        assert_eq!(looks(&[Known::Settled], 7, 32), [0; 0]);
    }
}
