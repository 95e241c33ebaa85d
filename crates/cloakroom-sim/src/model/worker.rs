//! Workers in the middle of their work, and the steps that need only the worker itself.

use cloakroom::{
    Outcome,
    protocol::{
        Do, Saw,
        embedding::{self, Absent},
        fold::{self, Verdict},
        next_of_fold,
    },
};

use crate::model::{
    definition::Model,
    entity::{Entity, version},
    member::Member,
    scenario::{Handler, Identity},
    set::NumberSet,
    wrong_orders::WrongOrder,
    wrong_steps::{Detour, fresh},
};

/// A worker that processes a message, or several messages of one entity together. A worker that
/// stopped is one that never continues.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ModelWorker {
    /// The state as the worker read it. `None` before the read, or if the state must be read again.
    pub(super) view: Option<Entity>,
    /// The messages, in the order in which their handlers run.
    pub(super) members: Vec<Member>,
    /// The messages of members that left after their handlers ran, since the state was read.
    pub(super) left: NumberSet,
    /// The view may be an earlier state.
    pub(super) may_be_stale: bool,
    /// The worker reads states with strong consistency from the beginning.
    pub(super) reads_strongly: bool,
    /// A commit of the worker did not apply, and tombstones of the scenario can expire.
    pub(super) has_tried: bool,
}

impl ModelWorker {
    pub(super) fn of(members: Vec<Member>) -> Self {
        let (view, left, may_be_stale, reads_strongly, has_tried) = Default::default();
        Self { view, members, left, may_be_stale, reads_strongly, has_tried }
    }

    /// The next step of the worker.
    pub(super) fn todo(&self) -> Do {
        next_of_fold(self.members.iter().map(|member| member.todo)).unwrap_or(self.members[0].todo)
    }

    /// Whether the worker can give up its message: it has one message, received from its queue and
    /// not ended.
    pub(super) fn may_give_up(&self) -> bool {
        let has_ended = |member: &Member| matches!(member.todo, Do::Acknowledge(_) | Do::Leave | Do::SendAgain);
        matches!(&self.members[..], [member] if !member.finishes && !has_ended(member))
    }

    /// The positions of the members that take this step.
    pub(super) fn positions(&self, todo: Do) -> Vec<usize> {
        (0..self.members.len()).filter(|position| self.members[*position].todo == todo).collect()
    }

    /// Reports an observation to a member.
    pub(super) fn see(&mut self, model: &Model, position: usize, saw: Saw) {
        self.members[position].see(model, saw);
        break_fold(model, self, position, saw);
    }

    /// Takes all steps that touch only the worker. No other worker can observe whether they happen
    /// earlier or later.
    pub(super) fn take_local_steps(&mut self, model: &Model) {
        while let Some((position, saw)) = self.local_observation(model) {
            self.see(model, position, saw);
        }
    }

    /// What shows whether there are separate records. `None` if the worker must look for them.
    fn absent(&self, model: &Model, member: &Member) -> Option<Absent> {
        let read = self.view.map(|view| version(view.version)).unwrap_or_default();
        if embedding::must_look(read, model.embeds() && !member.finishes) {
            let trusts = model.order == Some(WrongOrder::TrustAbsentState);
            return trusts.then_some(Absent::Conditional);
        }
        let is_retained = member.spec(model).identity == Identity::Retained;
        Some(if member.finishes || self.has_tried || is_retained { Absent::Unchecked } else { Absent::Conditional })
    }

    /// The position of a member and what it sees, for a step that does not touch the world. `None`
    /// if there is no such step.
    fn local_observation(&mut self, model: &Model) -> Option<(usize, Saw)> {
        let is_here = |member: &&Member| !member.leaves && !member.restarts;
        let together = next_of_fold(self.members.iter().filter(is_here).map(|member| member.todo));
        (0..self.members.len()).find_map(|position| {
            let member = self.members[position];
            if member.restarts {
                return None;
            }
            if !member.leaves && together != Some(member.todo) {
                return None;
            }
            let saw = match member.todo {
                Do::ReadRecord => {
                    let view = self.view.filter(|_| !member.leaves)?;
                    let absent = self.absent(model, &member)?;
                    self.members[position].find_in(model, &view, absent)?
                }
                Do::ReadPayload if member.spec(model).identity == Identity::Retained => Saw::NotSettled,
                Do::Handle => {
                    let draft = self.draft(model, position);
                    let is_current = self.accepted(position).count() == 0 && !self.may_be_stale;
                    let verdict = self.members[position].decide(model, draft);
                    if !fold::counts(verdict, is_current) {
                        self.members[position].restarts = true;
                        return None;
                    }
                    match verdict {
                        Verdict::Accepted => Saw::Accepted,
                        Verdict::Deferred => Saw::Deferred,
                        Verdict::Rejected => Saw::Rejected,
                    }
                }
                Do::CheckIn if !member.sends => Saw::CheckedIn,
                Do::Dispatch if !member.sends => Saw::Dispatched,
                Do::CheckIn
                | Do::Dispatch
                | Do::ReadState(_)
                | Do::ReadPayload
                | Do::Park
                | Do::SendAgain
                | Do::Commit(_)
                | Do::StoreClaims
                | Do::Settle
                | Do::Clear
                | Do::Acknowledge(_)
                | Do::Leave => return None,
            };
            Some((position, saw))
        })
    }

    /// The members before this position whose handlers accepted their messages.
    fn accepted(&self, position: usize) -> impl Iterator<Item = &Member> {
        self.members[..position].iter().filter(|member| !member.leaves && !member.restarts && member.todo > Do::Handle)
    }

    /// The state as the handlers of the members before this position left it.
    pub(super) fn draft(&self, model: &Model, position: usize) -> NumberSet {
        let before = self.accepted(position);
        let read = self.view.map(|view| view.applied).unwrap_or_default().union(self.left);
        before.fold(read, |state, member| match member.spec(model).handler {
            Handler::Deletes => NumberSet::default(),
            Handler::Sends
            | Handler::SendsAfter(_)
            | Handler::RejectsUnlessAfter(_)
            | Handler::DefersUnlessAfter(_)
            | Handler::MayReject => state.with(member.message),
        })
    }
}

/// Applies a wrong order that concerns several members: to the member that saw something, and to
/// the others.
pub(super) fn break_fold(model: &Model, worker: &mut ModelWorker, position: usize, saw: Saw) {
    let one = worker.members[position];
    let is_fold = worker.members.len() > 1;
    let others = worker.members.iter_mut().filter(|other| other.message != one.message && !other.leaves);
    match (model.order, saw) {
        (Some(WrongOrder::NoCommitWithoutEffect), Saw::Accepted)
            if matches!(one.spec(model).handler, Handler::SendsAfter(_)) && !one.sends =>
        {
            (worker.members[position].detour, worker.members[position].todo) = (Detour::Early, Do::Settle);
        }
        (Some(WrongOrder::FoldKeepsClassification), Saw::Lost) if is_fold => {
            worker.members[position].detour = Detour::Done;
        }
        (Some(WrongOrder::FoldAcknowledgesAll), Saw::PossiblySettled) => others.for_each(|other| {
            (other.todo, other.leaves) = (Do::Acknowledge(Outcome::Duplicate), true);
        }),
        (Some(WrongOrder::FoldCommitsAll), Saw::NotSettled) if one.todo == Do::Handle => others.for_each(|other| {
            if matches!(other.todo, Do::ReadRecord | Do::ReadPayload) {
                (other.progress, other.todo) = fresh(other.progress);
            }
        }),
        _ => {}
    }
}
