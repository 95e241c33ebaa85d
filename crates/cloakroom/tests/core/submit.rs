//! Producers outside of handlers. A message that is submitted twice is processed once. Errors of
//! the caller are reported before anything is sent.

use crate::fixture;

use std::time::Duration;

use cloakroom::{
    ErrorKind, Outcome, PortError, Ports, Producer, Submission,
    format::Envelope,
    ports::{Limits, Queue as _},
};
use cloakroom_sim::wire::Operation;
use fixture::{Act, Note, Play, World, stage, stage::Fault};
use futures::future::join_all;

fn add(amount: i64) -> Play {
    Play { acts: vec![Act::Add(amount)] }
}

/// Returns a producer on the world's ports. Its calls fail as the world's calls do.
fn producer(world: &World, source: &str) -> Producer {
    Producer::new(stage::staged(&world.stage, &world.memory), source).expect("a valid producer")
}

/// Processes all messages of a queue. Returns their outcomes.
fn process_all(world: &World, queue: &str) -> Vec<Outcome> {
    let queue = world.memory.queues.get(queue);
    let received = world.memory.run(queue.receive(10, Duration::ZERO, Duration::from_secs(600)));
    received.expect("memory does not fail").iter().map(|delivery| world.outcome(delivery)).collect()
}

#[test]
fn message_that_is_submitted_twice_counts_once() {
    let world = World::new();
    let website = producer(&world, "website");
    for amount in [1, 1, 7] {
        world.memory.run(website.submit("bank", "key", &add(amount))).expect("sent");
    }
    assert_eq!(process_all(&world, "bank"), [Outcome::Processed, Outcome::Duplicate, Outcome::Duplicate]);
    assert_eq!(world.total(), 1, "the first processed message counts");
}

#[test]
fn submission_with_another_key_or_source_is_another_message() {
    let world = World::new();
    for (source, key) in [("website", "1"), ("website", "2"), ("depot", "1")] {
        world.memory.run(producer(&world, source).submit("bank", key, &add(1))).expect("sent");
    }
    assert_eq!(process_all(&world, "bank"), [Outcome::Processed; 3]);
    let ids = world.memory.queues.get("bank").messages().into_iter().map(|message| message.deduplication);
    assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 3, "a FIFO queue keeps all three, too");
}

#[test]
fn submitted_envelope_has_every_given_field() {
    let world = World::new();
    let submission = Submission::new("key", &add(1))
        .correlation("visit")
        .traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .delay(Duration::from_millis(1_001))
        .group("g");
    let website = producer(&world, "website");
    let submit = website.submit_all("bank", vec![submission, Submission::new("other", &add(1))]);
    assert!(world.memory.run(submit).iter().all(Result::is_ok));
    let mut messages = world.memory.queues.get("bank").messages();
    messages.sort_by_key(|message| message.delay_s);
    assert_eq!((messages[0].delay_s, messages[0].group.as_deref()), (0, Some("account#a")));
    assert_eq!((messages[1].delay_s, messages[1].group.as_deref()), (2, Some("g")));
    let envelope = Envelope::decode(&messages[1].body).expect("an envelope");
    assert_eq!((envelope.id.as_str(), &*envelope.source, &*envelope.kind), ("key", "website", "account.play"));
    assert_eq!(envelope.correlationid.as_deref(), Some("visit"));
    assert!(envelope.traceparent.is_some() && envelope.time.is_some() && envelope.dataref.is_none());
}

#[test]
fn concurrent_submissions_share_requests() {
    let world = World::new();
    let website = producer(&world, "website");
    world.fail(&[]);
    let submits = (0..40).map(|number| {
        let website = website.clone();
        async move { website.submit("bank", number.to_string(), &add(1)).await }
    });
    assert!(world.memory.run(join_all(submits)).iter().all(Result::is_ok));
    let sends = world.stage.calls().into_iter().filter(|call| *call == Operation::Send).count();
    assert_eq!((sends, world.memory.queues.get("bank").len()), (4, 40));
}

#[test]
fn send_to_a_failing_queue_is_retried_within_limits() {
    let world = World::new();
    let website = producer(&world, "website");
    let submit = || world.memory.run(website.submit("bank", "key", &add(1)));
    let mut failures = 2;
    world.stage.plan(move |_, call| {
        let fails = call == Operation::Send && failures > 0;
        failures -= i32::from(fails);
        fails.then_some(Fault::Refused)
    });
    submit().expect("the third try succeeds");
    for (first, may_have_happened) in [(Fault::Refused, false), (Fault::Vanished, true)] {
        // If the outcome of the first try is unknown, the outcome of the whole call is unknown.
        let mut fault = first;
        world
            .stage
            .plan(move |_, call| (call == Operation::Send).then(|| std::mem::replace(&mut fault, Fault::Refused)));
        let error = submit().expect_err("every send fails");
        assert_eq!((error.may_have_happened(), error.may_be_repeated()), (may_have_happened, true), "{error}");
        let text = error.to_string();
        assert!(text.contains("`account.play` to queue `bank`") && text.contains("same key is safe"), "{text}");
        let sends = world.stage.calls().into_iter().filter(|call| *call == Operation::Send).count();
        assert_eq!(sends, 4);
    }
}

#[test]
fn invalid_submission_is_refused_before_any_call() {
    let world = World::new();
    let ports = stage::staged(&world.stage, &world.memory);
    let limits = Limits { message_bytes_max: 10_000, ..Limits::default() };
    let website = Producer::new(Ports { limits, ..ports }, "website").expect("a producer");
    let large = Note { number: 1, text: "x".repeat(10_000) };
    let late = |seconds| Submission::new("key", &add(1)).delay(Duration::from_secs(seconds));
    world.fail(&[]);
    for (queue, submission, reason) in [
        ("bank", Submission::new("", &add(1)), "key has 0 bytes; 1 to 256"),
        ("bank", Submission::new("ä".repeat(129), &add(1)), "key has 258 bytes; 1 to 256"),
        (
            "bank",
            Submission::new("key", &large),
            "at most 10000 are possible (`limits.message_bytes_max`). Store large data",
        ),
        ("bank", Submission::new("key", &Somewhere(String::new())), "its partition is empty"),
        ("bank", Submission::new("key", &Somewhere("p".repeat(2049))), "2049 bytes"),
        ("bank", late(901), "at most 900 s"),
        ("bank.fifo", late(1), "FIFO queues do not support a delay"),
    ] {
        let error = world.memory.run(website.submit_all(queue, vec![submission])).remove(0).expect_err(reason);
        assert_eq!((error.may_have_happened(), error.may_be_repeated()), (false, false), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert_eq!(world.stage.calls(), [], "no service was called");
    for source in [String::new(), "s".repeat(257)] {
        let error = Producer::new(world.memory.ports(), source).expect_err("no source");
        assert_eq!(error.kind(), ErrorKind::FixConfiguration);
    }
}

#[test]
fn invalid_submission_does_not_prevent_the_others() {
    let world = World::new();
    let submissions = ["1", "", "3"].map(|key| Submission::new(key, &add(1))).into();
    let results: Vec<Result<(), PortError>> =
        world.memory.run(producer(&world, "website").submit_all("bank", submissions));
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(world.memory.queues.get("bank").len(), 2);
    assert!(world.memory.run(producer(&world, "website").submit_all("bank", Vec::new())).is_empty());
}

/// A message whose partition is its content.
#[derive(serde::Serialize, serde::Deserialize)]
struct Somewhere(String);

impl cloakroom::Message for Somewhere {
    const TYPE: &'static str = "somewhere";
    fn partition(&self) -> cloakroom::Partition {
        cloakroom::Partition::new(&*self.0)
    }
}

#[test]
fn message_at_the_size_limit_is_processed() {
    let world = World::new();
    let ports: Ports = world.memory.ports();
    let website = Producer::new(ports, "website").expect("a producer");
    let submit = |length: usize| {
        let play = Play { acts: vec![Act::Add(1), Act::Demand("x".repeat(length))] };
        world.memory.run(website.submit("bank", "key", &play))
    };
    submit(100).expect("sent");
    let rest = 1024 * 1024 - world.memory.queues.get("bank").messages()[0].body.len();
    submit(100 + rest + 1).expect_err("one byte over the limit");
    submit(100 + rest).expect("exactly at the limit");
    assert_eq!(world.memory.queues.get("bank").messages()[1].body.len(), 1024 * 1024);
}
