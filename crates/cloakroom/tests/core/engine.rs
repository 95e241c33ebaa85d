//! An endpoint over memory, with one message at a time.

use crate::fixture;

use std::time::Duration;

use cloakroom::{
    EndpointSettings, Error, ErrorKind, Outcome,
    format::{Claim, Envelope},
    memory::Memory,
    ports::Clock as _,
    protocol::{CheckIn, WhenMissing},
};
use cloakroom_sim::wire::Operation;
use fixture::{Account, Act, Alert, Double, Note, ONCE, World, account, builder, envelope, stage::Fault};

const TIMINGS: [CheckIn; 2] = [CheckIn::BeforeCommit, CheckIn::AfterCommit];

fn with(check_in: CheckIn) -> World {
    World::with(EndpointSettings { check_in, ..EndpointSettings::default() })
}

#[test]
fn message_changes_state_and_sends_with_every_identity_and_timing() {
    for check_in in TIMINGS {
        for is_claimed in [true, false] {
            let world = with(check_in);
            let delivery = if is_claimed { world.claimed("m", &ONCE) } else { world.plain("m", &ONCE) };
            assert_eq!(world.outcome(&delivery), Outcome::Processed);
            assert_eq!(world.sent("notes").len(), 2);
            assert_eq!(world.memory.payloads.claims().len(), 2, "only the payloads of the notes remain");
            world.must_be_processed_once(&delivery);
            assert_eq!((world.counts().processed, world.counts().duplicate, world.counts().handled), (1, 1, 1));
        }
    }
}

#[test]
fn message_makes_only_the_calls_of_the_protocol_in_order() {
    let calls = |check_in, is_claimed: bool| {
        let world = with(check_in);
        let acts = [Act::Add(1), Act::Note(1)];
        // If a partition was never committed, the engine looks for no record.
        world.outcome(&world.plain("before", &[]));
        let before = world.stage.calls().len();
        world.outcome(&if is_claimed { world.claimed("m", &acts) } else { world.plain("m", &acts) });
        world.stage.calls().split_off(before)
    };
    let reads = [Operation::ReadState, Operation::ReadRecord];
    let before = [
        Operation::ReadPayload,
        Operation::OpenQueue,
        Operation::CheckIn,
        Operation::Commit,
        Operation::Send,
        Operation::DeletePayload,
        Operation::Clear,
    ];
    let after = [
        Operation::HasEntry,
        Operation::OpenQueue,
        Operation::Commit,
        Operation::CheckIn,
        Operation::StoreClaims,
        Operation::Send,
        Operation::PutEntry,
        Operation::Clear,
    ];
    assert_eq!(calls(CheckIn::BeforeCommit, true), [&reads[..], &before].concat());
    assert_eq!(calls(CheckIn::AfterCommit, false), [&reads[..], &after].concat());
}

#[test]
fn claims_stay_after_a_conflict_on_an_item_of_the_handler() {
    let world = World::with(EndpointSettings { passes_max: 3, ..EndpointSettings::default() });
    let acts = [Act::Note(1), Act::Demand("missing".to_owned())];
    world.process(&world.claimed("m", &acts)).expect_err("the item does not exist");
    // The version did not increase, so a late repetition of one of these commits could still apply.
    assert_eq!(world.memory.payloads.claims().len(), 1 + 3, "the payload of the message, and one for each attempt");
}

#[test]
fn messages_of_two_types_change_one_state() {
    let world = World::new();
    world.outcome(&world.claimed("1", &[Act::Add(21)]));
    let mut twice = envelope("2", "account.double");
    twice.data = Some(serde_json::to_value(Double {}).expect("JSON"));
    world.outcome(&world.delivery(&twice));
    assert_eq!((world.total(), world.account().0), (42, 2));
}

#[test]
fn message_without_effect_increases_the_version() {
    for check_in in TIMINGS {
        let world = with(check_in);
        world.outcome(&world.claimed("1", &[]));
        assert_eq!(world.account(), (1, Some(Account::default())));
        assert_eq!(world.items(), Vec::<String>::new());
    }
}

#[test]
fn every_subscriber_receives_a_message_with_its_own_claim() {
    for check_in in TIMINGS {
        let world = with(check_in);
        world.outcome(&world.claimed("m", &[Act::Alert]));
        let [pagers, mails] = ["pagers", "mails"].map(|queue| world.sent(queue));
        assert_eq!((pagers.len(), mails.len()), (1, 1));
        assert_eq!(pagers[0].id, mails[0].id, "both queues receive the same message");
        assert_ne!(pagers[0].dataref, mails[0].dataref, "each subscriber deletes its own payload");
        for sent in [&pagers[0], &mails[0]] {
            assert!(world.payload(sent.dataref.as_ref().expect("a claim")).is_some());
        }
    }
}

#[test]
fn outgoing_envelope_names_its_origin() {
    let world = World::new();
    world.outcome(&world.claimed("1", &[]));
    let mut second = envelope("2", "account.play");
    second.data = Some(serde_json::json!({ "acts": [{ "Note": 7 }] }));
    second.correlationid = Some("conversation".to_owned());
    second.traceparent = Some("00-1-2-01".to_owned());
    world.outcome(&world.delivery(&second));
    let sent = world.sent("notes").swap_remove(0);
    assert_eq!((sent.source.as_str(), sent.kind.as_str(), sent.partition.as_str()), ("bank", "note", "note#7"));
    assert_eq!(
        sent.sequence.as_deref(),
        Some("00000000000000000002"),
        "the sequence is the version of the commit that sends the message"
    );
    assert_eq!(sent.causationid, Some("2".into()));
    assert_eq!(sent.correlationid.as_deref(), Some("conversation"));
    assert_eq!(sent.traceparent.as_deref(), Some("00-1-2-01"));
    assert_eq!(sent.replyto.as_deref(), Some("bank"));
    assert!(!sent.redispatch && sent.data.is_none());
    let message = world.memory.queues.get("notes").messages().swap_remove(0);
    assert_eq!(message.group.as_deref(), Some(account().as_str()));
}

#[test]
fn correlation_id_defaults_to_the_id_of_the_first_message() {
    let world = World::new();
    world.outcome(&world.claimed("first", &[Act::Note(1)]));
    assert_eq!(world.sent("notes")[0].correlationid.as_deref(), Some("first"));
}

#[test]
fn reply_is_sent_to_the_reply_queue_of_its_message() {
    let world = World::new();
    let mut question =
        cloakroom::format::Envelope::decode(&world.claimed("m", &[Act::Answer]).body).expect("an envelope");
    question.replyto = Some("askers".to_owned());
    world.outcome(&world.delivery(&question));
    assert_eq!(world.sent("askers").len(), 1);
    assert_eq!(world.sent("notes").len(), 0);
}

#[test]
fn a_delay_is_rounded_up_to_seconds() {
    let world = World::new();
    world.outcome(&world.claimed("m", &[Act::Later(1, 0), Act::Later(2, 1), Act::Later(3, 900_000)]));
    let mut delays: Vec<u32> = world.memory.queues.get("notes").messages().iter().map(|m| m.delay_s).collect();
    delays.sort_unstable();
    assert_eq!(delays, [0, 1, 900]);
}

#[test]
fn items_of_the_partition_are_put_checked_and_deleted_with_the_commit() {
    let world = World::new();
    let named = |key: &str| key.to_owned();
    world.outcome(&world.claimed("1", &[Act::PutNew(named("a")), Act::Put(named("b"))]));
    assert_eq!(world.items(), ["a", "b"]);
    world.outcome(&world.claimed("2", &[Act::Remove(named("a")), Act::Demand(named("b")), Act::PutNew(named("c"))]));
    assert_eq!(world.items(), ["b", "c"]);
}

#[test]
fn deleted_state_keeps_its_version() {
    for check_in in TIMINGS {
        let world = with(check_in);
        world.outcome(&world.claimed("1", &[Act::Add(5)]));
        let close = world.claimed("2", &[Act::Close, Act::Note(1)]);
        world.outcome(&close);
        assert_eq!(world.account(), (2, None));
        assert_eq!(world.sent("notes").len(), 1);
        world.outcome(&world.claimed("3", &[Act::Add(1)]));
        assert_eq!(
            (world.total(), world.account().0),
            (1, 3),
            "a deleted state starts from its default, but the version continues"
        );
        assert_eq!(world.outcome(&close), Outcome::Duplicate);
    }
}

#[test]
fn message_with_a_missing_payload_at_its_first_receive_is_acknowledged_and_counted() {
    let world = World::new();
    let delivery = missing(&world, false);
    assert_eq!(world.outcome(&delivery), Outcome::Duplicate);
    assert_eq!(world.counts().payload_missing, 1);
    assert_eq!(world.account(), (0, None));
}

fn missing(world: &World, redispatch: bool) -> cloakroom::Delivery {
    let mut envelope = envelope("m", "account.play");
    envelope.dataref = Some(Claim::new("removed"));
    envelope.redispatch = redispatch;
    world.delivery(&envelope)
}

#[test]
fn payload_missing_at_a_later_receive_raises_no_alarm() {
    let world = World::with(EndpointSettings { when_missing: WhenMissing::Park, ..EndpointSettings::default() });
    assert_eq!(world.outcome(&missing(&world, true)), Outcome::Duplicate);
    let again = cloakroom::Delivery { receive_count: 2, ..missing(&world, false) };
    assert_eq!(world.outcome(&again), Outcome::Duplicate);
    assert_eq!(world.counts().payload_missing, 0);
}

#[test]
fn message_with_a_missing_payload_is_parked_if_so_configured() {
    let world = World::with(EndpointSettings { when_missing: WhenMissing::Park, ..EndpointSettings::default() });
    let reason = world.parked(&missing(&world, false));
    assert!(reason.contains("its payload is missing"), "{reason}");
    assert_eq!(world.counts().payload_missing, 1);
}

#[test]
fn two_endpoints_process_the_same_message_independently() {
    let world = World::new();
    let other = cloakroom::Endpoint::builder::<Account>("audit").on(fixture::play).build(world.memory.ports());
    let other = other.expect("an endpoint");
    let delivery = world.plain("m", &[Act::Add(1)]);
    let outcomes =
        world.memory.run(async { [world.endpoint.process(&delivery).await, other.process(&delivery).await] });
    assert_eq!(outcomes.map(Result::ok), [Some(Outcome::Processed); 2]);
}

#[test]
fn a_payload_whose_check_in_is_unknown_is_checked_in_under_a_fresh_claim() {
    for check_in in TIMINGS {
        let world = with(check_in);
        let delivery = world.claimed("m", &[Act::Add(1), Act::Note(1)]);
        let mut left = 1;
        world.stage.plan(move |_, operation| {
            (operation == Operation::CheckIn && std::mem::take(&mut left) == 1).then_some(Fault::Unanswered)
        });
        world.outcome(&delivery);
        let claims = world.memory.payloads.claims();
        let sent = world.sent("notes").swap_remove(0).dataref.expect("a claim");
        assert_eq!(claims.len(), 2, "the payload with the unknown outcome remains");
        assert!(claims.contains(&sent));
    }
}

#[test]
fn the_claims_of_a_lost_commit_are_left_to_expire() {
    let world = World::impatient(EndpointSettings::default());
    let (first, second) =
        (world.claimed("1", &[Act::Add(1), Act::Note(1)]), world.claimed("2", &[Act::Add(1), Act::Note(2)]));
    let workers = vec![world.endpoint.process(&first), world.endpoint.process(&second)];
    let outcomes = world.memory.run(futures::future::join_all(workers));
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!((world.counts().conflict, world.total()), (1, 2));
    let sent: Vec<_> = world.sent("notes").into_iter().filter_map(|note| note.dataref).collect();
    let claims = world.memory.payloads.claims();
    assert_eq!((sent.len(), claims.len()), (2, 3), "the payload of the lost commit remains");
    assert!(sent.iter().all(|claim| claims.contains(claim)));
}

#[test]
fn engine_pauses_between_passes_and_not_before_the_first() {
    let elapsed = |fault: Option<Fault>| {
        let world = World::new();
        let delivery = world.claimed("m", &[Act::Add(1)]);
        let began = world.memory.clock.now();
        world.stage.plan(move |call, _| fault.filter(|_| call == 2));
        world.outcome(&delivery);
        assert_eq!(world.counts().unknown_commit, u64::from(fault.is_some()), "call 2 must be the commit");
        world.memory.clock.now().since(began)
    };
    assert_eq!(elapsed(None), Duration::ZERO);
    assert!(elapsed(Some(Fault::Vanished)) > Duration::ZERO);
}

#[test]
fn the_claims_of_an_unknown_commit_are_kept() {
    let world = World::new();
    let delivery = world.claimed("m", &[Act::Add(1), Act::Note(1)]);
    let mut left = 1;
    world.stage.plan(move |_, operation| {
        (operation == Operation::Commit && std::mem::take(&mut left) == 1).then_some(Fault::Vanished)
    });
    world.outcome(&delivery);
    assert_eq!(world.counts().unknown_commit, 1);
    assert_eq!(world.memory.payloads.claims().len(), 2);
    assert_eq!(world.total(), 1);
}

#[test]
fn message_that_is_sent_again_is_marked_as_redispatched() {
    let world = World::new();
    let mut left = 1;
    let delivery = world.claimed("m", &[Act::Note(1), Act::Note(2)]);
    world.stage.plan(move |_, operation| {
        (operation == Operation::Send && std::mem::take(&mut left) == 1).then_some(Fault::Unanswered)
    });
    world.outcome(&delivery);
    let marks = |number: u32| -> Vec<bool> {
        let notes = world.sent("notes").into_iter();
        notes.filter(|note| note.partition.as_str() == format!("note#{number}")).map(|note| note.redispatch).collect()
    };
    assert_eq!((marks(1), marks(2)), (vec![false, true], vec![false]), "only the failed message is sent again");
}

#[test]
fn resumed_message_marks_its_outgoing_messages_as_redispatched() {
    let world = World::new();
    let delivery = world.claimed("m", &[Act::Note(1)]);
    world.stage.plan(|_, operation| (operation == Operation::DeletePayload).then_some(Fault::Refused));
    world.process(&delivery).expect_err("the message is not settled");
    world.fail(&[]);
    assert_eq!(world.outcome(&delivery), Outcome::Resumed);
    let marks: Vec<bool> = world.sent("notes").iter().map(|note| note.redispatch).collect();
    assert_eq!(marks, [false, true]);
}

#[test]
fn unavailable_service_returns_the_message_to_its_queue() {
    let settings = EndpointSettings { calls_max: 3, passes_max: 2, ..EndpointSettings::default() };
    for (call, tries) in [
        (Operation::ReadState, 3),
        (Operation::ReadPayload, 3),
        (Operation::Commit, 2),
        (Operation::Send, 3),
        (Operation::DeletePayload, 3),
        (Operation::Clear, 3),
    ] {
        let world = World::with(settings.clone());
        let delivery = world.claimed("m", &ONCE);
        world.stage.plan(move |_, operation| (operation == call).then_some(Fault::Vanished));
        let error = world.process(&delivery).expect_err("the service does not respond");
        assert_eq!(error.kind(), ErrorKind::AwaitService, "{error}");
        assert_eq!(world.stage.calls().iter().filter(|made| **made == call).count(), tries, "tries of {call:?}");
        let late = cloakroom::Delivery { receive_count: 99, ..delivery.clone() };
        world.process(&late).expect_err("a message is not parked because of a service failure");
        world.fail(&[]);
        world.outcome(&delivery);
        world.must_be_processed_once(&delivery);
    }
}

#[test]
fn repeatedly_refused_commit_is_not_an_unknown_commit() {
    let world = World::with(EndpointSettings { calls_max: 3, ..EndpointSettings::default() });
    let delivery = world.claimed("m", &ONCE);
    world.stage.plan(|_, operation| (operation == Operation::Commit).then_some(Fault::Refused));
    let error = world.process(&delivery).expect_err("the commit is refused");
    assert_eq!(error.kind(), ErrorKind::AwaitService, "{error}");
    let tries = world.stage.calls().into_iter().filter(|made| *made == Operation::Commit).count();
    assert_eq!((tries, world.counts().unknown_commit), (3, 0));
}

#[test]
fn endpoint_with_an_invalid_configuration_is_not_built() {
    let text = |built: Result<cloakroom::Endpoint, Error>| {
        let error = built.expect_err("an invalid endpoint");
        assert_eq!(error.kind(), ErrorKind::FixConfiguration);
        error.to_string()
    };
    let ports = || Memory::new().ports();
    let named = |name: &str| cloakroom::Endpoint::builder::<Account>(name).on(fixture::play).build(ports());
    for name in ["", "a#b", "a/b", &"x".repeat(65)] {
        assert!(text(named(name)).contains("endpoint name"));
    }
    named(&"x".repeat(64)).expect("64 bytes are allowed");
    let twice = text(builder().on(fixture::play).build(ports()));
    assert!(twice.contains("two handlers for `account.play`"), "{twice}");
    let none = text(cloakroom::Endpoint::builder::<Account>("bank").build(ports()));
    assert!(none.contains("no handler"), "{none}");
    let routed = text(builder().route::<Note>("notes").build(ports()));
    assert!(routed.contains("`note` is routed twice to queue `notes`"), "{routed}");
    let _ = builder().route::<Alert>("sirens").build(ports()).expect("a third subscriber is allowed");
}

#[test]
fn envelope_of_another_producer_is_processed_once() {
    // A message in the form that another system sends.
    let world = World::new();
    let body = r#"{"specversion":"1.0","id":"f","source":"/shop","type":"account.play","partitionkey":"account#a",
        "data":{"acts":[{"Add":3}]},"shop":{"till":4}}"#;
    let delivery = cloakroom::Delivery { body: body.to_owned(), receive_count: 1, ..Default::default() };
    assert!(Envelope::decode(body).is_ok_and(|envelope| envelope.extensions.contains_key("shop")));
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
    assert_eq!(world.outcome(&delivery), Outcome::Duplicate);
    assert_eq!(world.total(), 3);
}
