//! Permanent failures: of one message, and of the configuration.

use std::time::Duration;

use cloakroom::{EndpointSettings, ErrorKind, Outcome, format::Envelope};

use super::bench::{Act, Bench, builder, set};

const MESSAGES: u32 = 360;
const EVERY: Duration = Duration::from_secs(20);

/// The longest wait of other messages while one message fails for two hours.
fn longest_wait_during(bench: &Bench, failing: impl AsyncFn(&Bench)) -> Duration {
    bench.run(bench.worker(), async {
        failing(bench).await;
        bench.traffic(MESSAGES, EVERY).await;
    });
    bench.longest_wait(MESSAGES)
}

#[test]
fn message_with_unknown_store_does_not_delay_other_messages_and_is_parked() {
    let bench = Bench::new();
    let longest = longest_wait_during(&bench, async |bench| bench.send_from_unknown_store("a").await);
    assert!(longest < Duration::from_secs(1), "another message waited {longest:?}");
    let reasons = bench.reasons();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].contains("in store `elsewhere`, and this endpoint has only `memory`"), "{reasons:?}");
    let dead = bench.memory.queues.get("jobs-dead").messages();
    let parked = Envelope::decode(&dead[0].body).unwrap();
    assert!(parked.dataref.is_some(), "the parked message keeps its claim");
}

#[test]
fn message_with_unreadable_state_does_not_delay_other_messages_and_is_parked() {
    let bench = Bench::new();
    set(&bench.faults.state_damaged, true);
    let longest = longest_wait_during(&bench, async |bench| bench.send("damaged", Act::Note).await);
    assert!(longest < Duration::from_secs(1), "another message waited {longest:?}");
    assert_eq!(bench.reasons().len(), 1);
}

#[test]
fn worker_does_not_start_while_the_queue_of_a_route_is_missing_and_parks_no_message() {
    let bench = Bench::new();
    set(&bench.faults.route_missing, true);
    bench.run_with_clock(bench.send("a", Act::Send));
    let error =
        bench.run_with_clock(bench.worker().run(std::future::pending())).expect_err("the queue of a route is missing");
    assert_eq!(error.kind(), cloakroom::ErrorKind::FixConfiguration);
    assert!(error.to_string().contains("parcels"), "{error}");
    assert_eq!(bench.reasons(), Vec::<String>::new());
    set(&bench.faults.route_missing, false);
    bench.run(bench.worker(), bench.traffic(1, Duration::from_secs(600)));
    assert_eq!(bench.waits("a").len(), 1, "the message is processed after the queue exists");
    assert_eq!(bench.memory.queues.get("parcels").len(), 1);
}

#[test]
fn missing_route_parks_no_message() {
    let bench = Bench::new();
    let longest = longest_wait_during(&bench, async |bench| bench.send("a", Act::SendUnrouted).await);
    assert!(longest < Duration::from_secs(1), "another message waited {longest:?}");
    assert_eq!(bench.reasons(), Vec::<String>::new());
    assert!(bench.counters.counts().given_back > 8, "the message was tried more often than `attempts_max`");
}

#[test]
fn message_whose_handler_fails_does_not_delay_other_messages_and_is_parked() {
    let bench = Bench::new();
    let longest = longest_wait_during(&bench, async |bench| bench.send("a", Act::Fail).await);
    assert!(longest < Duration::from_secs(1), "another message waited {longest:?}");
    assert_eq!(bench.reasons().len(), 1);
}

#[test]
fn message_for_a_missing_or_denied_route_is_not_parked_after_any_number_of_receives() {
    // An existing queue can be opened, so the message is committed before its outgoing message is
    // refused.
    for (is_missing, ended) in [(true, Outcome::Processed), (false, Outcome::Resumed)] {
        let bench = Bench::new();
        let fault = if is_missing { &bench.faults.route_missing } else { &bench.faults.route_refuses };
        set(fault, true);
        let settings = EndpointSettings { attempts_max: 2, ..EndpointSettings::default() };
        let endpoint = builder().settings(settings).build(bench.ports()).unwrap();
        let process = |receive_count| {
            let delivery = bench.delivery("p", Act::Send, receive_count);
            bench.memory.run(endpoint.process(&delivery))
        };
        for receive_count in 1..=20 {
            assert_eq!(process(receive_count).unwrap_err().kind(), ErrorKind::FixConfiguration);
        }
        set(fault, false);
        assert_eq!(process(21).unwrap(), ended);
        assert_eq!(bench.reasons(), Vec::<String>::new());
        assert_eq!(bench.memory.queues.get("parcels").len(), 1);
    }
}
