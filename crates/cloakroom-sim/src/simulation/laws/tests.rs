//! For each law a history that breaks it, derived from one that keeps all laws.

use std::collections::BTreeMap;

use cloakroom::{engine::parking, format::Envelope, ports::QueueMessage, protocol::Version};

use super::*;

fn sent(queue: &str, message: &str, claim: &str) -> Sent {
    Sent { queue: queue.to_owned(), message: message.into(), claim: Some(claim.into()) }
}

fn committed(endpoint: &str, message: &str, before: u64, outgoing: &[Sent]) -> StoreEvent {
    StoreEvent::Committed {
        endpoint: endpoint.to_owned(),
        partition: "p".into(),
        message: message.into(),
        before: Version::new(before),
        after: Version::new(before + 1),
        outgoing: outgoing.to_vec(),
    }
}

/// A message `m` to `a`, which sends `n` to `b`.
fn good() -> (Vec<StoreEvent>, Rest) {
    let (m, n) = (sent("a", "m", "claim-m"), sent("b", "n", "claim-n"));
    let events = vec![
        StoreEvent::Submitted(m.clone()),
        StoreEvent::CheckedIn("claim-m".into()),
        StoreEvent::Sent(m),
        StoreEvent::CheckedIn("claim-n".into()),
        committed("a", "m", 0, std::slice::from_ref(&n)),
        StoreEvent::Sent(n.clone()),
        // Sent once more, by the worker that resumed.
        StoreEvent::Sent(n),
        StoreEvent::Deleted("claim-m".into()),
        committed("b", "n", 0, &[]),
        StoreEvent::Deleted("claim-n".into()),
    ];
    (events, Rest { is_reached: true, ..Rest::default() })
}

fn parked(id: &str, claim: &str, reason: &str) -> QueueMessage {
    let mut envelope = Envelope::new(id.into(), "test", "test", "p".into());
    envelope.dataref = Some(claim.into());
    let attributes = BTreeMap::from([(parking::REASON.to_owned(), reason.to_owned())]);
    QueueMessage { body: envelope.encode(), attributes, ..QueueMessage::default() }
}

fn found(events: &[StoreEvent], rest: &Rest) -> Vec<Violation> {
    violations(events, rest, &|reason| reason == "no")
}

/// Checks that the change breaks this law and no other. The violation contains the text.
#[track_caller]
fn breaks(change: impl FnOnce(&mut Vec<StoreEvent>, &mut Rest), law: Law, text: &str) {
    let (mut events, mut rest) = good();
    assert_eq!(found(&events, &rest), []);
    change(&mut events, &mut rest);
    let violations = found(&events, &rest);
    assert!(violations.iter().all(|violation| violation.law == law), "{violations:?}");
    assert!(violations.iter().any(|violation| violation.what.contains(text)), "{violations:?}");
}

#[test]
fn second_commit_of_a_message_breaks_at_most_once() {
    breaks(|events, _| events.push(committed("b", "n", 1, &[])), Law::AtMostOnce, "`b` committed message `n` again");
}

#[test]
fn uncommitted_message_in_no_queue_breaks_no_loss() {
    breaks(|events, _| events.truncate(8), Law::NoLoss, "`n` was never committed by `b`");
    let another = || StoreEvent::Submitted(sent("a", "x", "claim-x"));
    breaks(|events, _| events.push(another()), Law::NoLoss, "`x` was never committed by `a`");
}

/// Changes the history as if the message `n` had been parked instead of committed.
fn park(events: &mut Vec<StoreEvent>, rest: &mut Rest, reason: &str) {
    events.truncate(8);
    rest.queues.insert("b-dead".to_owned(), vec![parked("n", "claim-n", reason)]);
    rest.payloads = vec!["claim-n".into()];
}

#[test]
fn only_rejected_messages_with_payload_may_stay_parked() {
    let (mut events, mut rest) = good();
    park(&mut events, &mut rest, "no");
    assert_eq!(found(&events, &rest), []);
    breaks(|events, rest| park(events, rest, "given up"), Law::NoLoss, "no handler rejected it: given up");
    let without_payload = |events: &mut Vec<StoreEvent>, rest: &mut Rest| {
        park(events, rest, "no");
        rest.payloads.clear();
    };
    breaks(without_payload, Law::NoLoss, "`claim-n` is gone");
    let committed = |_: &mut Vec<StoreEvent>, rest: &mut Rest| {
        rest.queues.insert("b-dead".to_owned(), vec![parked("n", "claim-n", "no")]);
    };
    breaks(committed, Law::NoLoss, "is still parked");
}

#[test]
fn message_that_was_never_required_breaks_no_ghost() {
    breaks(|events, _| events.push(StoreEvent::Sent(sent("b", "g", "claim-g"))), Law::NoGhost, "`g` was sent at `b`");
    breaks(|events, _| events.push(committed("b", "g", 1, &[])), Law::NoGhost, "`g` was committed at `b`");
    // Sent before its commit.
    breaks(|events, _| events.swap(4, 5), Law::NoGhost, "`n` was sent");
    // Sent to another queue than that in the record.
    breaks(|events, _| events.push(StoreEvent::Sent(sent("a", "n", "another"))), Law::NoGhost, "`n` was sent at `a`");
}

#[test]
fn version_that_skips_or_decreases_breaks_versions() {
    let another = |before| {
        move |events: &mut Vec<StoreEvent>, _: &mut Rest| {
            events.push(StoreEvent::Submitted(sent("b", "x", "claim-x")));
            events.push(committed("b", "x", before, &[]));
        }
    };
    let (mut events, mut rest) = good();
    another(1)(&mut events, &mut rest);
    assert_eq!(found(&events, &rest), []);
    breaks(another(0), Law::Versions, "found version 0");
    breaks(another(2), Law::Versions, "found version 2");
    let jump = |events: &mut Vec<StoreEvent>, _: &mut Rest| {
        let Some(StoreEvent::Committed { after, .. }) = events.get_mut(8) else { panic!("a commit") };
        *after = Version::new(2);
    };
    breaks(jump, Law::Versions, "made it 2");
}

#[test]
fn leftover_record_or_payload_breaks_no_residue() {
    breaks(|_, rest| rest.records.push("outbox#a#m".to_owned()), Law::NoResidue, "outbox#a#m");
    breaks(|_, rest| rest.payloads.push("claim-n".into()), Law::NoResidue, "`claim-n` was left");
    let (mut events, mut rest) = good();
    events.push(StoreEvent::CheckedIn("claim-of-the-dead".into()));
    rest.payloads.push("claim-of-the-dead".into());
    assert_eq!(found(&events, &rest), []);
    assert_eq!(orphans(&events, &rest), 1);
}

#[test]
fn second_claim_of_a_message_breaks_claims() {
    breaks(
        |events, _| events.push(StoreEvent::Sent(sent("b", "n", "another"))),
        Law::Claims,
        "`n` to `b` has 2 claims",
    );
    breaks(
        |events, _| events.push(StoreEvent::CheckedIn("claim-n".into())),
        Law::Claims,
        "`claim-n` was written 2 times",
    );
    let stored = StoreEvent::ClaimsStored(vec![sent("b", "n", "another")]);
    breaks(|events, _| events.insert(5, stored), Law::Claims, "has 2 claims");
}

#[test]
fn message_settled_before_its_commit_breaks_payloads() {
    breaks(|events, _| events.swap(8, 9), Law::Payloads, "`n` lost its payload before `b` committed it");
    let early = StoreEvent::EntryPut { endpoint: "b".to_owned(), message: "n".into() };
    breaks(|events, _| events.insert(8, early), Law::Payloads, "`n` got its entry before `b`");
    breaks(
        |events, _| events.insert(5, StoreEvent::Deleted("claim-n".into())),
        Law::Payloads,
        "when its payload was gone",
    );
    // A payload that belongs to no sent message may be deleted at any time.
    let (mut events, rest) = good();
    events.insert(4, StoreEvent::CheckedIn("claim-of-another-attempt".into()));
    events.insert(5, StoreEvent::Deleted("claim-of-another-attempt".into()));
    assert_eq!(found(&events, &rest), []);
}

#[test]
fn run_without_rest_breaks_liveness() {
    let change = |_: &mut Vec<StoreEvent>, rest: &mut Rest| {
        rest.is_reached = false;
        rest.queues.insert("b".to_owned(), vec![parked("n", "claim-n", "")]);
    };
    breaks(change, Law::Liveness, "b: 1");
}

#[test]
fn messages_to_process_are_counted() {
    assert_eq!(messages_to_process(&good().0), 2);
}
