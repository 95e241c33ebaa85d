//! Producers that are no handlers: what they submit counts once, and what cannot be sent is told before anything is.

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

/// A producer over the same world, whose calls fail as the world's do.
fn producer(world: &World, source: &str) -> Producer {
    Producer::new(stage::staged(&world.stage, &world.memory), source).expect("a good producer")
}

/// Processes all that is in a queue, and answers how each ended.
fn process_all(world: &World, queue: &str) -> Vec<Outcome> {
    let queue = world.memory.queues.get(queue);
    let received = world.memory.run(queue.receive(10, Duration::ZERO, Duration::from_secs(600)));
    received.expect("memory does not fail").iter().map(|delivery| world.outcome(delivery)).collect()
}

#[test]
fn what_is_submitted_twice_counts_once() {
    let world = World::new();
    let website = producer(&world, "website");
    for amount in [1, 1, 7] {
        world.memory.run(website.submit("bank", "key", &add(amount))).expect("sent");
    }
    assert_eq!(process_all(&world, "bank"), [Outcome::Processed, Outcome::Duplicate, Outcome::Duplicate]);
    assert_eq!(world.total(), 1, "the first that is processed wins");
}

#[test]
fn another_key_or_another_source_is_another_message() {
    let world = World::new();
    for (source, key) in [("website", "1"), ("website", "2"), ("depot", "1")] {
        world.memory.run(producer(&world, source).submit("bank", key, &add(1))).expect("sent");
    }
    assert_eq!(process_all(&world, "bank"), [Outcome::Processed; 3]);
    let ids = world.memory.queues.get("bank").messages().into_iter().map(|message| message.deduplication);
    assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 3, "on a FIFO queue, too");
}

#[test]
fn the_envelope_says_all_that_is_known() {
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
fn many_submitters_share_requests() {
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
fn a_failing_queue_is_tried_again_within_bounds() {
    let world = World::new();
    let website = producer(&world, "website");
    let submit = || world.memory.run(website.submit("bank", "key", &add(1)));
    let mut failures = 2;
    world.stage.plan(move |_, call| {
        let fails = call == Operation::Send && failures > 0;
        failures -= i32::from(fails);
        fails.then_some(Fault::Refused)
    });
    submit().expect("the third time it is sent");
    for (first, may_have_happened) in [(Fault::Refused, false), (Fault::Vanished, true)] {
        // What is not known of the first try is not known of them all.
        let mut fault = first;
        world
            .stage
            .plan(move |_, call| (call == Operation::Send).then(|| std::mem::replace(&mut fault, Fault::Refused)));
        let error = submit().expect_err("never sent");
        assert_eq!((error.may_have_happened(), error.may_be_repeated()), (may_have_happened, true), "{error}");
        let text = error.to_string();
        assert!(text.contains("`account.play` to queue `bank`") && text.contains("same key is safe"), "{text}");
        let sends = world.stage.calls().into_iter().filter(|call| *call == Operation::Send).count();
        assert_eq!(sends, 4);
    }
}

#[test]
fn what_cannot_be_sent_is_told_before_anything_is() {
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
            "at most 10000 are possible (`limits.message_bytes_max`): keep what is",
        ),
        ("bank", Submission::new("key", &Somewhere(String::new())), "its partition is empty"),
        ("bank", Submission::new("key", &Somewhere("p".repeat(2049))), "2049 bytes"),
        ("bank", late(901), "at most 900 s"),
        ("bank.fifo", late(1), "which FIFO queues cannot do"),
    ] {
        let error = world.memory.run(website.submit_all(queue, vec![submission])).remove(0).expect_err(reason);
        assert_eq!((error.may_have_happened(), error.may_be_repeated()), (false, false), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert_eq!(world.stage.calls(), [], "nothing was asked of any service");
    for source in [String::new(), "s".repeat(257)] {
        let error = Producer::new(world.memory.ports(), source).expect_err("no source");
        assert_eq!(error.kind(), ErrorKind::FixConfiguration);
    }
}

#[test]
fn one_that_cannot_be_sent_does_not_keep_back_the_others() {
    let world = World::new();
    let submissions = ["1", "", "3"].map(|key| Submission::new(key, &add(1))).into();
    let answers: Vec<Result<(), PortError>> =
        world.memory.run(producer(&world, "website").submit_all("bank", submissions));
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(world.memory.queues.get("bank").len(), 2);
    assert!(world.memory.run(producer(&world, "website").submit_all("bank", Vec::new())).is_empty());
}

/// A message that is kept wherever it says.
#[derive(serde::Serialize, serde::Deserialize)]
struct Somewhere(String);

impl cloakroom::Message for Somewhere {
    const TYPE: &'static str = "somewhere";
    fn partition(&self) -> cloakroom::Partition {
        cloakroom::Partition::new(&*self.0)
    }
}

#[test]
fn a_message_just_small_enough_is_processed() {
    let world = World::new();
    let ports: Ports = world.memory.ports();
    let website = Producer::new(ports, "website").expect("a producer");
    let submit = |length: usize| {
        let play = Play { acts: vec![Act::Add(1), Act::Demand("x".repeat(length))] };
        world.memory.run(website.submit("bank", "key", &play))
    };
    submit(100).expect("sent");
    let rest = 1024 * 1024 - world.memory.queues.get("bank").messages()[0].body.len();
    submit(100 + rest + 1).expect_err("one byte too many");
    submit(100 + rest).expect("exactly as large as it may be");
    assert_eq!(world.memory.queues.get("bank").messages()[1].body.len(), 1024 * 1024);
}
