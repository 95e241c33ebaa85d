//! The order in which a batch is processed, and its results.

use std::time::Duration;

use cloakroom::{Delivery, Outcome, engine::NotFinished, worker::Batch};

use super::bench::{Bench, Job, job, message};

fn deliveries(jobs: &[(Job, &str)]) -> Vec<Delivery> {
    let delivery = |(job, group): &(Job, &str)| {
        let sent = message(job, group);
        Delivery { body: sent.body, group: sent.group, receive_count: 1, ..Delivery::default() }
    };
    jobs.iter().map(delivery).collect()
}

/// Processes a batch. Returns one word for the result of each job.
fn process(bench: &Bench, queue: &str, in_flight_max: usize, limit_s: u64, jobs: &[(Job, &str)]) -> Vec<&'static str> {
    let deliveries = deliveries(jobs);
    let until = bench.now().after(Duration::from_secs(limit_s));
    let batch = Batch { queue, deliveries: &deliveries, in_flight_max, until };
    let word = |result| match result {
        Ok(Outcome::Processed) => "processed",
        Ok(Outcome::Resumed | Outcome::Duplicate) => "done before",
        Ok(Outcome::Parked) => "parked",
        Ok(Outcome::Deferred) | Err(NotFinished::Deferred(_)) => "deferred",
        Err(NotFinished::Failed(_)) => "failed",
        Err(NotFinished::Behind) => "behind",
        Err(NotFinished::Stopped) => "stopped",
        Err(NotFinished::Crowded) => "crowded",
    };
    bench.run(bench.endpoint(None).process_batch(batch)).into_iter().map(word).collect()
}

#[test]
fn partitions_are_processed_concurrently_and_each_in_order() {
    let bench = Bench::new();
    let jobs: Vec<_> = (0..12)
        .map(|number| (Job { takes_s: 10, ..job(&format!("m{number}"), &format!("p{}", number % 3)) }, "g"))
        .collect();
    assert_eq!(process(&bench, "jobs", 10, 600, &jobs), ["processed"; 12]);
    assert_eq!(*bench.running_max.lock().unwrap(), 3);
    assert_eq!(bench.done("p1"), ["m1", "m4", "m7", "m10"]);
    assert_eq!(bench.counters.counts().conflict, 0);
    assert_eq!(bench.now().as_secs(), 40);
}

#[test]
fn at_most_in_flight_max_messages_are_processed_at_a_time() {
    for (in_flight_max, most) in [(0, 1), (1, 1), (4, 4)] {
        let bench = Bench::new();
        // The partition with many messages uses one of the `in_flight_max` places.
        let jobs: Vec<_> = (0..12)
            .map(|number| if number < 6 { "many".to_owned() } else { format!("p{number}") })
            .enumerate()
            .map(|(number, partition)| (Job { takes_s: 1, ..job(&format!("m{number}"), &partition) }, "g"))
            .collect();
        assert_eq!(process(&bench, "jobs", in_flight_max, 600, &jobs), ["processed"; 12]);
        assert_eq!(*bench.running_max.lock().unwrap(), most);
    }
}

#[test]
fn failed_message_does_not_affect_others_on_a_standard_queue() {
    let bench = Bench::new();
    let jobs = [
        (Job { fails: 9, ..job("a", "p") }, "g"),
        (job("b", "p"), "g"),
        (Job { is_poison: true, ..job("c", "p") }, "g"),
        (job("d", "q"), "g"),
        (job("b", "p"), "g"),
    ];
    let results = process(&bench, "jobs", 10, 60, &jobs);
    assert_eq!(results, ["failed", "processed", "parked", "processed", "done before"]);
}

#[test]
fn messages_after_a_failure_in_a_group_are_not_tried() {
    let bench = Bench::new();
    let jobs = [
        (job("a1", "p1"), "a"),
        (Job { fails: 9, ..job("a2", "p2") }, "a"),
        (Job { is_poison: true, ..job("b1", "p1") }, "b"),
        (job("a3", "p3"), "a"),
        (job("b2", "p4"), "b"),
        (job("a4", "p1"), "a"),
    ];
    let results = process(&bench, "jobs.fifo", 10, 60, &jobs);
    assert_eq!(results, ["processed", "failed", "parked", "behind", "processed", "behind"]);
    assert_eq!(bench.runs().len(), 4, "no message after the failure was tried: {:?}", bench.runs());
}

#[test]
fn batch_stops_at_its_time_limit_and_keeps_finished_messages() {
    let bench = Bench::new();
    let slow = |name, partition| (Job { takes_s: 100, ..job(name, partition) }, "g");
    let jobs = [(job("quick", "p1"), "g"), slow("slow", "p2"), slow("waits", "p2"), slow("not begun", "p3")];
    assert_eq!(process(&bench, "jobs", 2, 30, &jobs), ["processed", "failed", "stopped", "failed"]);
    assert_eq!(bench.now().as_secs(), 30);
    assert!(bench.done("p2").is_empty());
    // A later batch processes the rest.
    assert_eq!(process(&bench, "jobs", 2, 600, &jobs), ["done before", "processed", "processed", "processed"]);
}

#[test]
fn batch_after_its_time_limit_starts_no_attempt() {
    let bench = Bench::new();
    assert_eq!(process(&bench, "jobs", 10, 0, &[(job("a", "p"), "g")]), ["stopped"]);
    assert!(bench.runs().is_empty());
    assert!(process(&bench, "jobs", 10, 0, &[]).is_empty());
}

#[test]
fn unreadable_message_is_parked_and_does_not_affect_its_batch() {
    let bench = Bench::new();
    let mut all = deliveries(&[(job("a", "p"), "g"), (job("b", "p"), "g"), (job("c", "q"), "g")]);
    all[1].body.truncate(7);
    let until = bench.now().after(Duration::from_secs(60));
    for queue in ["jobs", "jobs.fifo"] {
        let batch = Batch { queue, deliveries: &all, in_flight_max: 10, until };
        let results = bench.run(bench.endpoint(None).process_batch(batch));
        assert!(matches!(results[1], Ok(Outcome::Parked)), "{:?}", results[1]);
        assert!(results.iter().all(Result::is_ok));
    }
}
