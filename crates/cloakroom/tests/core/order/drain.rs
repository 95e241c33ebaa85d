//! What a worker does between the shutdown signal and its end.

use std::{sync::Arc, time::Duration};

use cloakroom::{
    Worker, WorkerSettings,
    ports::{Clock as _, Queue as _},
};

use super::{
    bench::{Bench, Job, job, message},
    mute::SilentExtensions,
};

const DRAIN: Duration = Duration::from_secs(20);

/// Sends one job for each of `takes_s`, and runs a worker for five seconds. Returns how long its
/// shutdown took.
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
    assert_eq!(took, Duration::from_secs(15), "the long poll of 20 s began 5 s before the shutdown");
}

#[test]
fn worker_with_nothing_in_flight_and_no_time_to_drain_ends_at_once() {
    let bench = Bench::new();
    let settings = WorkerSettings { drain_ms: 0, ..settings() };
    assert_eq!(shut_down(&bench, "jobs", bench.worker("jobs", settings), &[1, 2]), Duration::ZERO);
}

#[test]
fn worker_at_shutdown_ends_when_its_messages_are_finished() {
    let bench = Bench::new();
    // `in_flight_max` is reached, so no long poll is running at the shutdown.
    let settings = WorkerSettings { in_flight_max: 2, ..settings() };
    let took = shut_down(&bench, "jobs", bench.worker("jobs", settings), &[7, 9]);
    assert!((Duration::from_secs(4)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert!(bench.memory.queues.get("jobs").is_empty());
}

#[test]
fn worker_at_shutdown_releases_unfinished_messages_and_ends_in_time() {
    for queue in ["jobs", "jobs.fifo"] {
        let bench = Bench::new();
        let took = shut_down(&bench, queue, bench.worker(queue, settings()), &[6, 100, 200]);
        assert_eq!(took, DRAIN, "{queue}");
        let queue = bench.memory.queues.get(queue);
        let received = bench.run(queue.receive(10, Duration::ZERO, Duration::from_secs(30))).unwrap();
        assert_eq!(received.len(), 2, "they can be received before their visibility timeout would have ended");
        assert_eq!(bench.done("a0"), ["a0"]);
    }
}

#[test]
fn unresponsive_queue_does_not_delay_the_shutdown() {
    let bench = Bench::new();
    let clock = bench.memory.clock.clone();
    let queues = SilentExtensions::new(bench.memory.ports().queues, move || clock.now().as_secs() < 5);
    let worker = Worker::new(bench.endpoint(Some(Arc::new(queues))), "jobs").settings(settings());
    let took = shut_down(&bench, "jobs", worker, &[100]);
    assert!(took <= DRAIN + Duration::from_secs(5), "{took:?}");
}
