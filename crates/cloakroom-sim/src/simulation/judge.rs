//! The judge: whether a history is one of exactly-once processing. Each law is a function of what the stores did and
//! of what was left, and knows nothing of how it came about.

mod messages;
mod payloads;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use cloakroom::MessageId;

pub(crate) use messages::to_be_processed;
pub(crate) use payloads::orphans;

use super::history::{Deed, Rest, Sent};

/// What was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// No message commits twice at one endpoint.
    AtMostOnce,
    /// Every message that was submitted, or is in the record of an applied commit, was committed by its receiver, or
    /// lies parked, rejected by its handler, with its payload.
    NoLoss,
    /// Nothing is sent or committed that was neither submitted nor is in the record of an applied commit.
    NoGhost,
    /// Versions grow by one, and never go back.
    Versions,
    /// The payload of a message on its way lives until the message is committed, and no entry is written before that.
    Payloads,
    /// At rest there is no record, and no payload that a message ever referred to.
    NoResidue,
    /// Each outgoing message has one claim, and a claim is written once.
    Claims,
    /// The scenario's own audit.
    Audit,
    /// Everything comes to rest once nothing goes wrong any more.
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

/// A law that was broken, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The law.
    pub law: Law,
    /// What happened, to what.
    pub what: String,
    /// Messages, partitions and claims that it concerns.
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

/// Everything that is wrong with a history and what it left.
pub(crate) fn judge(deeds: &[Deed], rest: &Rest, is_rejection: &dyn Fn(&str) -> bool) -> Vec<Violation> {
    let mut violations = messages::at_most_once(deeds);
    violations.extend(messages::no_ghost(deeds));
    violations.extend(messages::versions(deeds));
    violations.extend(payloads::live(deeds));
    violations.extend(payloads::claims(deeds));
    if rest.is_reached {
        violations.extend(messages::no_loss(deeds, rest, is_rejection));
        violations.extend(payloads::no_residue(deeds, rest));
    } else {
        violations.push(liveness(rest));
    }
    for violation in &mut violations {
        violation.add_what_belongs_to_it(deeds);
    }
    violations
}

impl Violation {
    /// The claims of the messages that it concerns, and the entities that processed them.
    fn add_what_belongs_to_it(&mut self, deeds: &[Deed]) {
        let mut more: BTreeSet<String> = BTreeSet::new();
        for deed in deeds {
            match deed {
                Deed::Sent(Sent { message, claim: Some(claim), .. }) if self.concerns(message) => {
                    more.insert(claim.to_string());
                }
                Deed::Committed { endpoint, partition, message, .. } if self.concerns(message) => {
                    more.insert(format!("{partition} at {endpoint}"));
                }
                Deed::Submitted(_)
                | Deed::Sent(_)
                | Deed::Committed { .. }
                | Deed::ClaimsStored(_)
                | Deed::CheckedIn(_)
                | Deed::Deleted(_)
                | Deed::EntryPut { .. } => {}
            }
        }
        self.subjects.extend(more);
    }

    fn concerns(&self, message: &MessageId) -> bool {
        self.subjects.iter().any(|subject| subject == message.as_str())
    }
}

/// Endpoint and message.
type Receipt<'a> = (&'a str, &'a MessageId);

fn liveness(rest: &Rest) -> Violation {
    let queues: Vec<_> = rest.queues.iter().map(|(queue, messages)| format!("{queue}: {}", messages.len())).collect();
    let ids = rest.queues.iter().flat_map(|(queue, messages)| messages.iter().filter_map(|m| Sent::read(queue, m)));
    let ids: Vec<String> = ids.map(|sent| sent.message.to_string()).collect();
    let subjects: Vec<&str> = ids.iter().map(String::as_str).collect();
    let what = format!("no rest within 4 hours; messages in queues: {}", queues.join(", "));
    Violation::new(Law::Liveness, what, &subjects)
}
