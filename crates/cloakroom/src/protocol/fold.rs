//! Folding: several messages of one partition are committed together, as a group.
//!
//! Each member has its own [`Progress`](super::Progress) and follows the [table of
//! steps](super::step). [`next_of_fold`] chooses among the steps that the members want. All members
//! that want the chosen step take it together. So the members share one read of the state and one
//! commit, which increases the version by one for each member. Handlers run one after the other.
//! Each handler runs on the state that the previous handler produced.
//!
//! A member can leave the group without harm until its handler has run. After that, its effect is
//! part of the state that the group wants to commit. If it leaves then, the commit of the other
//! members is [not tried](CommitResult::NotTried).

use crate::protocol::step::{Claims, Do, Saw};

/// Returns the step that a group takes next, given the step that each member wants. It is the
/// wanted step that comes first in the table. All members that want it take it together, and the
/// other members wait. `None` if every member has ended.
///
/// So the group reads the state once, and each member then reads its own record and payload. The
/// members that must be handled continue to one common commit. If that commit is lost, each member
/// reads its record and payload again.
///
/// ```
/// use cloakroom::protocol::{Do, Version, next_of_fold};
///
/// let wants = [Do::Dispatch, Do::Commit(Version::new(7)), Do::ReadPayload, Do::Leave];
/// assert_eq!(next_of_fold(wants), Some(Do::ReadPayload));
/// ```
pub fn next_of_fold(wants: impl IntoIterator<Item = Do>) -> Option<Do> {
    // The variants of `Do` are declared in the order of the table.
    wants.into_iter().filter(|want| !matches!(want, Do::Acknowledge(_) | Do::Leave)).min()
}

/// Returns the positions of the waiting messages that form the next group, given their identities
/// in order. The group consists of the first message of each identity. After a group was
/// [narrowed](narrows), it is only the first message.
///
/// SUBTLE: a second copy of a message waits until the first copy has ended. In one group, (1) both
/// copies would find no record, and (2) both would be handled and committed. The message would take
/// effect twice (`fold_twice`, `copies_of_a_message_are_not_folded`).
pub fn group<I: Ord>(waiting: &[I], is_narrow: bool) -> Vec<usize> {
    let mut seen = std::collections::BTreeSet::new();
    let members = (0..waiting.len()).filter(|position| seen.insert(&waiting[*position]));
    members.take(if is_narrow { 1 } else { usize::MAX }).collect()
}

/// The decision of a handler about one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The message takes effect, or deliberately has no effect.
    Accepted,
    /// The message can never take effect.
    Rejected,
    /// The message must be delivered again later.
    Deferred,
}

/// Returns whether the verdict of a handler is valid. If it is not, the member is set aside and
/// starts again after this group has ended. An error of a handler is not a verdict, because the
/// queue delivers its message again in any case. `is_current`: the state that the handler saw is
/// committed, and was read with strong consistency.
///
/// SUBTLE: the commit's condition checks the state of an accepted message, but nothing checks the
/// state of a rejected or deferred one. (1) A handler sees a state that is not committed yet and
/// may never be, or a state from a stale read. (2) It rejects or defers the message because of that
/// state. If the verdict were valid, a message that the current state accepts would be parked or
/// deferred (`message_is_not_rejected_because_of_an_uncommitted_neighbour`,
/// `message_is_not_rejected_because_of_a_stale_state`).
pub const fn counts(verdict: Verdict, is_current: bool) -> bool {
    matches!(verdict, Verdict::Accepted) || is_current
}

/// The result of the commit of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommitResult {
    /// The commit was not sent, because a member left the group after its handler had run.
    NotTried,
    /// The commit is durable.
    Applied,
    /// The version has changed, or one of the messages has a record.
    Overtaken,
    /// A condition on an item of a handler is not met.
    ItemConflict,
    /// The store refuses the size or the content of the commit, and has written nothing.
    Refused,
    /// The commit may take effect, now or later, or not at all.
    Unknown,
}

/// Returns what each member sees after the commit of a group of `members` messages. `claims`: the
/// claims of the member's own record. `is_current`: the state was read with strong consistency.
pub const fn after_commit(result: CommitResult, claims: Claims, members: usize, is_current: bool) -> Saw {
    match result {
        CommitResult::Applied => Saw::Committed(claims),
        // SUBTLE: (1) a member's handler changes the state. (2) The member leaves the group, so its
        // record is not part of the commit. If the other members committed this state, it would
        // contain an effect that has no record (`commit_without_a_member`,
        // `message_that_leaves_a_fold_has_no_effect_on_the_commit`).
        CommitResult::NotTried => Saw::NotTried,
        CommitResult::Overtaken => Saw::Lost,
        // The version is unchanged. So a retry of this commit by the store's client may still apply
        // after the item changes.
        CommitResult::ItemConflict | CommitResult::Unknown => Saw::Unknown,
        // The members are then committed one by one, which shows which of them caused the refusal.
        CommitResult::Refused if members > 1 => Saw::NotTried,
        // SUBTLE: (1) a stale read returns an old state. (2) The handler computes from it a state
        // that the store refuses. From the current state the handler may compute another one.
        // Without another try, the message would be parked because of an old state
        // (`message_is_not_rejected_because_of_the_size_of_a_stale_state`).
        CommitResult::Refused if !is_current => Saw::NotTried,
        CommitResult::Refused => Saw::Rejected,
    }
}

/// Returns whether the group is narrowed after this result: its members continue one by one,
/// because one unknown member caused the result.
pub const fn narrows(result: CommitResult, members: usize) -> bool {
    match result {
        CommitResult::Refused | CommitResult::ItemConflict => members > 1,
        CommitResult::NotTried | CommitResult::Applied | CommitResult::Overtaken | CommitResult::Unknown => false,
    }
}

/// Returns the positions of the members that are set aside when a group is narrowed, given the step
/// that each member wants. Of the members that start again, all except the first are set aside.
pub fn set_aside(wants: &[Option<Do>]) -> Vec<usize> {
    let starts_again = |position: &usize| matches!(wants[*position], Some(Do::ReadState(_)));
    (0..wants.len()).filter(starts_again).skip(1).collect()
}
