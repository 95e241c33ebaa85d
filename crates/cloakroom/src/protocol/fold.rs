//! Folding: messages of one partition that are committed together, as a group.
//!
//! Each member has a [`Progress`](super::Progress) of its own and follows the [table of steps](super::step). Of the steps that
//! the members want, [`next_of_fold`] comes next, for all members that want it. So the members share the reading of the
//! state and the commit, which moves the version by one for each of them. Handlers run one after the other, each on the
//! state that the one before it left.
//!
//! A member leaves the group without harm until its handler has run. After that its effect is part of the state that
//! the group wants to commit, so without it the rest is [not tried](CommitResult::NotTried).

use crate::protocol::step::{Claims, Do, Saw};

/// Returns the step that a group takes next, given what its members want: the earliest one of the table. All members
/// that want it take it together; the others wait. `None` if every member has ended.
///
/// So each member is classified by its own record and payload after one reading of the state. Those without either go
/// on to one commit together, and if that commit is lost, they are classified again.
///
/// ```
/// use cloakroom::protocol::{Do, Version, next_of_fold};
///
/// let wants = [Do::Dispatch, Do::Commit(Version::new(7)), Do::ReadPayload, Do::Leave];
/// assert_eq!(next_of_fold(wants), Some(Do::ReadPayload));
/// ```
pub fn next_of_fold(wants: impl IntoIterator<Item = Do>) -> Option<Do> {
    // `Do` is in the order of the table.
    wants.into_iter().filter(|want| !matches!(want, Do::Acknowledge(_) | Do::Leave)).min()
}

/// Returns the positions of the waiting messages that form the next group, given their identities in order: the first
/// of each identity, or only the very first once a group was [narrowed](narrows).
///
/// SUBTLE: a second copy of a message waits until the first one has ended. In one group both would find no record, and
/// no reason not to commit (`fold_twice`, `copies_of_a_message_are_not_folded`).
pub fn group<I: Ord>(waiting: &[I], is_narrow: bool) -> Vec<usize> {
    let mut seen = std::collections::BTreeSet::new();
    let members = (0..waiting.len()).filter(|position| seen.insert(&waiting[*position]));
    members.take(if is_narrow { 1 } else { usize::MAX }).collect()
}

/// What a handler made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It has an effect, or deliberately none.
    Accepted,
    /// It can never have one.
    Rejected,
    /// It is to come again later.
    Deferred,
}

/// Whether what a handler made of a message counts. If not, the member is set aside, and starts again when this group has
/// ended. A handler that fails is no verdict: its message comes again anyway. `is_current`: the state that the handler saw is committed, and was read with strong consistency.
///
/// SUBTLE: an effect is checked by the commit's condition; everything else is not. So what a handler says of a state that
/// is not committed yet, and may never be, or of one that was read late, counts for nothing
/// (`nobody_is_rejected_for_what_was_never_committed`, `nobody_is_rejected_for_a_state_that_was_read_late`).
pub const fn counts(verdict: Verdict, is_current: bool) -> bool {
    matches!(verdict, Verdict::Accepted) || is_current
}

/// How the commit of a group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommitResult {
    /// It was not sent. A member whose handler had run has left the group since.
    NotTried,
    /// It is durable.
    Applied,
    /// The version has moved, or one of the messages has a record.
    Overtaken,
    /// A condition on an item of a handler does not hold.
    ItemConflict,
    /// The store refuses its size or its content, and has written nothing.
    Refused,
    /// It may or may not take effect, now or later.
    Unknown,
}

/// Returns what each member of a group of so many sees after the commit. `claims`: those of the member's own record.
/// `is_current`: the state was read with strong consistency.
pub const fn after_commit(result: CommitResult, claims: Claims, members: usize, is_current: bool) -> Saw {
    match result {
        CommitResult::Applied => Saw::Committed(claims),
        // SUBTLE: without the member that left, the state would hold an effect that has no record
        // (`commit_without_a_member`, `who_drops_out_of_a_fold_takes_its_effect_along`).
        CommitResult::NotTried => Saw::NotTried,
        CommitResult::Overtaken => Saw::Lost,
        // The version stands, so a repetition of this commit by the store's client may still apply once the item changes.
        CommitResult::ItemConflict | CommitResult::Unknown => Saw::Unknown,
        // Which member is to blame shows when they are committed one by one.
        CommitResult::Refused if members > 1 => Saw::NotTried,
        // SUBTLE: what is refused is what the handler made of a state that was read late. Of the state as it is, it may make
        // something else (`nobody_is_rejected_for_the_size_of_a_state_that_was_read_late`).
        CommitResult::Refused if !is_current => Saw::NotTried,
        CommitResult::Refused => Saw::Rejected,
    }
}

/// Whether the members of a group go on one by one after this result: one of them is to blame, and nobody knows which.
pub const fn narrows(result: CommitResult, members: usize) -> bool {
    match result {
        CommitResult::Refused | CommitResult::ItemConflict => members > 1,
        CommitResult::NotTried | CommitResult::Applied | CommitResult::Overtaken | CommitResult::Unknown => false,
    }
}

/// Returns the positions of the members that are set aside when a group is narrowed, given what the members want: all
/// but the first of those that start again.
pub fn set_aside(wants: &[Option<Do>]) -> Vec<usize> {
    let starts_again = |position: &usize| matches!(wants[*position], Some(Do::ReadState(_)));
    (0..wants.len()).filter(starts_again).skip(1).collect()
}
