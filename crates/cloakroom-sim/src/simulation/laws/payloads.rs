//! Laws about payloads and claims.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::format::Claim;

use crate::simulation::{
    history::{Rest, Sent, StoreEvent},
    laws::law::{Law, MessageAtEndpoint, Violation},
};

/// Checks that a payload exists as long as it is needed, and that payloads and entries show
/// correctly whether a message was processed.
pub(super) fn live(events: &[StoreEvent]) -> Vec<Violation> {
    let mut committed: BTreeSet<MessageAtEndpoint<'_>> = BTreeSet::new();
    let mut on_its_way: BTreeMap<&Claim, MessageAtEndpoint<'_>> = BTreeMap::new();
    let mut deleted: BTreeSet<&Claim> = BTreeSet::new();
    let mut violations = Vec::new();
    for event in events {
        let (receipt, what) = match event {
            StoreEvent::Committed { endpoint, message, .. } => {
                committed.insert((endpoint, message));
                continue;
            }
            StoreEvent::Submitted(Sent { queue, message, claim: Some(claim) })
            | StoreEvent::Sent(Sent { queue, message, claim: Some(claim) }) => {
                on_its_way.insert(claim, (queue, message));
                if !deleted.contains(claim) {
                    continue;
                }
                ((queue.as_str(), message), "was sent when its payload was gone")
            }
            StoreEvent::Deleted(claim) => {
                deleted.insert(claim);
                let Some(receipt) = on_its_way.get(claim) else { continue };
                (*receipt, "lost its payload")
            }
            StoreEvent::EntryPut { endpoint, message } => ((endpoint.as_str(), message), "got its entry"),
            StoreEvent::Submitted(_) | StoreEvent::Sent(_) | StoreEvent::ClaimsStored(_) | StoreEvent::CheckedIn(_) => {
                continue;
            }
        };
        if !committed.contains(&receipt) {
            let (endpoint, message) = receipt;
            let what = format!("message `{message}` {what} before `{endpoint}` committed it");
            violations.push(Violation::new(Law::Payloads, what, &[message.as_str()]));
        }
    }
    violations
}

/// Checks that each message has one claim, and that each claim is written once.
pub(super) fn claims(events: &[StoreEvent]) -> Vec<Violation> {
    let mut of_message: BTreeMap<MessageAtEndpoint<'_>, BTreeSet<&Claim>> = BTreeMap::new();
    let mut written: BTreeMap<&Claim, usize> = BTreeMap::new();
    for event in events {
        let named = match event {
            StoreEvent::Committed { outgoing, .. } | StoreEvent::ClaimsStored(outgoing) => outgoing.as_slice(),
            StoreEvent::Submitted(sent) | StoreEvent::Sent(sent) => std::slice::from_ref(sent),
            StoreEvent::CheckedIn(claim) => {
                *written.entry(claim).or_default() += 1;
                continue;
            }
            StoreEvent::Deleted(_) | StoreEvent::EntryPut { .. } => continue,
        };
        for Sent { queue, message, claim } in named {
            of_message.entry((queue, message)).or_default().extend(claim);
        }
    }
    let several = of_message.into_iter().filter(|(_, claims)| claims.len() > 1).map(|((queue, message), claims)| {
        let what = format!("message `{message}` to `{queue}` has {} claims", claims.len());
        let subjects: Vec<&str> = claims.into_iter().map(Claim::as_str).chain([message.as_str()]).collect();
        Violation::new(Law::Claims, what, &subjects)
    });
    let rewritten = written.into_iter().filter(|(_, times)| *times > 1).map(|(claim, times)| {
        Violation::new(Law::Claims, format!("claim `{claim}` was written {times} times"), &[claim.as_str()])
    });
    several.chain(rewritten).collect()
}

/// The claims of all messages that were ever submitted or sent.
fn referenced(events: &[StoreEvent]) -> BTreeSet<&Claim> {
    events.iter().filter_map(claim_on_its_way).collect()
}

fn claim_on_its_way(event: &StoreEvent) -> Option<&Claim> {
    match event {
        StoreEvent::Submitted(sent) | StoreEvent::Sent(sent) => sent.claim.as_ref(),
        StoreEvent::Committed { .. }
        | StoreEvent::ClaimsStored(_)
        | StoreEvent::CheckedIn(_)
        | StoreEvent::Deleted(_)
        | StoreEvent::EntryPut { .. } => None,
    }
}

pub(super) fn no_residue(events: &[StoreEvent], rest: &Rest) -> Vec<Violation> {
    let record = |record: &String| Violation::new(Law::NoResidue, format!("record `{record}` was left"), &[record]);
    let mut violations: Vec<_> = rest.records.iter().map(record).collect();
    let parked = parked_claims(rest);
    let referenced = referenced(events);
    for claim in rest.payloads.iter().filter(|claim| referenced.contains(claim) && !parked.contains(*claim)) {
        let what = format!("payload `{claim}` was left, though its message was processed");
        violations.push(Violation::new(Law::NoResidue, what, &[claim.as_str()]));
    }
    violations
}

fn parked_claims(rest: &Rest) -> BTreeSet<Claim> {
    let messages =
        rest.queues.iter().flat_map(|(queue, messages)| messages.iter().filter_map(|m| Sent::read(queue, m)));
    messages.filter_map(|sent| sent.claim).collect()
}

/// The number of payloads that no message refers to. They belong to attempts that did not commit,
/// and they expire.
pub(crate) fn orphans(events: &[StoreEvent], rest: &Rest) -> u64 {
    let referenced = referenced(events);
    rest.payloads.iter().filter(|claim| !referenced.contains(claim)).count() as u64
}
