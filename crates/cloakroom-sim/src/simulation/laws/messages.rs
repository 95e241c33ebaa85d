//! Laws about messages: what was sent, and what was committed.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::{Partition, protocol::Version};

use crate::simulation::{
    history::{Rest, Sent, StoreEvent},
    laws::law::{Law, MessageAtEndpoint, Violation},
};

/// Violations are in the order in which they happened, because later ones often follow from the
/// first.
pub(super) fn at_most_once(events: &[StoreEvent]) -> Vec<Violation> {
    let mut commits: BTreeSet<MessageAtEndpoint<'_>> = BTreeSet::new();
    let mut violations = Vec::new();
    for event in events {
        let StoreEvent::Committed { endpoint, message, after, .. } = event else { continue };
        if !commits.insert((endpoint, message)) {
            let what = format!("`{endpoint}` committed message `{message}` again, which made version {after}");
            violations.push(Violation::new(Law::AtMostOnce, what, &[message.as_str()]));
        }
    }
    violations
}

/// The messages that may be sent and processed because of an event.
fn wanted(event: &StoreEvent) -> &[Sent] {
    match event {
        StoreEvent::Submitted(sent) => std::slice::from_ref(sent),
        StoreEvent::Committed { outgoing, .. } => outgoing,
        StoreEvent::ClaimsStored(_)
        | StoreEvent::Sent(_)
        | StoreEvent::CheckedIn(_)
        | StoreEvent::Deleted(_)
        | StoreEvent::EntryPut { .. } => &[],
    }
}

pub(super) fn no_ghost(events: &[StoreEvent]) -> Vec<Violation> {
    let mut known: BTreeSet<MessageAtEndpoint<'_>> = BTreeSet::new();
    let mut ghosts = Vec::new();
    for event in events {
        let (did, receipt) = match event {
            StoreEvent::Sent(Sent { queue, message, .. }) => ("was sent", (queue.as_str(), message)),
            StoreEvent::Committed { endpoint, message, .. } => ("was committed", (endpoint.as_str(), message)),
            StoreEvent::Submitted(_)
            | StoreEvent::ClaimsStored(_)
            | StoreEvent::CheckedIn(_)
            | StoreEvent::Deleted(_)
            | StoreEvent::EntryPut { .. } => {
                known.extend(wanted(event).iter().map(|sent| (sent.queue.as_str(), &sent.message)));
                continue;
            }
        };
        if !known.contains(&receipt) {
            let (endpoint, message) = receipt;
            let what = format!("message `{message}` {did} at `{endpoint}` before anything durable required it");
            ghosts.push(Violation::new(Law::NoGhost, what, &[message.as_str()]));
        }
        known.extend(wanted(event).iter().map(|sent| (sent.queue.as_str(), &sent.message)));
    }
    ghosts
}

pub(super) fn versions(events: &[StoreEvent]) -> Vec<Violation> {
    let mut last: BTreeMap<(&str, &Partition), Version> = BTreeMap::new();
    let mut violations = Vec::new();
    for event in events {
        let StoreEvent::Committed { endpoint, partition, message, before, after, .. } = event else { continue };
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

fn commit(event: &StoreEvent) -> Option<MessageAtEndpoint<'_>> {
    match event {
        StoreEvent::Committed { endpoint, message, .. } => Some((endpoint, message)),
        StoreEvent::Submitted(_)
        | StoreEvent::ClaimsStored(_)
        | StoreEvent::Sent(_)
        | StoreEvent::CheckedIn(_)
        | StoreEvent::Deleted(_)
        | StoreEvent::EntryPut { .. } => None,
    }
}

pub(super) fn no_loss(events: &[StoreEvent], rest: &Rest, is_rejection: &dyn Fn(&str) -> bool) -> Vec<Violation> {
    let commits: BTreeSet<MessageAtEndpoint<'_>> = events.iter().filter_map(commit).collect();
    let receipts: BTreeSet<MessageAtEndpoint<'_>> =
        events.iter().flat_map(wanted).map(|sent| (sent.queue.as_str(), &sent.message)).collect();
    let mut violations = Vec::new();
    for (endpoint, message) in receipts {
        let parked = rest.parked(endpoint);
        let parked_message = parked.iter().find(|(sent, _)| sent.message == *message);
        let what = match (commits.contains(&(endpoint, message)), parked_message) {
            (true, None) => continue,
            (true, Some(_)) => format!("message `{message}` was committed by `{endpoint}`, and is still parked"),
            (false, None) => format!("message `{message}` was never committed by `{endpoint}`, and is in no queue"),
            (false, Some((_, reason))) if !is_rejection(reason) => {
                format!("message `{message}` to `{endpoint}` is parked, but no handler rejected it: {reason}")
            }
            (false, Some((Sent { claim: Some(claim), .. }, _))) if !rest.payloads.contains(claim) => {
                format!("message `{message}` to `{endpoint}` is parked, and its payload `{claim}` is gone")
            }
            (false, Some(_)) => continue,
        };
        violations.push(Violation::new(Law::NoLoss, what, &[message.as_str()]));
    }
    violations
}

/// The number of messages that have to be processed: those that were submitted, and those that
/// commits send.
pub(crate) fn messages_to_process(events: &[StoreEvent]) -> u64 {
    events.iter().flat_map(wanted).count() as u64
}
