use super::*;
use crate::sqs::queue::Counts;
use crate::sqs::visibility::VisibilityError;

#[test]
fn a_message_is_hidden_until_its_visibility_timeout_has_passed() {
    let mut queue = queue("q", &[]);
    queue.send(START, content(START, "a"), 0);
    let first = receive(&mut queue, START, 10);
    assert_eq!(bodies(&first), ["a"]);
    assert_eq!(first[0].delivery.received, 1);

    assert!(receive(&mut queue, START + 30 * SECOND - 1, 10).is_empty());
    let second = receive(&mut queue, START + 30 * SECOND, 10);
    assert_eq!(second[0].delivery.received, 2);
    assert_eq!(second[0].delivery.first_received_at, Some(START));
    assert_ne!(receipt(&first[0]), receipt(&second[0]));
}

#[test]
fn only_the_latest_receipt_deletes_a_message() {
    let mut queue = queue("q", &[]);
    queue.send(START, content(START, "a"), 0);
    let first = receive(&mut queue, START, 1);
    let second = receive(&mut queue, START + 30 * SECOND, 1);
    assert!(!delete(&mut queue, &first[0]), "the receipt of an earlier delivery");
    assert!(delete(&mut queue, &second[0]));
    assert!(!delete(&mut queue, &second[0]), "already deleted");
    assert!(receive(&mut queue, START + 90 * SECOND, 1).is_empty());
}

#[test]
fn message_can_be_deleted_after_its_visibility_timeout_if_it_was_not_received_again() {
    let mut queue = queue("q", &[]);
    queue.send(START, content(START, "a"), 0);
    let late = receive(&mut queue, START, 1);
    queue.advance(START + 60 * SECOND);
    assert!(delete(&mut queue, &late[0]));
    assert!(receive(&mut queue, START + 60 * SECOND, 1).is_empty());
}

#[test]
fn visibility_can_be_shortened_and_extended() {
    let mut queue = queue("q", &[]);
    queue.send(START, content(START, "a"), 0);
    let first = receive(&mut queue, START, 1);
    let (number, receipt_number) = receipt(&first[0]);
    assert_eq!(queue.change_visibility(START, number, receipt_number, 0), Ok(()));
    assert_eq!(queue.change_visibility(START, number, receipt_number, 0), Err(VisibilityError::NotInFlight));

    let second = receive(&mut queue, START, 1);
    assert_eq!(queue.change_visibility(START, number, receipt_number, 0), Err(VisibilityError::Gone));
    let (number, receipt_number) = receipt(&second[0]);
    assert_eq!(queue.change_visibility(START, number, receipt_number, 100 * SECOND), Ok(()));
    assert!(receive(&mut queue, START + 99 * SECOND, 1).is_empty());
    assert_eq!(receive(&mut queue, START + 100 * SECOND, 1).len(), 1);
}

#[test]
fn delayed_messages_are_delivered_after_their_delay() {
    let mut queue = queue("q", &[]);
    queue.send(START, content(START, "late"), 5 * SECOND);
    queue.send(START, content(START, "soon"), 0);
    assert_eq!(queue.counts(), Counts { ready: 1, delayed: 1, in_flight: 0 });
    assert_eq!(bodies(&receive(&mut queue, START, 10)), ["soon"]);
    assert_eq!(queue.next_deadline(), Some(START + 5 * SECOND));
    assert_eq!(bodies(&receive(&mut queue, START + 5 * SECOND, 10)), ["late"]);
    assert_eq!(queue.counts(), Counts { ready: 0, delayed: 0, in_flight: 2 });
}

#[test]
fn messages_in_every_state_are_deleted_after_the_retention_period() {
    let mut queue = queue("q", &[("MessageRetentionPeriod", "60")]);
    for (body, delay) in [("ready", 0), ("in flight", 0), ("delayed", 50 * SECOND)] {
        queue.send(START, content(START, body), delay);
    }
    assert_eq!(receive(&mut queue, START, 1).len(), 1);
    queue.advance(START + 60 * SECOND - 1);
    let before = queue.counts();
    assert_eq!(before.ready + before.delayed + before.in_flight, 3);
    queue.advance(START + 60 * SECOND);
    assert_eq!(queue.counts(), Counts { ready: 0, delayed: 0, in_flight: 0 });
    assert!(receive(&mut queue, START + 120 * SECOND, 10).is_empty());
}

#[test]
fn purge_deletes_messages_in_every_state() {
    let mut queue = queue("q", &[]);
    for body in ["a", "b", "c"] {
        queue.send(START, content(START, body), 0);
    }
    let received = receive(&mut queue, START, 1);
    queue.purge();
    assert_eq!(queue.counts(), Counts { ready: 0, delayed: 0, in_flight: 0 });
    assert!(!delete(&mut queue, &received[0]));
    assert!(receive(&mut queue, START + 60 * SECOND, 10).is_empty());
}

#[test]
fn messages_in_flight_never_exceed_the_limit() {
    const LIMIT: usize = 120_000;
    let mut queue = queue("q", &[]);
    for _ in 0..=LIMIT {
        queue.send(START, content(START, "a"), 0);
    }
    assert_eq!(receive(&mut queue, START, LIMIT + 1).len(), LIMIT);
    assert!(queue.is_full());
    assert!(receive(&mut queue, START, 10).is_empty());
}
