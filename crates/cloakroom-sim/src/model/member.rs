//! One message that a worker processes.

use cloakroom::protocol::{
    Claims as Stored, Consistency, Do, Progress, Saw,
    embedding::{self, Absent},
    fold::Verdict,
};

use crate::model::{
    definition::Model,
    entity::{Entity, version},
    message::{NO_COPY, PUT_BACK},
    record::{Claims, Record},
    scenario::{Handler, Identity, MessageSpec},
    set::NumberSet,
    wrong_orders::WrongOrder,
    wrong_steps::{Detour, next},
};

/// A message that a worker is processing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Member {
    pub(super) message: u8,
    /// The copy that was received.
    pub(super) copy: u8,
    /// The claim of that copy.
    pub(super) claim: u8,
    /// The message was received from the dead-letter queue, or a sweep found its record.
    pub(super) finishes: bool,
    pub(super) progress: Progress,
    pub(super) detour: Detour,
    pub(super) todo: Do,
    /// The remaining steps concern no other member, so the member continues alone.
    pub(super) leaves: bool,
    /// The member starts again, without the others.
    pub(super) restarts: bool,
    /// The handler will reject the message.
    pub(super) fails: bool,
    /// Whether the record has messages to send. The record is its own, or one that was found.
    pub(super) sends: bool,
    /// The claims of the record: new ones, or those of a record that was found. `None` before that.
    pub(super) claims: Option<Claims>,
    /// How many messages of the record were sent.
    pub(super) dispatched: u8,
}

impl Member {
    pub(super) fn new(message: u8, copy: u8, claim: u8, progress: Progress, finishes: bool) -> Self {
        let todo = Do::ReadState(Consistency::Any);
        let (detour, leaves, restarts, fails, sends, claims, dispatched) = Default::default();
        #[rustfmt::skip]
        return Self { message, copy, claim, finishes, progress, detour, todo, leaves, restarts, fails, sends, claims, dispatched };
    }

    pub(super) fn spec(&self, model: &Model) -> &'static MessageSpec {
        &model.scenario.messages[usize::from(self.message)]
    }

    /// Returns the same message at the start of a new attempt.
    pub(super) fn restarted(&self, model: &Model) -> Self {
        let progress = self.progress.restarted();
        let mut member = Self::new(self.message, self.copy, self.claim, progress, self.finishes);
        member.see(model, Saw::Delivery);
        member
    }

    /// Continues with a record that was found.
    pub(super) fn take(&mut self, record: Record, saw: Saw) -> Saw {
        (self.sends, self.claims) = (record.sends, record.claims);
        saw
    }

    /// Looks for the record among those that were read with the state. Returns `None` if there may
    /// be a separate record.
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
            // Only a wrong order embeds a record without claims.
            Some(record @ Record { claims: None, .. }) => Some(self.take(record, Saw::Record(Stored::Missing))),
            Some(record) => Some(self.take(record, Saw::Embedded)),
            None if is_complete || model.order == Some(WrongOrder::TrustIncomplete) => Some(Saw::NoRecord),
            None => None,
        }
    }

    /// Reports an observation to the step function, which returns the next step.
    pub(super) fn see(&mut self, model: &Model, saw: Saw) {
        // No path leads from these observations back to a commit.
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
        (self.progress, self.detour, self.todo) = next(model.order, self.progress, self.detour, saw);
    }

    /// Runs the handler on this state.
    pub(super) fn decide(&mut self, model: &Model, state: NumberSet) -> Verdict {
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

    /// Returns the record that a commit would write.
    pub(super) fn record(&self) -> Record {
        let claims = if self.sends { self.claims } else { Some(Claims::default()) };
        Record { sends: self.sends, claims, is_retained: false, is_expired: false }
    }

    /// Whether this copy has another identity, because a wrong order sent it again under another
    /// id.
    pub(super) fn is_taken_for_another(&self, model: &Model) -> bool {
        let is_sent_again = (PUT_BACK..NO_COPY).contains(&self.copy);
        is_sent_again && model.order == Some(WrongOrder::DeferAsAnotherMessage)
    }

    /// Whether the record can be embedded. An embedded record cannot be changed later.
    pub(super) fn can_embed(&self, model: &Model) -> bool {
        let is_retained = self.spec(model).identity == Identity::Retained;
        let may_embed = embedding::may_embed(claims_of(&self.record()), is_retained);
        may_embed || model.order == Some(WrongOrder::EditEmbedded) && !is_retained
    }
}

pub(super) const fn claims_of(record: &Record) -> Stored {
    if record.claims.is_some() { Stored::Stored } else { Stored::Missing }
}
