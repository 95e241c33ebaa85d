use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::faults::{FaultInjector, Faults};
use crate::sqs::address::arn;
use crate::sqs::error::Kind;
use crate::sqs::queues::{Poll, Queues};

fn with_dead_letter_queue(name: &str, dead: &str, max_receives: u32) -> Queues {
    let policy = json!({ "deadLetterTargetArn": arn(dead), "maxReceiveCount": max_receives });
    let mut queues = Queues::default();
    let source = queue(name, &[("RedrivePolicy", &policy.to_string())]);
    queues.by_name.insert(name.into(), source);
    queues.by_name.insert(dead.into(), queue(dead, &[]));
    queues
}

fn poll(max: usize) -> Poll {
    Poll { max_messages: max, ..Poll::default() }
}

fn take(queues: &mut Queues, now: Millis, name: &str) -> Vec<Received> {
    let injector = FaultInjector::new(Faults::default());
    queues.receive(now, name, &poll(10), &injector).expect("an existing queue").messages
}

#[test]
fn poison_message_is_moved_unchanged_to_the_dead_letter_queue() {
    let mut queues = with_dead_letter_queue("q", "dead", 2);
    queues.get("q").expect("created above").send(START, content(START, "poison"), 0);
    for receive in 0..2 {
        assert_eq!(take(&mut queues, START + receive * 30 * SECOND, "q").len(), 1);
    }
    let later = START + 60 * SECOND;
    assert!(take(&mut queues, later, "dead").is_empty(), "a message is moved only on a receive");
    assert!(take(&mut queues, later, "q").is_empty());

    let dead = take(&mut queues, later, "dead");
    let moved = &dead[0];
    let expected = Content { dead_letter_source: Some(arn("q")), ..content(START, "poison") };
    assert_eq!(*moved.content, expected);
    assert_eq!(moved.delivery.received, 3);
    assert_eq!(moved.delivery.first_received_at, Some(START));
}

#[test]
fn poison_message_no_longer_blocks_its_group_after_the_move() {
    let mut queues = with_dead_letter_queue("q.fifo", "dead.fifo", 1);
    for body in ["poison", "next"] {
        let message = grouped(START, "A", body);
        queues.get("q.fifo").expect("created above").send(START, message, 0);
    }
    queues.receive(START, "q.fifo", &poll(1), &FaultInjector::new(Faults::default())).expect("exists");
    let later = START + 30 * SECOND;
    assert_eq!(bodies(&take(&mut queues, later, "q.fifo")), ["next"]);
    let dead = take(&mut queues, later, "dead.fifo");
    assert_eq!(bodies(&dead), ["poison"]);
    assert_eq!(dead[0].content.group.as_deref(), Some("A"));
}

#[test]
fn dead_letter_message_of_a_fifo_queue_has_its_message_id_as_deduplication_id() {
    let mut queues = with_dead_letter_queue("q.fifo", "dead.fifo", 1);
    // The same deduplication id in two groups, which this queue treats as two messages.
    let per_group = queue("q.fifo", &[("DeduplicationScope", "messageGroup")]).settings;
    let source = queues.get("q.fifo").expect("created above");
    source.settings.deduplicates_per_group = per_group.deduplicates_per_group;
    for group in ["A", "B"] {
        let message = Content { id: format!("id in {group}"), ..grouped(START, group, "same") };
        source.send(START, message, 0);
    }
    assert_eq!(take(&mut queues, START, "q.fifo").len(), 2);
    let later = START + 30 * SECOND;
    assert!(take(&mut queues, later, "q.fifo").is_empty());
    let dead = take(&mut queues, later, "dead.fifo");
    let ids: Vec<_> = dead.iter().map(|message| message.content.deduplication_id.as_deref()).collect();
    assert_eq!(ids, [Some("id in A"), Some("id in B")]);
}

#[test]
fn message_stays_in_its_queue_if_the_dead_letter_queue_is_deleted() {
    let mut queues = with_dead_letter_queue("q", "dead", 1);
    queues.get("q").expect("created above").send(START, content(START, "a"), 0);
    queues.delete(START, "dead").expect("created above");
    for receive in 0..5 {
        assert_eq!(take(&mut queues, START + receive * 30 * SECOND, "q").len(), 1);
    }
}

#[test]
fn receive_from_a_missing_queue_fails() {
    let mut queues = Queues::default();
    let error = queues.receive(START, "none", &poll(1), &FaultInjector::new(Faults::default()));
    assert_eq!(error.expect_err("no such queue").kind, Kind::QueueDoesNotExist);
}

#[test]
fn move_task_sends_messages_back_as_new_messages() {
    let mut queues = with_dead_letter_queue("q", "dead", 1);
    for body in ["a", "b", "c"] {
        queues.get("q").expect("created above").send(START, content(START, body), 0);
    }
    take(&mut queues, START, "q");
    let later = START + 30 * SECOND;
    take(&mut queues, later, "q");

    let task = json!({ "SourceArn": arn("dead"), "MaxNumberOfMessagesPerSecond": 2 });
    let handle = queues.start_task(serde_json::from_value(task).expect("a request"), later);
    let handle = handle.expect("a dead-letter queue");
    assert!(queues.continue_task(&handle, later), "two of three are moved");
    assert_eq!(queues.get("q").expect("created above").counts().ready, 2);
    assert!(!queues.continue_task(&handle, later + SECOND));

    let moved = take(&mut queues, later + SECOND, "q");
    assert_eq!(bodies(&moved), ["a", "b", "c"]);
    assert!(moved.iter().all(|m| m.delivery.received == 1 && m.content.sent_at >= later));
    assert!(moved.iter().all(|m| m.content.id != format!("id of {}", m.content.body)));
}

#[test]
fn move_task_is_rejected_for_a_queue_that_is_no_dead_letter_queue() {
    let mut queues = with_dead_letter_queue("q", "dead", 1);
    let task = serde_json::from_value(json!({ "SourceArn": arn("q") })).expect("a request");
    let error = queues.start_task(task, START).expect_err("not a dead-letter queue of any queue");
    assert_eq!(error.kind, Kind::InvalidParameterValue);
}

fn duplicating() -> FaultInjector {
    FaultInjector::new(Faults { duplicate_deliveries: 1.0, ..Faults::default() })
}

#[test]
fn injected_duplicate_is_delivered_even_after_the_deletion_of_the_first_delivery() {
    let mut queues = Queues::default();
    queues.by_name.insert("q".into(), queue("q", &[]));
    queues.get("q").expect("created above").send(START, content(START, "a"), 0);
    let injector = duplicating();
    let first = queues.receive(START, "q", &poll(10), &injector).expect("exists");
    assert_eq!((first.messages.len(), first.duplicates), (1, 1));
    assert!(delete(queues.get("q").expect("created above"), &first.messages[0]));

    let later = START + 2 * SECOND;
    let second = queues.receive(later, "q", &poll(10), &injector).expect("exists");
    assert_eq!((second.messages.len(), second.duplicates), (1, 0));
    assert!(Arc::ptr_eq(&first.messages[0].content, &second.messages[0].content));
    assert!(delete(queues.get("q").expect("created above"), &second.messages[0]));
    assert!(take(&mut queues, START + 60 * SECOND, "q").is_empty());
}

#[test]
fn fifo_queues_get_no_injected_duplicates() {
    let mut queues = Queues::default();
    queues.by_name.insert("q.fifo".into(), queue("q.fifo", &[]));
    queues.get("q.fifo").expect("created above").send(START, grouped(START, "A", "a"), 0);
    let received = queues.receive(START, "q.fifo", &poll(10), &duplicating()).expect("exists");
    assert_eq!((received.messages.len(), received.duplicates), (1, 0));
    assert!(delete(queues.get("q.fifo").expect("created above"), &received.messages[0]));
    assert!(take(&mut queues, START + 60 * SECOND, "q.fifo").is_empty());
}
