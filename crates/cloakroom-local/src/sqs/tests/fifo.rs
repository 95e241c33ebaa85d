use super::super::queue::Expired;
use super::*;

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
fn a_group_stays_blocked_until_nothing_of_it_is_in_flight() {
    let mut queue = fifo(&[("A", "0"), ("A", "1"), ("A", "2")]);
    let pair = receive(&mut queue, START, 2);
    delete(&mut queue, &pair[1]);
    assert!(receive(&mut queue, START, 10).is_empty());
    delete(&mut queue, &pair[0]);
    assert_eq!(bodies(&receive(&mut queue, START, 10)), ["2"]);
}

#[test]
fn a_message_that_is_given_back_is_delivered_again_while_later_ones_are_in_flight() {
    let mut queue = fifo(&[("A", "0"), ("A", "1"), ("A", "2"), ("A", "3")]);
    let first = receive(&mut queue, START, 3);
    assert_eq!(bodies(&first), ["0", "1", "2"]);
    give_back(&mut queue, &first[0]);
    let again = receive(&mut queue, START, 10);
    assert_eq!(bodies(&again), ["0"], "up to the first message that is in flight");
    delete(&mut queue, &again[0]);
    assert!(receive(&mut queue, START, 10).is_empty());

    give_back(&mut queue, &first[2]);
    assert!(receive(&mut queue, START, 10).is_empty(), "an earlier message is in flight");
    give_back(&mut queue, &first[1]);
    assert_eq!(bodies(&receive(&mut queue, START, 10)), ["1", "2", "3"]);
}

#[test]
fn messages_that_become_visible_wait_for_an_earlier_one_whose_timeout_was_extended() {
    let mut queue = fifo(&[("A", "0"), ("A", "1"), ("A", "2")]);
    let all = receive(&mut queue, START, 10);
    let (number, ticket) = receipt(&all[1]);
    queue.change_visibility(START, number, ticket, 60 * SECOND).expect("in flight");
    assert_eq!(bodies(&receive(&mut queue, START + 30 * SECOND, 10)), ["0"]);
    assert_eq!(bodies(&receive(&mut queue, START + 60 * SECOND, 10)), ["0", "1", "2"]);
}

fn give_back(queue: &mut Queue, message: &Received) {
    let (number, ticket) = receipt(message);
    queue.change_visibility(START, number, ticket, 0).expect("in flight");
}

#[test]
fn messages_come_back_to_their_place() {
    let mut queue = fifo(&[("A", "0"), ("A", "1"), ("A", "2"), ("A", "3")]);
    assert_eq!(bodies(&receive(&mut queue, START, 2)), ["0", "1"]);
    let again = receive(&mut queue, START + 30 * SECOND, 10);
    assert_eq!(bodies(&again), ["0", "1", "2", "3"]);

    let (number, ticket) = receipt(&again[1]);
    for message in [&again[0], &again[2], &again[3]] {
        delete(&mut queue, message);
    }
    let later = START + 31 * SECOND;
    queue.send(later, grouped(later, "A", "4"), 0);
    queue.change_visibility(later, number, ticket, 0).expect("in flight");
    assert_eq!(bodies(&receive(&mut queue, later, 10)), ["1", "4"]);
}

#[test]
fn groups_take_turns_over_many_rounds() {
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
fn a_delayed_message_holds_up_its_group() {
    let mut queue = queue("q.fifo", &[]);
    queue.send(START, grouped(START, "A", "late"), 5 * SECOND);
    queue.send(START, grouped(START, "A", "behind"), 0);
    queue.send(START, grouped(START, "B", "other"), 0);
    assert_eq!(bodies(&receive(&mut queue, START, 10)), ["other"]);
    assert_eq!(bodies(&receive(&mut queue, START + 5 * SECOND, 10)), ["late", "behind"]);
}

#[test]
fn repetitions_are_recognised_for_five_minutes_even_after_the_delete() {
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
fn repetitions_can_be_a_matter_of_the_group() {
    let mut queue = queue("q.fifo", &[("DeduplicationScope", "messageGroup")]);
    queue.send(START, grouped(START, "A", "same"), 0);
    assert!(queue.original(START, &grouped(START, "A", "same")).is_some());
    assert!(queue.original(START, &grouped(START, "B", "same")).is_none());
}

#[test]
fn a_receipt_deletes_only_while_its_delivery_lasts() {
    let mut queue = fifo(&[("A", "0")]);
    let (number, first) = receipt(&receive(&mut queue, START, 1)[0]);
    queue.advance(START + 30 * SECOND);
    assert_eq!(queue.delete(number, first), Err(Expired), "nobody has it");
    let (_, second) = receipt(&receive(&mut queue, START + 30 * SECOND, 1)[0]);
    assert_eq!(queue.delete(number, first), Err(Expired), "somebody else has it");
    assert_eq!(queue.delete(number, second), Ok(true));
    assert_eq!(queue.delete(number, second), Ok(false), "again is no error");
}

#[test]
fn numbers_only_ever_rise() {
    let mut queue = queue("q.fifo", &[]);
    let mut numbers = Vec::new();
    for round in 0..100 {
        // The clock may well stand still or go back a little.
        let now = START - u64::from(round % 3 == 0);
        numbers.push(queue.send(now, grouped(now, "A", &round.to_string()), 0));
    }
    assert!(numbers.is_sorted_by(|one, next| one < next));
}
