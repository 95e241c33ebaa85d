//! Workers on FIFO queues.

use std::time::Duration;

use cloakroom::{
    WorkerSettings,
    ports::{Clock as _, Queue as _},
};

use super::bench::{Bench, Job, job, message};

const QUEUE: &str = "jobs.fifo";

/// The runs of jobs whose names begin with `letter`.
fn runs_of(runs: &[String], letter: char) -> Vec<&str> {
    runs.iter().map(String::as_str).filter(|run| run.starts_with(letter)).collect()
}

#[test]
fn released_message_stays_first_in_its_group() {
    let bench = Bench::new();
    // Each message has its own partition, so only the message group keeps them in order.
    let jobs =
        [Job { fails: 3, ..job("a1", "p1") }, job("a2", "p2"), Job { fails: 1, ..job("a3", "p3") }, job("a4", "p4")];
    bench.send(QUEUE, jobs.iter().map(|job| message(job, "a")).collect());
    bench.send(QUEUE, vec![message(&job("b1", "p5"), "b")]);
    bench.work(QUEUE, vec![bench.worker(QUEUE, WorkerSettings::default())]);
    let runs = bench.runs();
    assert_eq!(runs_of(&runs, 'a'), ["a1", "a1", "a1", "a1", "a2", "a3", "a3", "a4"]);
    assert_eq!(runs.iter().position(|run| run == "b1"), Some(1), "a message of another group does not wait: {runs:?}");
}

#[test]
fn groups_stay_in_order_with_several_workers() {
    let bench = Bench::new();
    for number in 0..30 {
        let fails = usize::from(number % 7 == 0);
        let jobs = ["a", "b", "c"].map(|group| Job { fails, ..job(&format!("{group}{number:02}"), group) });
        bench.send(QUEUE, jobs.iter().map(|job| message(job, &job.partition)).collect());
    }
    let worker = || bench.worker(QUEUE, WorkerSettings::default());
    bench.work(QUEUE, vec![worker(), worker(), worker()]);
    for group in ["a", "b", "c"] {
        assert_eq!(bench.done(group), (0..30).map(|number| format!("{group}{number:02}")).collect::<Vec<_>>());
    }
    assert_eq!(bench.counters.counts().conflict, 0);
}

#[test]
fn attempt_over_its_time_limit_stops_its_group() {
    let bench = Bench::new();
    bench.send(QUEUE, vec![message(&Job { takes_s: 120, ..job("a1", "p1") }, "a"), message(&job("a2", "p2"), "a")]);
    let settings = WorkerSettings { attempt_ms_max: 60_000, ..WorkerSettings::default() };
    let worker = bench.worker(QUEUE, settings).run(bench.memory.clock.sleep(Duration::from_secs(300)));
    bench.run(worker).unwrap();
    let runs = bench.runs();
    assert!(runs.len() > 1 && runs.iter().all(|run| run == "a1"), "{runs:?}");
}

#[test]
fn a_parked_message_does_not_stop_its_group() {
    let bench = Bench::new();
    let poison = Job { is_poison: true, ..job("a1", "p1") };
    bench.send(QUEUE, vec![message(&poison, "a"), message(&job("a2", "p2"), "a")]);
    bench.work(QUEUE, vec![bench.worker(QUEUE, WorkerSettings::default())]);
    assert_eq!(bench.runs(), ["a1", "a2"]);
    let dead = bench.memory.queues.get("jobs-dead.fifo").messages();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].group.as_deref(), Some("a"), "the dead letter keeps its message group");
}

#[test]
fn groups_on_a_standard_queue_have_no_order() {
    let bench = Bench::new();
    bench.send("jobs", vec![message(&Job { fails: 1, ..job("a1", "p1") }, "a"), message(&job("a2", "p2"), "a")]);
    bench.work("jobs", vec![bench.worker("jobs", WorkerSettings::default())]);
    assert_eq!(bench.runs(), ["a1", "a2", "a1"]);
}

#[test]
fn memory_queue_delivers_a_group_in_order_and_holds_it_while_in_flight() {
    let bench = Bench::new();
    let queue = bench.memory.queues.get(QUEUE);
    let names = |max, visibility_s| {
        let receive = queue.receive(max, Duration::ZERO, Duration::from_secs(visibility_s));
        let deliveries = bench.run(receive).unwrap();
        let name =
            |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap()["id"].as_str().unwrap().to_owned();
        deliveries.into_iter().map(|delivery| (name(&delivery.body), delivery.receipt)).collect::<Vec<_>>()
    };
    for (name, group) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")] {
        bench.send(QUEUE, vec![message(&job(name, "p"), group)]);
    }
    let first = names(2, 30);
    assert_eq!(first.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a1", "a2"]);
    assert_eq!(names(10, 30)[0].0, "b1", "a3 waits, because its group is in flight");
    let receipts: Vec<_> = first.into_iter().map(|(_, receipt)| receipt).collect();
    bench.run(queue.extend(vec![receipts[1].clone()], Duration::ZERO)).remove(0).unwrap();
    assert!(names(10, 30).is_empty(), "a1 is still in flight");
    bench.run(queue.extend(vec![receipts[0].clone()], Duration::ZERO)).remove(0).unwrap();
    assert_eq!(names(10, 30).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a1", "a2", "a3"]);
}
