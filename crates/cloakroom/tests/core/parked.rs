//! Messages that cannot be processed are parked with a reason that names the cause. Nothing else
//! changes.

use crate::capture;
use crate::fixture;

use std::collections::BTreeMap;

use capture::Capture;
use cloakroom::{
    Delivery, EndpointSettings, ErrorKind, Outcome,
    engine::{Recovered, intake, parking},
    format::{AttributeValue, Item},
    ports::Limits,
    protocol::CheckIn,
    recovery::Recovery,
};
use cloakroom_sim::wire::Operation;
use fixture::{Account, Act, STATE, World, account, envelope, stage::Fault};

/// Settings that park a message at its third receive.
fn three_attempts() -> EndpointSettings {
    EndpointSettings { attempts_max: 3, passes_max: 2, ..EndpointSettings::default() }
}

/// Asserts that a message with these acts is parked for this reason, and that it changes nothing.
/// It is the second message of its partition.
#[track_caller]
fn assert_parked(settings: EndpointSettings, acts: &[Act], reason: &[&str]) {
    let world = World::with(settings);
    world.outcome(&world.claimed("before", &[Act::Add(7)]));
    let delivery = world.claimed("m", acts);
    let payloads = world.memory.payloads.claims();
    assert_contains(&world.parked(&delivery), reason);
    assert_eq!(world.account(), (1, Some(Account { total: 7, blob: String::new() })), "the state is unchanged");
    assert_eq!(world.items(), Vec::<String>::new(), "no item was written");
    assert_eq!(world.sent("notes"), [], "nothing was sent");
    assert!(payloads.iter().all(|claim| world.payload(claim).is_some()), "its payload is kept");
    assert_eq!(world.counts().parked, 1);
}

#[track_caller]
fn assert_contains(reason: &str, parts: &[&str]) {
    for part in parts {
        assert!(reason.contains(part), "`{reason}` does not contain `{part}`");
    }
}

#[test]
fn rejected_message_is_parked_at_once_and_can_be_redriven() {
    for check_in in [CheckIn::BeforeCommit, CheckIn::AfterCommit] {
        let settings = EndpointSettings { check_in, ..EndpointSettings::default() };
        assert_parked(settings, &[Act::Add(1), Act::Note(1), Act::Reject], &["the account says no"]);
    }
    let world = World::new();
    let delivery = world.claimed("m", &[Act::Reject]);
    world.parked(&delivery);
    world.parked(&delivery);
    assert_eq!(world.counts().handled, 2, "it was not settled, so the handler runs again after a redrive");
}

#[test]
fn message_whose_handler_fails_is_retried_and_parked_after_its_attempts() {
    for (act, reason) in [(Act::Retry, "not now"), (Act::Panic, "panicked: the handler fell over")] {
        let world = World::with(three_attempts());
        let delivery = world.claimed("m", &[Act::Add(1), act]);
        for receive_count in 1..3 {
            let delivery = Delivery { receive_count, ..delivery.clone() };
            let error = world.process(&delivery).expect_err("a failing handler");
            assert_eq!(error.kind(), ErrorKind::RetryMessage);
            assert_contains(&error.to_string(), &[reason]);
            assert_eq!(
                world.outcome(&world.claimed("other", &[])),
                Outcome::Processed,
                "another message of the partition is processed"
            );
        }
        let last = Delivery { receive_count: 3, ..delivery };
        assert_contains(&world.parked(&last), &["given up after 3 attempts", reason]);
        assert_eq!(world.total(), 0);
        assert_eq!(world.counts().given_back, 2);
    }
}

#[test]
fn message_whose_item_condition_never_holds_is_parked() {
    let world = World::with(three_attempts());
    let delivery = world.claimed("m", &[Act::Add(1), Act::Note(1), Act::Demand("permit".to_owned())]);
    for _ in 0..2 {
        let error = world.process(&delivery).expect_err("the item does not exist");
        assert_eq!(error.kind(), ErrorKind::RetryMessage);
    }
    let last = Delivery { receive_count: 3, ..delivery.clone() };
    assert_contains(&world.parked(&last), &["`permit`", "`account#a`", "not as the handler demands"]);
    assert_eq!(world.account(), (0, None));
    world.outcome(&world.claimed("other", &[Act::Put("permit".to_owned())]));
    assert_eq!(world.outcome(&delivery), Outcome::Processed, "after a redrive the item exists");
}

#[test]
fn invalid_envelope_is_parked() {
    let good = |change: &str| {
        let text = r#"{"specversion":"1.0","id":"m","source":"s","type":"account.play","partitionkey":"p","data":{}}"#;
        let (from, to) = change.split_once(" => ").expect("a change");
        assert!(text.contains(from));
        text.replace(from, to)
    };
    for (body, reason) in [
        ("no JSON".to_owned(), "not an envelope"),
        (String::new(), "not an envelope"),
        (good(r#""id":"m", => "#), "missing field `id`"),
        (good(r#""id":"m" => "id":"""#), "must not be empty"),
        (good(r#""partitionkey":"p" => "partitionkey":"""#), "must not be empty"),
        (good(r#""id":"m" => "id":{}"#), "invalid type"),
        (good(r#""id" => "cloakroomformat":1,"dataref":"","id""#), "`dataref` is ``, which is not a valid claim"),
        (good(r#""id" => "cloakroomformat":1,"dataref":"0123abcd/bank/m","id""#), "which is not a valid claim"),
        (good(r#""id" => "dataref":"elsewhere","id""#), "`dataref` of a foreign producer"),
        (good("1.0 => 2.0"), "CloudEvents version `2.0` is not supported"),
        (good(r#""id" => "cloakroomformat":2,"id""#), "envelope format 2 is not supported"),
        (good("account.play => account.explode"), "`bank` has no handler for `account.explode`"),
        (good(r#""data":{} => "data":{"acts":7}"#), "the payload is no `account.play`"),
        (good(r#""data":{} => "other":{}"#), "the payload is no `account.play`"),
    ] {
        let world = World::new();
        let delivery = Delivery { body, receive_count: 1, ..Delivery::default() };
        assert_contains(&world.parked(&delivery), &[reason]);
        assert_eq!(world.account(), (0, None));
    }
}

#[test]
fn attributes_and_group_of_a_parked_message_are_kept() {
    let world = World::new();
    let attributes = [("color".to_owned(), "red".to_owned())];
    let delivery =
        Delivery { attributes: attributes.into(), group: Some("g".to_owned()), ..world.claimed("m", &[Act::Reject]) };
    world.parked(&delivery);
    let parked = world.memory.queues.get("bank-dead").messages().swap_remove(0);
    assert_eq!(parked.attributes.get("color").map(String::as_str), Some("red"));
    assert_eq!(parked.group.as_deref(), Some("g"));
    assert!(parked.deduplication.is_some(), "a FIFO queue requires one");
}

#[test]
fn a_state_that_cannot_be_read_parks_its_messages() {
    let world = World::new();
    let text = || AttributeValue::S("seven".to_owned());
    let version = AttributeValue::N("3".to_owned());
    let item = [("total".to_owned(), text()), ("cloakroom_version".to_owned(), version)];
    let item = Item::from(std::collections::HashMap::from(item));
    world.memory.store.put_item(&account(), STATE, item.clone());
    assert_contains(
        &world.parked(&world.claimed("m", &[Act::Add(1)])),
        &["state of partition `account#a` cannot be read"],
    );
    assert_eq!(world.memory.store.partition(&account()).get(STATE), Some(&item));
}

#[test]
fn a_state_that_is_too_large_is_named() {
    let blob = [Act::Note(1), Act::Blob(400 * 1024)];
    assert_parked(EndpointSettings::default(), &blob, &["item `state#bank`", "`account#a`", "at most 409600"]);
}

#[test]
fn too_many_items_are_named() {
    let many = [Act::Items(99)];
    assert_parked(EndpointSettings::default(), &many, &["partition `account#a`", "101 items", "at most 100"]);
    let world = World::new();
    assert_eq!(world.outcome(&world.claimed("m", &[Act::Items(98)])), Outcome::Processed);
}

#[test]
fn a_sort_key_that_is_too_long_is_named() {
    let long = [Act::Put("k".repeat(1025))];
    assert_parked(EndpointSettings::default(), &long, &["sort key `kkk", "1025 bytes", "at most 1024"]);
}

#[test]
fn a_message_whose_record_key_is_too_long_is_parked_before_anything_is_read() {
    let world = World::limited(Limits { sort_key_bytes_max: 40, ..Limits::default() });
    let reason = world.parked(&world.claimed(&"i".repeat(40), &[]));
    assert_contains(&reason, &["`outbox#bank#claim-of-iii", "bytes", "at most 40"]);
    assert_eq!(world.stage.calls(), [Operation::OpenQueue, Operation::Send]);
}

#[test]
fn id_of_a_message_with_a_claim_can_have_any_length() {
    let world = World::new();
    let mut envelope = envelope(&"i".repeat(1020), "account.play");
    envelope.dataref = Some("a-claim.memory".into());
    world.check_in(&"a-claim.memory".into(), &fixture::Play { acts: vec![Act::Add(1)] });
    assert_eq!(world.outcome(&world.delivery(&envelope)), Outcome::Processed);
}

#[test]
fn id_of_a_foreign_producer_can_be_any_text() {
    for id in ["i".repeat(100_000), "../../etc".to_owned(), "a\u{0}b".to_owned()] {
        let world = World::new();
        assert_eq!(world.outcome(&world.plain(&id, &[Act::Add(1)])), Outcome::Processed);
        assert_eq!(world.outcome(&world.plain(&id, &[Act::Add(1)])), Outcome::Duplicate);
    }
}

#[test]
fn a_partition_whose_key_is_too_long_is_parked_before_anything_is_read() {
    let world = World::new();
    let mut envelope = envelope("m", "account.play");
    envelope.partition = "p".repeat(2049).into();
    envelope.data = Some(serde_json::json!({ "acts": [] }));
    assert_contains(&world.parked(&world.delivery(&envelope)), &["partition key `ppp", "2049 bytes", "at most 2048"]);
}

#[test]
fn body_too_large_for_the_record_is_reported_and_is_sent_with_check_in_before_commit() {
    let large = [Act::LargeNote(500 * 1024)];
    let after = EndpointSettings { check_in: CheckIn::AfterCommit, ..EndpointSettings::default() };
    assert_parked(after, &large, &["item `outbox#bank#claim-of-m.memory`", "at most 409600"]);
    let world = World::new();
    assert_eq!(world.outcome(&world.claimed("m", &large)), Outcome::Processed);
}

#[test]
fn an_envelope_too_large_for_its_queue_is_named() {
    let limits = Limits { message_bytes_max: 300, ..Limits::default() };
    let world = World::limited(limits);
    let reason = world.outcome(&world.claimed("m", &[Act::Note(1)]));
    assert_eq!(reason, Outcome::Parked);
    assert_eq!(world.account(), (0, None));
}

#[test]
fn a_message_that_leaves_no_room_for_a_reason_is_parked_without_one() {
    let largest = |acts: &[Act]| {
        let mut envelope = envelope("m", "account.play");
        envelope.data = Some(serde_json::json!({ "acts": acts }));
        envelope.extensions.insert("padding".to_owned(), "".into());
        let padding = 1024 * 1024 - envelope.encode().len();
        envelope.extensions.insert("padding".to_owned(), "x".repeat(padding).into());
        envelope
    };
    let world = World::new();
    assert_eq!(world.outcome(&world.delivery(&largest(&[Act::Add(1)]))), Outcome::Processed);
    let rejected = World::new();
    let delivery = rejected.delivery(&largest(&[Act::Reject]));
    assert_eq!(delivery.body.len(), Limits::default().message_bytes_max);
    assert_eq!(rejected.outcome(&delivery), Outcome::Parked);
    let parked = rejected.memory.queues.get("bank-dead").messages().swap_remove(0);
    assert_eq!((parked.body, parked.attributes.len()), (delivery.body, 0));
}

/// Returns this many attributes, as a sender may set them.
fn attributes(count: usize) -> BTreeMap<String, String> {
    (0..count).map(|number| (format!("of-the-sender-{number}"), format!("\0Number\0{number}"))).collect()
}

#[test]
fn dead_letter_has_reason_and_endpoint_for_any_number_of_attributes() {
    for count in 0..=10 {
        let world = World::new();
        let delivery = Delivery { attributes: attributes(count), ..world.claimed("m", &[Act::Reject]) };
        // `World::parked` asserts that reason and endpoint are there.
        assert_contains(&world.parked(&delivery), &["the account says no"]);
        let parked = world.memory.queues.get("bank-dead").messages().swap_remove(0);
        assert!(parked.attributes.len() <= 10, "SQS accepts ten: {:?}", parked.attributes);
        let untouched = parked.attributes.iter().filter(|(name, text)| delivery.attributes.get(*name) == Some(text));
        assert!(untouched.count() >= count.min(7), "{:?}", parked.attributes);
        let dead = Delivery { body: parked.body, attributes: parked.attributes, ..delivery.clone() };
        assert_eq!(
            parking::put_back(&dead).attributes,
            delivery.attributes,
            "a redrive restores all {count} attributes"
        );
        // A dead letter that is parked again keeps reason and attributes.
        assert_contains(&world.parked(&dead), &["the account says no"]);
    }
}

#[test]
fn redriven_plain_message_fits_its_queue_with_any_number_of_attributes() {
    for count in 9..=10 {
        let world = World::new();
        let dead = Delivery {
            id: "q-1".to_owned(),
            body: "{}".to_owned(),
            attributes: attributes(count),
            ..Delivery::default()
        };
        let recovery = Recovery::new("bank", world.memory.ports()).expect("a valid name");
        world.memory.run(recovery.put_back(&dead, "bank")).expect("memory does not fail");
        let message = world.memory.queues.get("bank").messages().swap_remove(0);
        Limits::default().check_message("it", &message).expect("it is within the limits of SQS");
        assert_eq!(message.attributes[intake::ID], "q-1", "it keeps its identity");
        let again = Delivery { body: message.body, attributes: message.attributes, ..Delivery::default() };
        let mut attributes = parking::put_back(&again).attributes;
        // A second redrive unpacks the attributes before it packs them again.
        if count < 10 {
            attributes.remove(intake::ID);
            assert_eq!(attributes, dead.attributes);
        }
    }
}

#[test]
fn foreign_attribute_with_the_name_of_the_packed_attributes_is_kept() {
    let world = World::new();
    let own = BTreeMap::from([(parking::ATTRIBUTES.to_owned(), "no JSON".to_owned())]);
    let delivery = Delivery { attributes: own.clone(), ..world.claimed("m", &[Act::Reject]) };
    world.parked(&delivery);
    let parked = world.memory.queues.get("bank-dead").messages().swap_remove(0);
    let dead = Delivery { body: parked.body, attributes: parked.attributes, ..Delivery::default() };
    assert_eq!(parking::put_back(&dead).attributes, own);
}

#[test]
fn log_contains_what_does_not_fit_into_a_dead_letter() {
    for (size, expected) in [
        (1024 * 1024, "no room for the reason and the name of the endpoint"),
        (1024 * 1024 - 50, "no room for the reason"),
        (500 * 1024, "its attribute `cloakroom-reason` says why"),
    ] {
        let world = World::new();
        let mut envelope = envelope("m", "account.play");
        envelope.data = Some(serde_json::json!({ "acts": [Act::Reject] }));
        envelope.extensions.insert("padding".to_owned(), "".into());
        let padding = size - envelope.encode().len();
        envelope.extensions.insert("padding".to_owned(), "x".repeat(padding).into());
        let delivery = world.delivery(&envelope);
        let capture = Capture::of(|| assert_eq!(world.outcome(&delivery), Outcome::Parked));
        let parked = world.memory.queues.get("bank-dead").messages().swap_remove(0);
        let events: Vec<_> = capture.events().into_iter().filter(|event| event.contains("message parked")).collect();
        assert!(
            matches!(&events[..], [event] if event.ends_with(expected) || event.contains(&format!("{expected} "))),
            "{events:?}"
        );
        assert_eq!(parked.attributes.contains_key(parking::REASON), expected.contains("says why"));
        assert_eq!(parked.attributes.contains_key(parking::ENDPOINT), !expected.contains("endpoint"));
    }
}

#[test]
fn forbidden_calls_of_a_handler_are_reported() {
    for (act, reason) in [
        (Act::Answer, "names no queue for replies"),
        (Act::Later(1, 900_001), "at most 900 s"),
        (Act::Put("state#x".to_owned()), "cannot have the sort key `state#x`"),
        (Act::Put("outbox#x".to_owned()), "cannot have the sort key `outbox#x`"),
        (Act::Put(String::new()), "it is empty"),
    ] {
        assert_parked(EndpointSettings::default(), &[Act::Add(1), act], &[reason]);
    }
    let twice = [Act::Put("a".to_owned()), Act::Remove("a".to_owned())];
    assert_parked(EndpointSettings::default(), &twice, &["item `a` is written twice"]);
    let world = World::new();
    let error = world.process(&world.claimed("m", &[Act::Unrouted])).expect_err("no route");
    assert_contains(&error.to_string(), &["`unrouted`", "no route"]);
}

#[test]
fn a_message_that_was_committed_is_finished_from_the_dead_letter_queue() {
    for check_in in [CheckIn::BeforeCommit, CheckIn::AfterCommit] {
        let world = World::with(EndpointSettings { check_in, ..EndpointSettings::default() });
        let delivery = world.claimed("m", &fixture::ONCE);
        world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
        world.process(&delivery).expect_err("the message is committed, and every send fails");
        world.fail(&[]);
        let finish = || world.memory.run(world.endpoint.finish(&delivery)).expect("nothing fails");
        assert_eq!(finish(), Recovered::Finished(Outcome::Resumed));
        world.must_be_processed_once(&delivery);
        assert_eq!(finish(), Recovered::NotCommitted, "the record is cleared");
    }
}

#[test]
fn a_message_that_was_not_committed_is_left_in_the_dead_letter_queue() {
    let world = World::new();
    let delivery = world.claimed("m", &fixture::ONCE);
    let nonsense = Delivery { body: "nonsense".to_owned(), ..delivery.clone() };
    for delivery in [&delivery, &nonsense] {
        assert_eq!(world.memory.run(world.endpoint.finish(delivery)).expect("nothing fails"), Recovered::NotCommitted);
    }
    assert_eq!((world.total(), world.counts().handled), (0, 0));
    assert_eq!(world.outcome(&delivery), Outcome::Processed, "after a redrive it is processed");
}
