//! For each law a history that breaks it, made of one that keeps all.

use std::collections::BTreeMap;

use cloakroom::{engine::parking, format::Envelope, ports::QueueMessage, protocol::Version};

use super::*;

fn sent(queue: &str, message: &str, claim: &str) -> Sent {
    Sent { queue: queue.to_owned(), message: message.into(), claim: Some(claim.into()) }
}

fn committed(endpoint: &str, message: &str, before: u64, outgoing: &[Sent]) -> Deed {
    Deed::Committed {
        endpoint: endpoint.to_owned(),
        partition: "p".into(),
        message: message.into(),
        before: Version::new(before),
        after: Version::new(before + 1),
        outgoing: outgoing.to_vec(),
    }
}

/// A message `m` to `a`, which sends `n` to `b`.
fn good() -> (Vec<Deed>, Rest) {
    let (m, n) = (sent("a", "m", "claim-m"), sent("b", "n", "claim-n"));
    let deeds = vec![
        Deed::Submitted(m.clone()),
        Deed::CheckedIn("claim-m".into()),
        Deed::Sent(m),
        Deed::CheckedIn("claim-n".into()),
        committed("a", "m", 0, std::slice::from_ref(&n)),
        Deed::Sent(n.clone()),
        // Once more, by whoever went on.
        Deed::Sent(n),
        Deed::Deleted("claim-m".into()),
        committed("b", "n", 0, &[]),
        Deed::Deleted("claim-n".into()),
    ];
    (deeds, Rest { is_reached: true, ..Rest::default() })
}

fn parked(id: &str, claim: &str, reason: &str) -> QueueMessage {
    let mut envelope = Envelope::new(id.into(), "test", "test", "p".into());
    envelope.dataref = Some(claim.into());
    let attributes = BTreeMap::from([(parking::REASON.to_owned(), reason.to_owned())]);
    QueueMessage { body: envelope.encode(), attributes, ..QueueMessage::default() }
}

fn judged(deeds: &[Deed], rest: &Rest) -> Vec<Violation> {
    judge(deeds, rest, &|reason| reason == "no")
}

/// What the change breaks, and nothing else; the text tells what.
#[track_caller]
fn breaks(change: impl FnOnce(&mut Vec<Deed>, &mut Rest), law: Law, text: &str) {
    let (mut deeds, mut rest) = good();
    assert_eq!(judged(&deeds, &rest), []);
    change(&mut deeds, &mut rest);
    let violations = judged(&deeds, &rest);
    assert!(violations.iter().all(|violation| violation.law == law), "{violations:?}");
    assert!(violations.iter().any(|violation| violation.what.contains(text)), "{violations:?}");
}

#[test]
fn a_second_commit() {
    breaks(|deeds, _| deeds.push(committed("b", "n", 1, &[])), Law::AtMostOnce, "`b` committed message `n` again");
}

#[test]
fn a_message_that_is_nowhere() {
    breaks(|deeds, _| deeds.truncate(8), Law::NoLoss, "`n` was never committed by `b`");
    let another = || Deed::Submitted(sent("a", "x", "claim-x"));
    breaks(|deeds, _| deeds.push(another()), Law::NoLoss, "`x` was never committed by `a`");
}

/// As if the message `n` had been parked instead of committed.
fn park(deeds: &mut Vec<Deed>, rest: &mut Rest, reason: &str) {
    deeds.truncate(8);
    rest.queues.insert("b-dead".to_owned(), vec![parked("n", "claim-n", reason)]);
    rest.payloads = vec!["claim-n".into()];
}

#[test]
fn what_may_lie_parked() {
    let (mut deeds, mut rest) = good();
    park(&mut deeds, &mut rest, "no");
    assert_eq!(judged(&deeds, &rest), []);
    breaks(|deeds, rest| park(deeds, rest, "given up"), Law::NoLoss, "nobody rejected it: given up");
    let without_payload = |deeds: &mut Vec<Deed>, rest: &mut Rest| {
        park(deeds, rest, "no");
        rest.payloads.clear();
    };
    breaks(without_payload, Law::NoLoss, "`claim-n` is gone");
    let committed = |_: &mut Vec<Deed>, rest: &mut Rest| {
        rest.queues.insert("b-dead".to_owned(), vec![parked("n", "claim-n", "no")]);
    };
    breaks(committed, Law::NoLoss, "still lies parked");
}

#[test]
fn a_ghost() {
    breaks(|deeds, _| deeds.push(Deed::Sent(sent("b", "g", "claim-g"))), Law::NoGhost, "`g` was sent at `b`");
    breaks(|deeds, _| deeds.push(committed("b", "g", 1, &[])), Law::NoGhost, "`g` was committed at `b`");
    // Sent before its commit.
    breaks(|deeds, _| deeds.swap(4, 5), Law::NoGhost, "`n` was sent");
    // To somebody else than the record says.
    breaks(|deeds, _| deeds.push(Deed::Sent(sent("a", "n", "another"))), Law::NoGhost, "`n` was sent at `a`");
}

#[test]
fn versions_that_jump_or_go_back() {
    let another = |before| {
        move |deeds: &mut Vec<Deed>, _: &mut Rest| {
            deeds.push(Deed::Submitted(sent("b", "x", "claim-x")));
            deeds.push(committed("b", "x", before, &[]));
        }
    };
    let (mut deeds, mut rest) = good();
    another(1)(&mut deeds, &mut rest);
    assert_eq!(judged(&deeds, &rest), []);
    breaks(another(0), Law::Versions, "found version 0");
    breaks(another(2), Law::Versions, "found version 2");
    let jump = |deeds: &mut Vec<Deed>, _: &mut Rest| {
        let Some(Deed::Committed { after, .. }) = deeds.get_mut(8) else { panic!("a commit") };
        *after = Version::new(2);
    };
    breaks(jump, Law::Versions, "made it 2");
}

#[test]
fn residue() {
    breaks(|_, rest| rest.records.push("outbox#a#m".to_owned()), Law::NoResidue, "outbox#a#m");
    breaks(|_, rest| rest.payloads.push("claim-n".into()), Law::NoResidue, "`claim-n` was left");
    let (mut deeds, mut rest) = good();
    deeds.push(Deed::CheckedIn("claim-of-the-dead".into()));
    rest.payloads.push("claim-of-the-dead".into());
    assert_eq!(judged(&deeds, &rest), []);
    assert_eq!(orphans(&deeds, &rest), 1);
}

#[test]
fn claims_that_are_not_unique() {
    breaks(|deeds, _| deeds.push(Deed::Sent(sent("b", "n", "another"))), Law::Claims, "`n` to `b` has 2 claims");
    breaks(|deeds, _| deeds.push(Deed::CheckedIn("claim-n".into())), Law::Claims, "`claim-n` was written 2 times");
    let stored = Deed::ClaimsStored(vec![sent("b", "n", "another")]);
    breaks(|deeds, _| deeds.insert(5, stored), Law::Claims, "has 2 claims");
}

#[test]
fn what_is_settled_too_early() {
    breaks(|deeds, _| deeds.swap(8, 9), Law::Payloads, "`n` lost its payload before `b` committed it");
    let early = Deed::EntryPut { endpoint: "b".to_owned(), message: "n".into() };
    breaks(|deeds, _| deeds.insert(8, early), Law::Payloads, "`n` got its entry before `b`");
    breaks(|deeds, _| deeds.insert(5, Deed::Deleted("claim-n".into())), Law::Payloads, "when its payload was gone");
    // What nobody was sent may be deleted at any time.
    let (mut deeds, rest) = good();
    deeds.insert(4, Deed::CheckedIn("claim-of-another-attempt".into()));
    deeds.insert(5, Deed::Deleted("claim-of-another-attempt".into()));
    assert_eq!(judged(&deeds, &rest), []);
}

#[test]
fn no_rest() {
    let change = |_: &mut Vec<Deed>, rest: &mut Rest| {
        rest.is_reached = false;
        rest.queues.insert("b".to_owned(), vec![parked("n", "claim-n", "")]);
    };
    breaks(change, Law::Liveness, "b: 1");
}

#[test]
fn what_is_to_be_processed_is_counted() {
    assert_eq!(to_be_processed(&good().0), 2);
}
