//! What a worker does between a shutdown and its end.

use std::{sync::Arc, time::Duration};

use cloakroom::{
    Worker, WorkerSettings,
    ports::{Clock as _, Queue as _},
};

use super::{
    bench::{Bench, Job, job, message},
    mute::Mute,
};

const DRAIN: Duration = Duration::from_secs(20);

/// Sends jobs of `takes_s` to each queue, runs a worker for five seconds, and says how long the shutdown took.
fn shut_down(bench: &Bench, queue: &str, worker: Worker, takes_s: &[u64]) -> Duration {
    let names = (0..takes_s.len()).map(|number| format!("a{number}"));
    let jobs = names.zip(takes_s).map(|(name, takes_s)| Job { takes_s: *takes_s, ..job(&name, &name) });
    bench.send(queue, jobs.map(|job| message(&job, "g")).collect());
    let shutdown = bench.memory.clock.sleep(Duration::from_secs(5));
    bench.run(worker.run(shutdown)).unwrap();
    bench.now().since(cloakroom::Timestamp::default()) - Duration::from_secs(5)
}

fn settings() -> WorkerSettings {
    WorkerSettings { drain_ms: 20_000, ..WorkerSettings::default() }
}

#[test]
fn worker_with_nothing_in_flight_ends_with_its_long_poll() {
    let bench = Bench::new();
    let took = shut_down(&bench, "jobs", bench.worker("jobs", settings()), &[1, 2]);
    assert_eq!(took, Duration::from_secs(15), "20 s from when the poll began");
}

#[test]
fn worker_with_nothing_in_flight_and_no_time_to_drain_ends_at_once() {
    let bench = Bench::new();
    let settings = WorkerSettings { drain_ms: 0, ..settings() };
    assert_eq!(shut_down(&bench, "jobs", bench.worker("jobs", settings), &[1, 2]), Duration::ZERO);
}

#[test]
fn a_worker_ends_as_soon_as_it_has_finished_what_it_holds() {
    let bench = Bench::new();
    // Both of its places are taken, so that no long poll is under way.
    let settings = WorkerSettings { in_flight_max: 2, ..settings() };
    let took = shut_down(&bench, "jobs", bench.worker("jobs", settings), &[7, 9]);
    assert!((Duration::from_secs(4)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert!(bench.memory.queues.get("jobs").is_empty());
}

#[test]
fn a_worker_gives_back_what_it_cannot_finish_and_ends_in_time() {
    for queue in ["jobs", "jobs.fifo"] {
        let bench = Bench::new();
        let took = shut_down(&bench, queue, bench.worker(queue, settings()), &[6, 100, 200]);
        assert_eq!(took, DRAIN, "{queue}");
        let queue = bench.memory.queues.get(queue);
        let again = bench.run(queue.receive(10, Duration::ZERO, Duration::from_secs(30))).unwrap();
        assert_eq!(again.len(), 2, "without waiting for their leases to end");
        assert_eq!(bench.done("a0"), ["a0"]);
    }
}

#[test]
fn a_queue_that_does_not_answer_does_not_hold_the_shutdown_up() {
    let bench = Bench::new();
    let clock = bench.memory.clock.clone();
    let queues = Mute::new(bench.memory.ports().queues, move || clock.now().as_secs() < 5);
    let worker = Worker::new(bench.endpoint(Some(Arc::new(queues))), "jobs").settings(settings());
    let took = shut_down(&bench, "jobs", worker, &[100]);
    assert!(took <= DRAIN + Duration::from_secs(5), "{took:?}");
}
