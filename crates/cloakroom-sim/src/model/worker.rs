//! Workers in the middle of their work, and what they do by themselves.

use cloakroom::protocol::{
    Claims as Stored, Consistency, Do, Progress, Saw,
    embedding::{self, Absent},
    fold::{self, Verdict},
    next_of_fold,
};

use super::{
    Model,
    message::{NO_COPY, PUT_BACK},
    scenario::{Handler, Identity, Message},
    world::{Claims, Entity, Record, Set, version},
    wrong_orders::{Detour, WrongOrder, go_astray, next},
};

/// Somebody who works on a message, or on several of one entity together. One that has died is one that never goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Worker {
    /// The state as this pass has read it; none before, or if it is to be read anew.
    pub(super) view: Option<Entity>,
    /// The messages, in the order in which their handlers run.
    pub(super) members: Vec<Member>,
    /// The messages of members that have left since the state was read, after their handlers ran.
    pub(super) left: Set,
    /// That view may be an old one.
    pub(super) is_late: bool,
    /// It reads states with strong consistency from the beginning.
    pub(super) reads_strongly: bool,
    /// A commit of it did not apply, and some state of the scenario vanishes.
    pub(super) has_tried: bool,
}

/// A message in the hands of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Member {
    pub(super) message: u8,
    /// Which copy of it.
    pub(super) copy: u8,
    /// Of that copy.
    pub(super) claim: u8,
    /// Was taken from the dead-letter queue, or its record was found.
    pub(super) finishes: bool,
    pub(super) memory: Progress,
    pub(super) detour: Detour,
    pub(super) todo: Do,
    /// What is to come concerns no other member.
    pub(super) leaves: bool,
    /// It starts again, without the others.
    pub(super) restarts: bool,
    /// Its handler will fail for good.
    pub(super) fails: bool,
    /// What its record has to send, be it its own or found.
    pub(super) sends: bool,
    /// The claims it has taken, or found; none before.
    pub(super) claims: Option<Claims>,
    /// How many messages of its record it has sent.
    pub(super) dispatched: u8,
}

impl Member {
    pub(super) fn new(message: u8, copy: u8, claim: u8, memory: Progress, finishes: bool) -> Self {
        let todo = Do::ReadState(Consistency::Any);
        let (detour, leaves, restarts, fails, sends, claims, dispatched) = Default::default();
        #[rustfmt::skip]
        return Self { message, copy, claim, finishes, memory, detour, todo, leaves, restarts, fails, sends, claims, dispatched };
    }

    pub(super) fn spec(&self, model: &Model) -> &'static Message {
        &model.scenario.messages[usize::from(self.message)]
    }

    /// The same message, as it is taken up again.
    pub(super) fn restarted(&self, model: &Model) -> Self {
        let memory = self.memory.restarted();
        let mut member = Self::new(self.message, self.copy, self.claim, memory, self.finishes);
        member.see(model, Saw::Delivery);
        member
    }

    /// Takes over a record that was found.
    pub(super) fn take(&mut self, record: Record, saw: Saw) -> Saw {
        (self.sends, self.claims) = (record.sends, record.claims);
        saw
    }

    /// Looks for its record among those that were read with the state; `None` if it may lie beside.
    pub(super) fn find_in(&mut self, model: &Model, view: &Entity, absent: Absent) -> Option<Saw> {
        if self.is_taken_for_another(model) {
            return Some(Saw::NoRecord);
        }
        let is_complete = embedding::is_complete(view.is_complete, version(view.version), absent);
        let resumes_expired = match model.order {
            Some(WrongOrder::ResumeExpired) => true,
            Some(WrongOrder::SweepExpired) => self.copy == NO_COPY,
            Some(_) | None => false,
        };
        let found = view.records.of(model.key(self.message)).filter(|record| !record.is_expired || resumes_expired);
        match found {
            // There is none of these but by a wrong order.
            Some(record @ Record { claims: None, .. }) => Some(self.take(record, Saw::Record(Stored::Missing))),
            Some(record) => Some(self.take(record, Saw::Embedded)),
            None if is_complete || model.order == Some(WrongOrder::TrustIncomplete) => Some(Saw::NoRecord),
            None => None,
        }
    }

    /// Asks the step function what to do next.
    fn see(&mut self, model: &Model, saw: Saw) {
        // Nothing leads back from here to a commit.
        self.leaves |= matches!(
            saw,
            Saw::Record(_)
                | Saw::Embedded
                | Saw::Retained
                | Saw::PossiblySettled
                | Saw::Rejected
                | Saw::Deferred
                | Saw::Committed(_)
        );
        (self.memory, self.detour, self.todo) = next(model.order, self.memory, self.detour, saw);
    }

    /// Runs the handler on this state.
    fn decide(&mut self, model: &Model, state: Set) -> Verdict {
        let spec = self.spec(model);
        let has = |message: usize| u8::try_from(message).is_ok_and(|number| state.has(number));
        if std::mem::take(&mut self.fails) {
            return Verdict::Rejected;
        }
        let sends = match spec.handler {
            Handler::RejectsUnlessAfter(other) if !has(other) => return Verdict::Rejected,
            Handler::DefersUnlessAfter(other) if !has(other) => return Verdict::Deferred,
            Handler::SendsAfter(other) => has(other),
            Handler::Sends
            | Handler::RejectsUnlessAfter(_)
            | Handler::DefersUnlessAfter(_)
            | Handler::Deletes
            | Handler::MayReject => true,
        };
        self.sends = sends && !spec.sends.is_empty();
        self.claims = None;
        Verdict::Accepted
    }

    /// What a commit would write of it.
    pub(super) fn record(&self) -> Record {
        let claims = if self.sends { self.claims } else { Some(Claims::default()) };
        Record { sends: self.sends, claims, is_retained: false, is_expired: false }
    }

    /// A wrong order: a copy that was sent again has an identity of its own.
    pub(super) fn is_taken_for_another(&self, model: &Model) -> bool {
        let is_sent_again = (PUT_BACK..NO_COPY).contains(&self.copy);
        is_sent_again && model.order == Some(WrongOrder::DeferAsAnotherMessage)
    }

    /// Whether its record can be embedded: nothing changes one that is.
    pub(super) fn can_embed(&self, model: &Model) -> bool {
        let is_retained = self.spec(model).identity == Identity::Retained;
        let may_embed = embedding::may_embed(claims_of(&self.record()), is_retained);
        may_embed || model.order == Some(WrongOrder::EditEmbedded) && !is_retained
    }
}

pub(super) const fn claims_of(record: &Record) -> Stored {
    if record.claims.is_some() { Stored::Stored } else { Stored::Missing }
}

impl Worker {
    pub(super) fn of(members: Vec<Member>) -> Self {
        let (view, left, is_late, reads_strongly, has_tried) = Default::default();
        Self { view, members, left, is_late, reads_strongly, has_tried }
    }

    /// What it does next.
    pub(super) fn todo(&self) -> Do {
        next_of_fold(self.members.iter().map(|member| member.todo)).unwrap_or(self.members[0].todo)
    }

    /// Whether it can give up its message before it has ended: it has one, which came from its queue.
    pub(super) fn may_give_up(&self) -> bool {
        let has_ended = |member: &Member| matches!(member.todo, Do::Acknowledge(_) | Do::Leave | Do::SendAgain);
        matches!(&self.members[..], [member] if !member.finishes && !has_ended(member))
    }

    /// Who takes a step that is taken together.
    pub(super) fn places(&self, todo: Do) -> Vec<usize> {
        (0..self.members.len()).filter(|place| self.members[*place].todo == todo).collect()
    }

    /// Tells a member what was seen.
    pub(super) fn see(&mut self, model: &Model, place: usize, saw: Saw) {
        self.members[place].see(model, saw);
        go_astray(model, self, place, saw);
    }

    /// Does at once what touches nothing but the worker: nobody could tell whether it happened earlier or later.
    pub(super) fn go_on(&mut self, model: &Model) {
        while let Some((place, saw)) = self.foresee(model) {
            self.see(model, place, saw);
        }
    }

    /// What shows whether records lie beside the state that this worker has read, if it need not look.
    fn absent(&self, model: &Model, member: &Member) -> Option<Absent> {
        let read = self.view.map(|view| version(view.version)).unwrap_or_default();
        if embedding::must_look(read, model.embeds() && !member.finishes) {
            let trusts = model.order == Some(WrongOrder::TrustAbsentState);
            return trusts.then_some(Absent::Conditional);
        }
        let is_retained = member.spec(model).identity == Identity::Retained;
        Some(if member.finishes || self.has_tried || is_retained { Absent::Unchecked } else { Absent::Conditional })
    }

    /// What a member sees without a look at the world, if there is one that does.
    fn foresee(&mut self, model: &Model) -> Option<(usize, Saw)> {
        let is_here = |member: &&Member| !member.leaves && !member.restarts;
        let together = next_of_fold(self.members.iter().filter(is_here).map(|member| member.todo));
        (0..self.members.len()).find_map(|place| {
            let member = self.members[place];
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
                    self.members[place].find_in(model, &view, absent)?
                }
                Do::ReadPayload if member.spec(model).identity == Identity::Retained => Saw::NotSettled,
                Do::Handle => {
                    let draft = self.draft(model, place);
                    let is_current = self.accepted(place).count() == 0 && !self.is_late;
                    let verdict = self.members[place].decide(model, draft);
                    if !fold::counts(verdict, is_current) {
                        self.members[place].restarts = true;
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
            Some((place, saw))
        })
    }

    /// The members before this one whose handlers have accepted their messages.
    fn accepted(&self, place: usize) -> impl Iterator<Item = &Member> {
        self.members[..place].iter().filter(|member| !member.leaves && !member.restarts && member.todo > Do::Handle)
    }

    /// The state as the handlers of the members before this one have left it.
    pub(super) fn draft(&self, model: &Model, place: usize) -> Set {
        let before = self.accepted(place);
        let read = self.view.map(|view| view.applied).unwrap_or_default().union(self.left);
        before.fold(read, |state, member| match member.spec(model).handler {
            Handler::Deletes => Set::default(),
            Handler::Sends
            | Handler::SendsAfter(_)
            | Handler::RejectsUnlessAfter(_)
            | Handler::DefersUnlessAfter(_)
            | Handler::MayReject => state.with(member.message),
        })
    }
}
