//! Laws about messages: what was sent, and what was committed.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::{Partition, protocol::Version};

use super::{Law, Receipt, Violation};
use crate::simulation::history::{Deed, Rest, Sent};

/// In the order in which it happened: what comes later often follows from what came first.
pub(super) fn at_most_once(deeds: &[Deed]) -> Vec<Violation> {
    let mut commits: BTreeSet<Receipt<'_>> = BTreeSet::new();
    let mut violations = Vec::new();
    for deed in deeds {
        let Deed::Committed { endpoint, message, after, .. } = deed else { continue };
        if !commits.insert((endpoint, message)) {
            let what = format!("`{endpoint}` committed message `{message}` again, which made version {after}");
            violations.push(Violation::new(Law::AtMostOnce, what, &[message.as_str()]));
        }
    }
    violations
}

/// What each deed allows to be sent and processed.
fn wanted(deed: &Deed) -> &[Sent] {
    match deed {
        Deed::Submitted(sent) => std::slice::from_ref(sent),
        Deed::Committed { outgoing, .. } => outgoing,
        Deed::ClaimsStored(_) | Deed::Sent(_) | Deed::CheckedIn(_) | Deed::Deleted(_) | Deed::EntryPut { .. } => &[],
    }
}

pub(super) fn no_ghost(deeds: &[Deed]) -> Vec<Violation> {
    let mut known: BTreeSet<Receipt<'_>> = BTreeSet::new();
    let mut ghosts = Vec::new();
    for deed in deeds {
        let (did, receipt) = match deed {
            Deed::Sent(Sent { queue, message, .. }) => ("was sent", (queue.as_str(), message)),
            Deed::Committed { endpoint, message, .. } => ("was committed", (endpoint.as_str(), message)),
            Deed::Submitted(_)
            | Deed::ClaimsStored(_)
            | Deed::CheckedIn(_)
            | Deed::Deleted(_)
            | Deed::EntryPut { .. } => {
                known.extend(wanted(deed).iter().map(|sent| (sent.queue.as_str(), &sent.message)));
                continue;
            }
        };
        if !known.contains(&receipt) {
            let (endpoint, message) = receipt;
            let what = format!("message `{message}` {did} at `{endpoint}` before anything durable asked for it");
            ghosts.push(Violation::new(Law::NoGhost, what, &[message.as_str()]));
        }
        known.extend(wanted(deed).iter().map(|sent| (sent.queue.as_str(), &sent.message)));
    }
    ghosts
}

pub(super) fn versions(deeds: &[Deed]) -> Vec<Violation> {
    let mut last: BTreeMap<(&str, &Partition), Version> = BTreeMap::new();
    let mut violations = Vec::new();
    for deed in deeds {
        let Deed::Committed { endpoint, partition, message, before, after, .. } = deed else { continue };
        let known = last.insert((endpoint, partition), *after).unwrap_or(Version::ABSENT);
        if *before == known && *after == known.next() {
            continue;
        }
        let what = format!(
            "`{partition}` at `{endpoint}` had version {known} after its last commit; message `{message}` found \
             version {before} and made it {after}"
        );
        violations.push(Violation::new(Law::Versions, what, &[message.as_str(), partition.as_str()]));
    }
    violations
}

fn commit(deed: &Deed) -> Option<Receipt<'_>> {
    match deed {
        Deed::Committed { endpoint, message, .. } => Some((endpoint, message)),
        Deed::Submitted(_)
        | Deed::ClaimsStored(_)
        | Deed::Sent(_)
        | Deed::CheckedIn(_)
        | Deed::Deleted(_)
        | Deed::EntryPut { .. } => None,
    }
}

pub(super) fn no_loss(deeds: &[Deed], rest: &Rest, is_rejection: &dyn Fn(&str) -> bool) -> Vec<Violation> {
    let commits: BTreeSet<Receipt<'_>> = deeds.iter().filter_map(commit).collect();
    let receipts: BTreeSet<Receipt<'_>> =
        deeds.iter().flat_map(wanted).map(|sent| (sent.queue.as_str(), &sent.message)).collect();
    let mut violations = Vec::new();
    for (endpoint, message) in receipts {
        let parked = rest.parked(endpoint);
        let letter = parked.iter().find(|(sent, _)| sent.message == *message);
        let what = match (commits.contains(&(endpoint, message)), letter) {
            (true, None) => continue,
            (true, Some(_)) => format!("message `{message}` was committed by `{endpoint}`, and still lies parked"),
            (false, None) => format!("message `{message}` was never committed by `{endpoint}`, and is nowhere"),
            (false, Some((_, reason))) if !is_rejection(reason) => {
                format!("message `{message}` to `{endpoint}` lies parked, though nobody rejected it: {reason}")
            }
            (false, Some((Sent { claim: Some(claim), .. }, _))) if !rest.payloads.contains(claim) => {
                format!("message `{message}` to `{endpoint}` lies parked, and its payload `{claim}` is gone")
            }
            (false, Some(_)) => continue,
        };
        violations.push(Violation::new(Law::NoLoss, what, &[message.as_str()]));
    }
    violations
}

/// How many messages have to be processed: those that were submitted, and those that commits asked for.
pub(crate) fn to_be_processed(deeds: &[Deed]) -> u64 {
    deeds.iter().flat_map(wanted).count() as u64
}
