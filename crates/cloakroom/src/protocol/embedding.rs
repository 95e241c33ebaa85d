//! Embedded records: outbox records in the state's item.
//!
//! Every commit writes the state's item. It keeps the embedded records of other messages, also when
//! it deletes the state. It may drop a record only if this worker knows that the record's message
//! is settled ([`may_drop`]). An embedded record is dropped in only two other cases: by a sweep,
//! and by a worker that finds it under the id of a new message. In both cases no copy of the
//! record's own message can arrive any more ([`is_expired`]).
//!
//! Embedded records never change: a commit that read a record before its change would overwrite the
//! change. Therefore a record that must still change is always a separate record, that is, an item
//! of its own ([`may_embed`]).
//!
//! A commit that writes a separate record permanently marks the state's item. From then on the
//! embedded records may not be all records of the endpoint in the partition ([`is_complete`]).

use std::time::Duration;

use crate::protocol::{step::Claims, version::Version};

/// The evidence about separate records in a partition whose state is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Absent {
    /// After it read the state, the worker looked for separate records of any message of the
    /// endpoint in the partition.
    Looked {
        /// Whether it found a record.
        any: bool,
    },
    /// The commit itself. It writes its record as a separate record, on the condition that this
    /// record does not exist.
    Conditional,
    /// No evidence.
    Unchecked,
}

/// Returns whether the embedded records are all records of the endpoint in the partition. If they
/// are, the worker need not look for a separate record. `stated`: the state's item records that
/// they are all.
///
/// SUBTLE: an absent state is no evidence. (1) The state is deleted while a separate record exists.
/// (2) Its tombstone expires. (3) A worker receives the message of that record again and finds no
/// state. (4) It commits with an embedded record, and this commit has no condition on the separate
/// record. The message would take effect twice (`trust_an_absent_state`,
/// `an_embedding_worker_finds_a_record_without_its_state`). If a separate record is written after
/// the worker looked, the commit is lost, because the state is no longer absent.
pub const fn is_complete(stated: bool, version: Version, absent: Absent) -> bool {
    match absent {
        _ if version.number() != Version::ABSENT.number() => stated,
        Absent::Looked { any } => !any,
        Absent::Conditional => true,
        Absent::Unchecked => false,
    }
}

/// Returns whether a worker must look for separate records before it embeds a record.
pub const fn must_look(version: Version, embeds: bool) -> bool {
    embeds && version.number() == Version::ABSENT.number()
}

/// Returns whether a record may be embedded in the state's item. A record without all its claims
/// changes later, and so does a record that is retained as the proof that its message was
/// processed. Such records are always separate.
pub const fn may_embed(claims: Claims, is_retained: bool) -> bool {
    matches!(claims, Claims::Stored) && !is_retained
}

/// Returns whether an embedded record is older than any message can be. If it is, no copy of its
/// own message can arrive any more. If it is found under the identity of a message without a claim,
/// it belongs to an earlier message of that identity.
///
/// SUBTLE: (1) the dedupe entry of an old message expires, but its embedded record remains. (2) A
/// new message arrives under the same identity. Without this check, the record would look like that
/// of a message that is not settled. Its messages would be sent again, and the new message would be
/// settled without being handled (`resume_expired`,
/// `id_that_is_reused_after_its_dedupe_window_is_handled`).
pub fn is_expired(age: Duration, longest_life_of_a_message: Duration) -> bool {
    age > longest_life_of_a_message
}

/// What a worker knows about the message of an embedded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Known {
    /// The message is settled: its payload is missing, or its dedupe entry exists, or this worker
    /// settled it.
    Settled,
    /// The message is not settled.
    NotSettled,
    /// The worker did not check, or its check failed.
    Nothing,
}

/// Returns whether a commit may drop the embedded record of another message.
///
/// SUBTLE: (1) a commit drops the record of a message that is not settled. (2) The message is
/// delivered again, and its worker finds neither the record nor a sign that the message was
/// processed. It would process the message again (`drop_blindly`,
/// `unsettled_embedded_record_is_kept_by_later_commits`).
pub const fn may_drop(known: Known) -> bool {
    match known {
        Known::Settled => true,
        Known::NotSettled | Known::Nothing => false,
    }
}

/// Returns the positions of the embedded records of other messages that a commit checks, given what
/// is known about each. They are at most `looks_max` of the records about which nothing is known,
/// starting at a random one. So records that may not be dropped do not keep the other records from
/// being checked for long.
pub fn looks(known: &[Known], random: u128, looks_max: usize) -> Vec<usize> {
    let open: Vec<usize> = (0..known.len()).filter(|position| known[*position] == Known::Nothing).collect();
    let first = random.checked_rem(open.len() as u128).and_then(|first| usize::try_from(first).ok());
    open.iter().copied().cycle().skip(first.unwrap_or_default()).take(looks_max.min(open.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_reach_every_record_of_unknown_status() {
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
