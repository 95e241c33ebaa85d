//! The laws, and violations of them.

use std::{collections::BTreeSet, fmt};

use cloakroom::MessageId;

use crate::simulation::history::{Sent, StoreEvent};

/// A law of exactly-once processing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// No message commits twice at one endpoint.
    AtMostOnce,
    /// Every message that was submitted, or is in the record of an applied commit, was committed by
    /// its receiver. Or its handler rejected it, and it is parked with its payload.
    NoLoss,
    /// Every message that is sent or committed was submitted before, or is in the record of an
    /// applied commit.
    NoGhost,
    /// Versions grow by one and never decrease.
    Versions,
    /// The payload of a message exists until the message is committed, and no dedupe entry is
    /// written before that.
    Payloads,
    /// At rest there is no record, and no payload that a message ever referred to.
    NoResidue,
    /// Each outgoing message has one claim, and a claim is written once.
    Claims,
    /// The scenario's own audit.
    Audit,
    /// Everything comes to rest after the faults have ended.
    Liveness,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtMostOnce => "at most once",
            Self::NoLoss => "no loss",
            Self::NoGhost => "no ghost",
            Self::Versions => "versions",
            Self::Payloads => "payloads",
            Self::NoResidue => "no residue",
            Self::Claims => "claims",
            Self::Audit => "audit",
            Self::Liveness => "liveness",
        })
    }
}

/// A violation of a law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The law.
    pub law: Law,
    /// What happened, and to what.
    pub what: String,
    /// The messages, partitions and claims that it concerns.
    pub subjects: Vec<String>,
}

impl Violation {
    pub(crate) fn new(law: Law, what: impl Into<String>, subjects: &[&str]) -> Self {
        Self { law, what: what.into(), subjects: subjects.iter().copied().map(str::to_owned).collect() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.what)
    }
}

impl Violation {
    /// Adds the claims of the messages that the violation concerns, and the entities that processed
    /// them.
    pub(super) fn add_related_subjects(&mut self, events: &[StoreEvent]) {
        let mut more: BTreeSet<String> = BTreeSet::new();
        for event in events {
            match event {
                StoreEvent::Sent(Sent { message, claim: Some(claim), .. }) if self.concerns(message) => {
                    more.insert(claim.to_string());
                }
                StoreEvent::Committed { endpoint, partition, message, .. } if self.concerns(message) => {
                    more.insert(format!("{partition} at {endpoint}"));
                }
                StoreEvent::Submitted(_)
                | StoreEvent::Sent(_)
                | StoreEvent::Committed { .. }
                | StoreEvent::ClaimsStored(_)
                | StoreEvent::CheckedIn(_)
                | StoreEvent::Deleted(_)
                | StoreEvent::EntryPut { .. } => {}
            }
        }
        self.subjects.extend(more);
    }

    fn concerns(&self, message: &MessageId) -> bool {
        self.subjects.iter().any(|subject| subject == message.as_str())
    }
}

/// An endpoint and a message.
pub(crate) type MessageAtEndpoint<'a> = (&'a str, &'a MessageId);
