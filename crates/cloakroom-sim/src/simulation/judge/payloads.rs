//! Laws about payloads and claims.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::format::Claim;

use super::{Law, Receipt, Violation};
use crate::simulation::history::{Deed, Rest, Sent};

/// Whether what is needed is there, and what tells that a message was processed tells the truth.
pub(super) fn live(deeds: &[Deed]) -> Vec<Violation> {
    let mut committed: BTreeSet<Receipt<'_>> = BTreeSet::new();
    let mut on_its_way: BTreeMap<&Claim, Receipt<'_>> = BTreeMap::new();
    let mut deleted: BTreeSet<&Claim> = BTreeSet::new();
    let mut violations = Vec::new();
    for deed in deeds {
        let (receipt, what) = match deed {
            Deed::Committed { endpoint, message, .. } => {
                committed.insert((endpoint, message));
                continue;
            }
            Deed::Submitted(Sent { queue, message, claim: Some(claim) })
            | Deed::Sent(Sent { queue, message, claim: Some(claim) }) => {
                on_its_way.insert(claim, (queue, message));
                if !deleted.contains(claim) {
                    continue;
                }
                ((queue.as_str(), message), "was sent when its payload was gone")
            }
            Deed::Deleted(claim) => {
                deleted.insert(claim);
                let Some(receipt) = on_its_way.get(claim) else { continue };
                (*receipt, "lost its payload")
            }
            Deed::EntryPut { endpoint, message } => ((endpoint.as_str(), message), "got its entry"),
            Deed::Submitted(_) | Deed::Sent(_) | Deed::ClaimsStored(_) | Deed::CheckedIn(_) => continue,
        };
        if !committed.contains(&receipt) {
            let (endpoint, message) = receipt;
            let what = format!("message `{message}` {what} before `{endpoint}` committed it");
            violations.push(Violation::new(Law::Payloads, what, &[message.as_str()]));
        }
    }
    violations
}

/// Every claim under which each message was sent or was to be sent, and every claim that was written.
pub(super) fn claims(deeds: &[Deed]) -> Vec<Violation> {
    let mut of_message: BTreeMap<Receipt<'_>, BTreeSet<&Claim>> = BTreeMap::new();
    let mut written: BTreeMap<&Claim, usize> = BTreeMap::new();
    for deed in deeds {
        let named = match deed {
            Deed::Committed { outgoing, .. } | Deed::ClaimsStored(outgoing) => outgoing.as_slice(),
            Deed::Submitted(sent) | Deed::Sent(sent) => std::slice::from_ref(sent),
            Deed::CheckedIn(claim) => {
                *written.entry(claim).or_default() += 1;
                continue;
            }
            Deed::Deleted(_) | Deed::EntryPut { .. } => continue,
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

/// The claims that any message on its way ever had.
fn referenced(deeds: &[Deed]) -> BTreeSet<&Claim> {
    deeds.iter().filter_map(claim_on_its_way).collect()
}

fn claim_on_its_way(deed: &Deed) -> Option<&Claim> {
    match deed {
        Deed::Submitted(sent) | Deed::Sent(sent) => sent.claim.as_ref(),
        Deed::Committed { .. }
        | Deed::ClaimsStored(_)
        | Deed::CheckedIn(_)
        | Deed::Deleted(_)
        | Deed::EntryPut { .. } => None,
    }
}

pub(super) fn no_residue(deeds: &[Deed], rest: &Rest) -> Vec<Violation> {
    let record = |record: &String| Violation::new(Law::NoResidue, format!("record `{record}` was left"), &[record]);
    let mut violations: Vec<_> = rest.records.iter().map(record).collect();
    let parked = parked_claims(rest);
    let referenced = referenced(deeds);
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

/// Payloads that nobody refers to: of attempts that died. They expire.
pub(crate) fn orphans(deeds: &[Deed], rest: &Rest) -> u64 {
    let referenced = referenced(deeds);
    rest.payloads.iter().filter(|claim| !referenced.contains(claim)).count() as u64
}
