//! What spans and log lines contain, and what they never contain.

use crate::capture;
use crate::fixture;

use std::time::Duration;

use capture::Capture;
use cloakroom::{
    Delivery, EndpointSettings, Outcome, Worker, WorkerSettings,
    format::Envelope,
    ports::{Clock as _, Queue as _, QueueMessage},
};
use cloakroom_sim::wire::Operation;
use fixture::{Act, World, stage::Fault};
use tracing_subscriber::filter::LevelFilter;

/// Puts messages into the worker's queue, and runs the worker for a minute.
fn work(world: &World, deliveries: Vec<Delivery>) {
    let message = |delivery: Delivery| {
        let Delivery { body, attributes, .. } = delivery;
        QueueMessage { body, attributes, ..QueueMessage::default() }
    };
    world.memory.run(async {
        let sent = world.memory.queues.get("accounts").send(deliveries.into_iter().map(message).collect()).await;
        assert!(sent.iter().all(Result::is_ok));
        let settings = WorkerSettings { in_flight_max: 10, ..WorkerSettings::default() };
        let worker = Worker::new(world.endpoint.clone(), "accounts").settings(settings);
        worker.run(world.memory.clock.sleep(Duration::from_secs(60))).await.expect("a queue");
    });
}

#[test]
fn spans_cover_receive_to_acknowledge() {
    let world = World::new();
    let delivery = world.claimed("m-1", &[Act::Note(1), Act::Note(2)]);
    let tree = Capture::of(|| work(&world, vec![delivery])).tree();
    let (idle, tree): (Vec<_>, Vec<_>) = tree.into_iter().partition(|line| line.contains("messages=0"));
    assert!(idle.iter().all(|line| line == "receive endpoint=bank queue=accounts messages=0"), "{idle:?}");
    let expected = [
        "receive endpoint=bank queue=accounts messages=1",
        "process otel.kind=consumer endpoint=bank receive_count=1 message_id=m-1 message_type=account.play \
         claim_digest=9fc8cef8441253da outcome=processed",
        "  read_state",
        "  read_record",
        "  read_payload",
        "  handle",
        "  check_in",
        "  commit version=1",
        "  dispatch messages=2",
        "  settle",
        "  clear",
        "  acknowledge",
    ];
    // The last receive is dropped before it returns, so its span has no number of messages.
    let (ended, dropped) = tree.split_at(expected.len());
    assert_eq!(ended, expected);
    assert!(dropped.iter().all(|line| line == "receive endpoint=bank queue=accounts"), "{dropped:?}");
}

#[test]
fn warning_carries_the_span_of_its_message_at_level_info() {
    let world = World::new();
    let delivery = world.claimed("m-1", &[Act::Reject]);
    let captured = Capture::up_to(LevelFilter::INFO, || assert_eq!(world.outcome(&delivery), Outcome::Parked));
    let spans = captured.spans_of("parked");
    assert!(spans.len() == 1 && spans[0].contains("message_id=m-1"), "{spans:?} {:?}", captured.events());
}

/// Processes a delivery. Returns the spans of all warnings that a subscriber at level `INFO`
/// receives.
fn spans_of_warnings(world: &World, delivery: &Delivery) -> Vec<String> {
    let capture = Capture::up_to(LevelFilter::INFO, || drop(world.process(delivery)));
    let spans = capture.spans_of("WARN");
    assert!(!spans.is_empty(), "there was no warning");
    spans
}

#[test]
fn plain_message_has_its_id_and_type_in_logs() {
    let plain = |attributes: &[(&str, &str)]| {
        let attributes = attributes.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let (id, body) = ("queue-7".to_owned(), r#"{"acts":["Reject"]}"#.to_owned());
        Delivery { id, body, attributes, receive_count: 1, ..Delivery::default() }
    };
    let kind = "cloakroom-type";
    for (delivery, name) in [
        (plain(&[(kind, "account.play")]), "message_id=queue-7 message_type=account.play"),
        (plain(&[(kind, "account.play"), ("cloakroom-id", "m-1")]), "message_id=m-1 message_type=account.play"),
        (plain(&[(kind, "no.such.type")]), "message_id=queue-7 message_type=no.such.type"),
        (plain(&[]), "message_id=queue-7"),
    ] {
        for span in spans_of_warnings(&World::new(), &delivery) {
            assert!(span.contains(name), "`{span}` does not name the message `{name}`");
        }
    }
}

#[test]
fn message_parked_after_its_attempts_is_logged_inside_its_span() {
    let world = World::with(EndpointSettings { attempts_max: 1, ..EndpointSettings::default() });
    for span in spans_of_warnings(&world, &world.claimed("m-1", &[Act::Retry])) {
        assert!(span.contains("message_id=m-1"), "`{span}` is not the span of the message");
    }
}

#[test]
fn resumed_message_has_spans_only_for_its_remaining_steps() {
    let world = World::new();
    let delivery = world.claimed("m-1", &[Act::Note(1)]);
    world.stage.plan(|_, operation| matches!(operation, Operation::Send).then_some(Fault::Refused));
    let failed = Capture::of(|| assert!(world.process(&delivery).is_err()));
    assert!(failed.tree()[0].ends_with("outcome=given_back otel.status_code=ERROR"), "{:?}", failed.tree());
    world.fail(&[]);
    let tree = Capture::of(|| assert_eq!(world.outcome(&delivery), Outcome::Resumed)).tree();
    assert!(tree[0].ends_with("outcome=resumed"), "{tree:?}");
    assert_eq!(tree[1..], ["  read_state", "  read_record", "  dispatch messages=1", "  settle", "  clear"]);
}

#[test]
fn span_shows_the_trace_context_of_the_sender_only_if_it_is_valid() {
    let world = World::new();
    let root = |traceparent: &str| {
        let mut envelope = Envelope::decode(&world.claimed("m-1", &[]).body).expect("an envelope");
        envelope.traceparent = Some(traceparent.to_owned());
        let delivery = world.delivery(&envelope);
        Capture::of(|| assert_eq!(world.outcome(&delivery), Outcome::Processed)).tree().swap_remove(0)
    };
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert!(root(context).contains(&format!(" traceparent={context}")));
    assert!(!root("not a context").contains("not a context"));
}

/// Each value that must not be logged contains one of these texts.
const SECRETS: [&str; 11] = [
    "claim-of-",
    "never-checked-in",
    "account#a",
    "note#",
    "SORTKEY",
    "PAYLOAD",
    "ATTRIBUTE",
    "the account says no",
    "not now",
    "fell over",
    "999999999",
];

/// Messages that together reach every outcome and every kind of error.
fn all_kinds(world: &World) -> Vec<Delivery> {
    let key = || "SORTKEY".to_owned();
    let acts: [&[Act]; 12] = [
        &[Act::Add(999_999_999), Act::Note(1), Act::Alert, Act::Put(key())],
        &[Act::Demand(key())],
        &[Act::PutNew(key())],
        &[Act::Reject],
        &[Act::Retry],
        &[Act::Panic],
        &[Act::Unrouted],
        &[Act::Answer],
        &[Act::Blob(500_000)],
        &[Act::LargeNote(2_000_000)],
        &[Act::Put(String::new())],
        &[Act::Close],
    ];
    let mut all: Vec<Delivery> =
        acts.iter().enumerate().map(|(number, acts)| world.claimed(&format!("m-{number}"), acts)).collect();
    all.push(world.plain("inline", &[Act::Put("PAYLOAD".to_owned())]));
    // A payload that does not deserialise as its type, and a missing payload.
    let mut odd = fixture::envelope("odd", "account.play");
    odd.data = Some(serde_json::json!({ "acts": ["PAYLOAD"] }));
    all.push(world.delivery(&odd));
    let mut gone = Envelope::decode(&world.claimed("gone", &[]).body).expect("an envelope");
    gone.dataref = Some("never-checked-in.memory".into());
    all.push(world.delivery(&gone));
    let mut unknown = fixture::envelope("unknown", "no.such.type");
    unknown.data = Some("PAYLOAD".into());
    all.push(world.delivery(&unknown));
    let body = |body: &str| Delivery { body: body.to_owned(), receive_count: 1, ..Delivery::default() };
    all.push(body("PAYLOAD"));
    all.push(body(r#"{"specversion":"PAYLOAD","id":"i","source":"s","type":"t","partitionkey":"account#a"}"#));
    all.push(body(r#"{"specversion":"1.0","id":["PAYLOAD"],"dataref":"account#a","type":7,"data":"PAYLOAD"}"#));
    for delivery in &mut all {
        delivery.attributes.insert("of-the-sender".to_owned(), "ATTRIBUTE".to_owned());
    }
    all
}

#[track_caller]
fn assert_no_secrets(capture: &Capture) {
    let text = capture.text();
    for secret in SECRETS {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "`{secret}` was logged");
    }
}

#[test]
fn no_payload_state_attribute_or_key_is_ever_logged() {
    let settings = EndpointSettings { attempts_max: 3, passes_max: 4, calls_max: 2, ..EndpointSettings::default() };
    for fault in [None, Some(Fault::Refused), Some(Fault::Vanished), Some(Fault::Unanswered)] {
        let world = World::with(settings.clone());
        let mut calls = 0;
        // Every third call fails.
        world.stage.plan(move |_, _| {
            calls += 1;
            fault.filter(|_| calls % 3 == 0)
        });
        let deliveries = all_kinds(&world);
        let capture = Capture::of(|| work(&world, deliveries));
        assert_no_secrets(&capture);
        let text = capture.text();
        for expected in ["message parked", "message given back", "message_id=m-0", "outcome=parked"] {
            assert!(text.contains(expected), "`{expected}` is missing, so this test checks too little: {text}");
        }
        if fault.is_some() {
            assert!(text.contains("call repeated"), "{text}");
        }
    }
}

#[test]
fn a_busy_partition_is_named_to_the_caller_and_not_to_the_log() {
    let world = World::with(EndpointSettings { passes_max: 2, ..EndpointSettings::default() });
    world.stage.plan(|_, operation| matches!(operation, Operation::Commit).then_some(Fault::Vanished));
    let delivery = world.claimed("m-1", &[Act::Add(1)]);
    let capture = Capture::of(|| {
        let error = world.process(&delivery).expect_err("no commit applies");
        assert!(error.to_string().contains("account#a"), "{error}");
        assert_eq!(error.loggable(), "the partition is too busy");
    });
    assert_no_secrets(&capture);
    assert!(capture.events().iter().any(|event| event.contains("the partition is too busy")));
}
