use super::*;
use crate::faults::{FaultInjector, Faults};
use crate::sqs::queues::{Poll, Queues};

/// A FIFO queue with two messages in one group.
fn queues() -> Queues {
    let mut queues = Queues::default();
    let mut queue = queue("q.fifo", &[]);
    for body in ["0", "1"] {
        queue.send(START, grouped(START, "A", body), 0);
    }
    queues.by_name.insert("q.fifo".into(), queue);
    queues
}

fn attempt(queues: &mut Queues, now: Millis, id: &str) -> Vec<Received> {
    let poll = Poll { max_messages: 10, attempt: Some(id.into()), ..Poll::default() };
    queues.receive(now, "q.fifo", &poll, &FaultInjector::new(Faults::default())).expect("an existing queue").messages
}

fn receipts(messages: &[Received]) -> Vec<(u64, u64)> {
    messages.iter().map(receipt).collect()
}

#[test]
fn repeated_attempt_returns_the_same_messages_and_receipts() {
    let mut queues = queues();
    let first = attempt(&mut queues, START, "one");
    assert_eq!(bodies(&first), ["0", "1"]);
    assert!(attempt(&mut queues, START, "other").is_empty(), "the group is blocked for other attempts");

    let again = attempt(&mut queues, START + 20 * SECOND, "one");
    assert_eq!(receipts(&again), receipts(&first));
    assert!(again.iter().all(|message| message.delivery.received == 1));
    assert!(attempt(&mut queues, START + 49 * SECOND, "other").is_empty(), "the timeout started again");
    assert_eq!(attempt(&mut queues, START + 50 * SECOND, "other").len(), 2);
}

#[test]
fn repeated_attempt_is_a_new_receive_after_a_message_was_modified() {
    let mut queues = queues();
    let first = attempt(&mut queues, START, "one");
    let queue = queues.get("q.fifo").expect("created above");
    delete(queue, &first[0]);
    assert!(attempt(&mut queues, START, "one").is_empty());

    let queue = queues.get("q.fifo").expect("created above");
    let (number, receipt_number) = receipt(&first[1]);
    queue.change_visibility(START, number, receipt_number, 10 * SECOND).expect("in flight");
    assert!(attempt(&mut queues, START + 9 * SECOND, "one").is_empty());
    let again = attempt(&mut queues, START + 10 * SECOND, "one");
    assert_eq!((bodies(&again), again[0].delivery.received), (vec!["1"], 2));
}

#[test]
fn repeated_attempt_is_a_new_receive_after_its_visibility_timeout() {
    let mut queues = queues();
    let first = attempt(&mut queues, START, "one");
    let again = attempt(&mut queues, START + 30 * SECOND, "one");
    assert_eq!(bodies(&again), ["0", "1"]);
    assert_ne!(receipts(&again), receipts(&first));
    assert_eq!(again[0].delivery.received, 2);
}

#[test]
fn receive_attempt_can_be_repeated_for_five_minutes() {
    let mut queues = queues();
    queues.get("q.fifo").expect("created above").settings.visibility = 600 * SECOND;
    let first = attempt(&mut queues, START, "one");
    let again = attempt(&mut queues, START + 300 * SECOND - 1, "one");
    assert_eq!(receipts(&again), receipts(&first));
    assert!(attempt(&mut queues, START + 300 * SECOND, "one").is_empty(), "a new receive, and the group is blocked");
}
