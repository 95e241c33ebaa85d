use super::*;
use crate::journal::Entries;
use crate::sqs::message::State;
use crate::sqs::queue::Counts;
use crate::sqs::queues::Queues;
use crate::sqs::records::{changes, load};

/// Returns the queues after a restart, loaded from the records in the journal.
fn restart(journal: &mut Entries, queues: &mut Queues) -> Queues {
    changes(queues).apply_to(journal);
    load(journal, true).expect("records that it has written")
}

fn durable(name: &str) -> Queues {
    let mut queues = Queues { durable: true, ..Queues::default() };
    queues.by_name.insert(name.into(), queue(name, &[("VisibilityTimeout", "7")]));
    queues.reconfigured(name);
    queues
}

#[test]
fn messages_keep_their_state_over_a_restart() {
    let mut journal = Entries::new();
    let mut queues = durable("q");
    let queue = queues.get("q").expect("created above");
    queue.send(START, content(START, "deleted"), 0);
    queue.send(START, content(START, "in flight"), 0);
    queue.send(START, content(START, "delayed"), 60 * SECOND);
    let received = receive(queue, START, 2);
    delete(queue, &received[0]);
    queue.send(START, content(START, "ready"), 0);

    let mut queues = restart(&mut journal, &mut queues);
    let queue = queues.get("q").expect("restored");
    assert_eq!(queue.settings.visibility, 7 * SECOND);
    assert_eq!(queue.counts(), Counts { ready: 1, delayed: 1, in_flight: 1 });
    assert_eq!(bodies(&receive(queue, START + SECOND, 10)), ["ready"]);
    let again = receive(queue, START + 30 * SECOND, 10);
    assert_eq!(bodies(&again), ["in flight"]);
    assert_eq!(again[0].delivery.received, 2);
    assert_eq!(*again[0].content, content(START, "in flight"));
    assert!(bodies(&receive(queue, START + 60 * SECOND, 10)).contains(&"delayed"));
}

#[test]
fn receipts_are_valid_after_a_restart() {
    let mut journal = Entries::new();
    let mut queues = durable("q");
    let queue = queues.get("q").expect("created above");
    queue.send(START, content(START, "a"), 0);
    let received = receive(queue, START, 1);
    let mut queues = restart(&mut journal, &mut queues);
    assert!(delete(queues.get("q").expect("restored"), &received[0]));
    let mut queues = restart(&mut journal, &mut queues);
    let counts = queues.get("q").expect("restored").counts();
    assert_eq!(counts, Counts { ready: 0, delayed: 0, in_flight: 0 });
}

#[test]
fn blocked_group_stays_blocked_after_a_restart() {
    let mut journal = Entries::new();
    let mut queues = durable("q.fifo");
    let queue = queues.get("q.fifo").expect("created above");
    for body in ["0", "1"] {
        queue.send(START, grouped(START, "A", body), 0);
    }
    let first = receive(queue, START, 1);
    let mut queues = restart(&mut journal, &mut queues);
    let queue = queues.get("q.fifo").expect("restored");
    assert!(matches!(first[0].delivery.state, State::InFlight { .. }));
    assert!(receive(queue, START, 10).is_empty());
    assert!(queue.original(START, &grouped(START, "A", "0")).is_some(), "a repetition");
    delete(queue, &first[0]);
    assert_eq!(bodies(&receive(queue, START, 10)), ["1"]);
}

#[test]
fn purge_cooldown_survives_a_restart() {
    let mut journal = Entries::new();
    let mut queues = durable("q");
    queues.purge(START, "q").expect("created above");
    let mut queues = restart(&mut journal, &mut queues);
    queues.cooldowns = true;
    assert!(queues.purge(START + 60 * SECOND - 1, "q").is_err());
    assert!(queues.purge(START + 60 * SECOND, "q").is_ok());
}

#[test]
fn a_deleted_queue_leaves_no_records() {
    let mut journal = Entries::new();
    let mut queues = durable("q.fifo");
    let queue = queues.get("q.fifo").expect("created above");
    queue.send(START, grouped(START, "A", "0"), 0);
    let mut queues = restart(&mut journal, &mut queues);
    queues.delete(START, "q.fifo").expect("restored");
    let queues = restart(&mut journal, &mut queues);
    assert!(queues.by_name.is_empty());
    assert!(journal.values().all(|space| space.is_empty()), "{journal:?}");
}
