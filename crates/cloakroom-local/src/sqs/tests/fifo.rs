use super::*;
use crate::sqs::queue::Expired;

fn fifo(messages: &[(&str, &str)]) -> Queue {
    let mut queue = queue("q.fifo", &[]);
    for (group, body) in messages {
        queue.send(START, grouped(START, group, body), 0);
    }
    queue
}

#[test]
fn a_group_is_blocked_while_one_of_its_messages_is_in_flight() {
    let mut queue = fifo(&[("A", "A0"), ("A", "A1"), ("B", "B0"), ("A", "A2"), ("B", "B1")]);
    let first = receive(&mut queue, START, 1);
    assert_eq!(bodies(&first), ["A0"]);
    let others = receive(&mut queue, START, 10);
    assert_eq!(bodies(&others), ["B0", "B1"]);
    assert!(receive(&mut queue, START, 10).is_empty());
    delete(&mut queue, &first[0]);
    assert_eq!(bodies(&receive(&mut queue, START, 10)), ["A1", "A2"]);
}

#[test]
fn group_stays_blocked_while_any_of_its_messages_is_in_flight() {
    let mut queue = fifo(&[("A", "0"), ("A", "1"), ("A", "2")]);
    let pair = receive(&mut queue, START, 2);
    delete(&mut queue, &pair[1]);
    assert!(receive(&mut queue, START, 10).is_empty());
    delete(&mut queue, &pair[0]);
    assert_eq!(bodies(&receive(&mut queue, START, 10)), ["2"]);
}

#[test]
fn visible_message_is_delivered_while_later_messages_of_its_group_are_in_flight() {
    let mut queue = fifo(&[("A", "0"), ("A", "1"), ("A", "2"), ("A", "3")]);
    let first = receive(&mut queue, START, 3);
    assert_eq!(bodies(&first), ["0", "1", "2"]);
    make_visible(&mut queue, &first[0]);
    let again = receive(&mut queue, START, 10);
    assert_eq!(bodies(&again), ["0"], "up to the first message that is in flight");
    delete(&mut queue, &again[0]);
    assert!(receive(&mut queue, START, 10).is_empty());

    make_visible(&mut queue, &first[2]);
    assert!(receive(&mut queue, START, 10).is_empty(), "an earlier message is in flight");
    make_visible(&mut queue, &first[1]);
    assert_eq!(bodies(&receive(&mut queue, START, 10)), ["1", "2", "3"]);
}

#[test]
fn messages_that_become_visible_wait_for_an_earlier_one_whose_timeout_was_extended() {
    let mut queue = fifo(&[("A", "0"), ("A", "1"), ("A", "2")]);
    let all = receive(&mut queue, START, 10);
    let (number, receipt_number) = receipt(&all[1]);
    queue.change_visibility(START, number, receipt_number, 60 * SECOND).expect("in flight");
    assert_eq!(bodies(&receive(&mut queue, START + 30 * SECOND, 10)), ["0"]);
    assert_eq!(bodies(&receive(&mut queue, START + 60 * SECOND, 10)), ["0", "1", "2"]);
}

fn make_visible(queue: &mut Queue, message: &Received) {
    let (number, receipt_number) = receipt(message);
    queue.change_visibility(START, number, receipt_number, 0).expect("in flight");
}

#[test]
fn visible_messages_return_to_their_position_in_the_group() {
    let mut queue = fifo(&[("A", "0"), ("A", "1"), ("A", "2"), ("A", "3")]);
    assert_eq!(bodies(&receive(&mut queue, START, 2)), ["0", "1"]);
    let again = receive(&mut queue, START + 30 * SECOND, 10);
    assert_eq!(bodies(&again), ["0", "1", "2", "3"]);

    let (number, receipt_number) = receipt(&again[1]);
    for message in [&again[0], &again[2], &again[3]] {
        delete(&mut queue, message);
    }
    let later = START + 31 * SECOND;
    queue.send(later, grouped(later, "A", "4"), 0);
    queue.change_visibility(later, number, receipt_number, 0).expect("in flight");
    assert_eq!(bodies(&receive(&mut queue, later, 10)), ["1", "4"]);
}

#[test]
fn receives_alternate_between_groups_over_many_rounds() {
    let names: Vec<String> = (0..50).map(|group| format!("G{group}")).collect();
    let mut queue = queue("q.fifo", &[]);
    for round in 0..4 {
        for name in &names {
            queue.send(START, grouped(START, name, &format!("{name}/{round}")), 0);
        }
    }
    for round in 0..4 {
        let mut seen = Vec::new();
        loop {
            let messages = receive(&mut queue, START, 1);
            let Some(message) = messages.first() else { break };
            seen.push(receipt(message));
            assert!(message.content.body.ends_with(&format!("/{round}")), "{}", message.content.body);
        }
        assert_eq!(seen.len(), names.len());
        for (number, receipt) in seen {
            assert_eq!(queue.delete(number, receipt), Ok(true));
        }
    }
}

#[test]
fn delayed_message_blocks_later_messages_of_its_group() {
    let mut queue = queue("q.fifo", &[]);
    queue.send(START, grouped(START, "A", "late"), 5 * SECOND);
    queue.send(START, grouped(START, "A", "behind"), 0);
    queue.send(START, grouped(START, "B", "other"), 0);
    assert_eq!(bodies(&receive(&mut queue, START, 10)), ["other"]);
    assert_eq!(bodies(&receive(&mut queue, START + 5 * SECOND, 10)), ["late", "behind"]);
}

#[test]
fn repetitions_are_recognised_for_five_minutes_even_after_the_deletion() {
    let mut queue = fifo(&[("A", "once")]);
    let received = receive(&mut queue, START, 1);
    delete(&mut queue, &received[0]);
    let again = grouped(START, "B", "once");
    let almost = START + 300 * SECOND - 1;
    let original = queue.original(almost, &again).expect("a repetition");
    assert_eq!(original.message_id, "id of once");
    assert_eq!(original.number, received[0].number);
    assert!(queue.original(START + 300 * SECOND, &again).is_none());
}

#[test]
fn deduplication_scope_can_be_the_message_group() {
    let mut queue = queue("q.fifo", &[("DeduplicationScope", "messageGroup")]);
    queue.send(START, grouped(START, "A", "same"), 0);
    assert!(queue.original(START, &grouped(START, "A", "same")).is_some());
    assert!(queue.original(START, &grouped(START, "B", "same")).is_none());
}

#[test]
fn fifo_receipt_deletes_only_during_its_visibility_timeout() {
    let mut queue = fifo(&[("A", "0")]);
    let (number, first) = receipt(&receive(&mut queue, START, 1)[0]);
    queue.advance(START + 30 * SECOND);
    assert_eq!(queue.delete(number, first), Err(Expired), "the message is not in flight");
    let (_, second) = receipt(&receive(&mut queue, START + 30 * SECOND, 1)[0]);
    assert_eq!(queue.delete(number, first), Err(Expired), "the message was delivered again");
    assert_eq!(queue.delete(number, second), Ok(true));
    assert_eq!(queue.delete(number, second), Ok(false), "a second deletion is not an error");
}

#[test]
fn message_numbers_increase_even_if_the_clock_goes_back() {
    let mut queue = queue("q.fifo", &[]);
    let mut numbers = Vec::new();
    for round in 0..100 {
        // The clock may stop or go back a little.
        let now = START - u64::from(round % 3 == 0);
        numbers.push(queue.send(now, grouped(now, "A", &round.to_string()), 0));
    }
    assert!(numbers.is_sorted_by(|one, next| one < next));
}
