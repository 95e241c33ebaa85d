//! Which events count as failed attempts.

use std::time::Duration;

use cloakroom::{
    EndpointSettings, ErrorKind, Outcome, WorkerSettings, engine::NotFinished, ports::Clock as _,
    protocol::Consistency, worker::Batch,
};

use super::bench::{Act, Bench, builder, set};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn short_attempts() -> WorkerSettings {
    WorkerSettings { attempt_ms_max: 60_000, ..WorkerSettings::default() }
}

#[test]
fn message_whose_handler_hangs_is_parked_after_attempts_max() {
    let bench = Bench::new();
    bench.run(bench.worker().settings(short_attempts()), async {
        bench.send("a", Act::Take(1_000_000)).await;
        bench.memory.clock.sleep(2 * DAY).await;
    });
    assert_eq!(bench.counters.counts().handled, 8);
    let reasons = bench.reasons();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].contains("given up after 8 attempts: the handler was stopped after 60000 ms"), "{reasons:?}");
}

#[test]
fn hanging_handler_delays_the_following_messages_once() {
    let bench = Bench::new();
    bench.run(bench.worker().settings(short_attempts()), async {
        bench.send("a", Act::Take(1_000_000)).await;
        for _ in 0..5 {
            bench.send("a", Act::Note).await;
        }
        bench.memory.clock.sleep(DAY).await;
    });
    let waits = bench.waits("a");
    assert_eq!(waits.len(), 5);
    assert!(waits.iter().all(|wait| *wait < 61_000), "{waits:?}");
    assert_eq!(bench.reasons().len(), 1);
}

#[test]
fn message_whose_handler_hangs_in_a_batch_is_stopped_in_time_and_parked_after_attempts_max() {
    let bench = Bench::new();
    let settings = EndpointSettings { attempts_max: 3, ..EndpointSettings::default() };
    let endpoint = builder().settings(settings).build(bench.ports()).unwrap();
    for receive_count in 1..=3 {
        let deliveries = [bench.delivery("a", Act::Take(1_000_000), receive_count)];
        let until = bench.memory.clock.now().after(Duration::from_secs(30));
        let batch = Batch { queue: "jobs", deliveries: &deliveries, in_flight_max: 10, until };
        let results = bench.run_with_clock(endpoint.process_batch(batch));
        match (receive_count, &results[..]) {
            (3, [Ok(Outcome::Parked)]) => {}
            (1 | 2, [Err(NotFinished::Failed(error))]) => assert_eq!(error.kind(), ErrorKind::RetryMessage),
            _ => panic!("receive {receive_count}: {results:?}"),
        }
    }
}

#[test]
fn receives_during_an_outage_are_not_counted_as_attempts() {
    let bench = Bench::new();
    let endpoint = builder().build(bench.ports()).unwrap();
    let process = |receive_count| {
        let delivery = bench.delivery("a", Act::Fail, receive_count);
        bench.run_with_clock(endpoint.process(&delivery))
    };
    set(&bench.faults.table_out, true);
    for receive_count in 1..=10 {
        assert_eq!(process(receive_count).unwrap_err().kind(), ErrorKind::AwaitService);
    }
    set(&bench.faults.table_out, false);
    for round in 0..2 {
        for failure in 1..=7 {
            let error = process(10 + failure).expect_err("the message is not parked yet");
            assert_eq!(error.kind(), ErrorKind::RetryMessage, "failure {failure} of round {round}");
        }
        assert_eq!(
            process(18).unwrap(),
            Outcome::Parked,
            "round {round}: a message that is put back has all its attempts again"
        );
    }
    assert!(bench.reasons()[0].starts_with("given up after 8 attempts: the handler fails"), "{:?}", bench.reasons());
}

#[test]
fn expired_failures_are_not_counted() {
    let bench = Bench::new();
    let settings = EndpointSettings { attempts_max: 2, ..EndpointSettings::default() };
    let endpoint = builder().settings(settings).build(bench.ports()).unwrap();
    let delivery = bench.delivery("a", Act::Fail, 1);
    bench.run_with_clock(endpoint.process(&delivery)).expect_err("the first failure");
    bench.memory.run(bench.memory.clock.sleep(15 * DAY));
    bench.run_with_clock(endpoint.process(&delivery)).expect_err("the first failure that counts");
    assert_eq!(bench.run_with_clock(endpoint.process(&delivery)).unwrap(), Outcome::Parked);
}

/// Checks that a stale state read does not reject a message. The handler needs the note of an
/// earlier message, and the worker reads the older state first.
#[track_caller]
fn must_run_again_on_the_current_state(act: Act) {
    let bench = Bench::new();
    let settings = EndpointSettings { state_reads: Consistency::Any, ..EndpointSettings::default() };
    let endpoint = builder().settings(settings).observer(bench.counters.clone()).build(bench.ports()).unwrap();
    bench.run_with_clock(endpoint.process(&bench.delivery("a", Act::Note, 1))).unwrap();
    set(&bench.faults.states_stale, true);
    let mut late = bench.delivery("a", act, 1);
    late.body = late.body.replace(r#""id":"m""#, r#""id":"late""#);
    assert_eq!(bench.run_with_clock(endpoint.process(&late)).unwrap(), Outcome::Processed);
    assert_eq!(bench.counters.counts().handled, 3, "the handler must run again, on the current state");
}

#[test]
fn message_is_not_rejected_because_of_a_stale_state() {
    must_run_again_on_the_current_state(Act::RejectUnlessNoted);
}

#[test]
fn message_is_not_rejected_because_of_the_size_of_a_stale_state() {
    must_run_again_on_the_current_state(Act::OverflowUnlessNoted);
}
