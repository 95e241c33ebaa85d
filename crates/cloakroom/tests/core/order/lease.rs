//! The worker extends visibility timeouts, so they outlast every handler.

use std::{sync::Arc, time::Duration};

use cloakroom::{Worker, WorkerSettings, ports::Queue as _};

use super::{
    bench::{Bench, Job, job, message},
    mute::SilentExtensions,
};

#[test]
fn a_handler_of_several_visibility_timeouts_runs_once_among_several_workers() {
    for queue in ["jobs", "jobs.fifo"] {
        let bench = Bench::new();
        bench.send(queue, vec![message(&Job { takes_s: 200, ..job("slow", "p") }, "g")]);
        let settings = WorkerSettings { visibility_ms: 10_000, ..WorkerSettings::default() };
        let worker = || bench.worker(queue, settings.clone());
        bench.work(queue, vec![worker(), worker(), worker()]);
        assert_eq!(bench.runs(), ["slow"], "the handler ran once");
        let counts = bench.counters.counts();
        assert_eq!((counts.processed, counts.duplicate + counts.resumed), (1, 0), "it was received once");
    }
}

#[test]
fn worker_extends_the_visibility_timeout_of_messages_waiting_in_a_lane() {
    let bench = Bench::new();
    let jobs = ["first", "second", "third"].map(|name| Job { takes_s: 60, ..job(name, "p") });
    bench.send("jobs", jobs.iter().map(|job| message(job, "g")).collect());
    let settings = WorkerSettings { visibility_ms: 10_000, ..WorkerSettings::default() };
    bench.work("jobs", vec![bench.worker("jobs", settings.clone()), bench.worker("jobs", settings)]);
    assert_eq!(bench.runs(), ["first", "second", "third"]);
    assert_eq!(bench.counters.counts().duplicate, 0);
}

#[test]
fn visibility_timeout_outlasts_extensions_that_are_not_answered() {
    let bench = Bench::new();
    bench.send("jobs", vec![message(&Job { takes_s: 200, ..job("slow", "p") }, "g")]);
    let mut number = 0;
    let every_other = move || {
        number += 1;
        number % 2 == 0
    };
    let endpoint = bench.endpoint(Some(Arc::new(SilentExtensions::new(bench.memory.ports().queues, every_other))));
    let settings = WorkerSettings { visibility_ms: 9_000, ..WorkerSettings::default() };
    let worker = || Worker::new(endpoint.clone(), "jobs").settings(settings.clone());
    bench.work("jobs", vec![worker(), worker()]);
    assert_eq!(bench.runs(), ["slow"]);
    // If the same worker received it again, the second delivery would wait in its lane and end as a
    // duplicate.
    assert_eq!(bench.counters.counts().duplicate, 0, "it was received once");
}

#[test]
fn handler_runs_twice_at_a_time_without_extensions() {
    // Shows that the tests above can fail: without a worker, the visibility timeout is not
    // extended.
    let bench = Bench::new();
    bench.send("jobs", vec![message(&Job { takes_s: 200, ..job("slow", "p") }, "g")]);
    let endpoint = bench.endpoint(None);
    let queue = bench.memory.queues.get("jobs");
    let receive_and_process = async || {
        let deliveries = queue.receive(1, Duration::from_secs(20), Duration::from_secs(10)).await.unwrap();
        endpoint.process(&deliveries[0]).await
    };
    let (one, other) = bench.run(futures::future::join(receive_and_process(), receive_and_process()));
    one.unwrap();
    other.unwrap();
    assert_eq!(*bench.doubled.lock().unwrap(), ["slow"]);
    assert_eq!(bench.done("p"), ["slow"], "even then it is committed once");
}
