//! Messages with equal ids, keys or types stay different messages if their identities differ.

use crate::fixture;

use std::time::Duration;

use bytes::Bytes;
use cloakroom::{
    Dedupe, Delivery, EndpointSettings, Message, Outcome, Partition, Producer,
    engine::Recovered,
    format::{Claim, Envelope, schema::attribute},
    memory::{Memory, MemoryPayloads},
    ports::{Clock as _, PayloadStore as _, Placement, QueueMessage, RoutedPayloads},
};
use fixture::{Act, ONCE, Play, World, account, stage::Fault};
use futures::FutureExt as _;

use cloakroom_sim::wire::Operation;

fn embedded() -> EndpointSettings {
    EndpointSettings { placement: Placement::Embedded, ..EndpointSettings::default() }
}

const PLACEMENTS: [Placement; 2] = [Placement::Separate, Placement::Embedded];

/// Returns a message that has this id and another claim.
fn message_with_same_id(world: &World, id: &str, acts: &[Act]) -> Delivery {
    let claim = Claim::new("another.memory");
    world.check_in(&claim, &Play { acts: acts.to_vec() });
    let mut envelope = fixture::envelope(id, Play::TYPE);
    envelope.dataref = Some(claim);
    world.delivery(&envelope)
}

/// Lets a worker commit a message and fail at the dispatch.
fn commit_without_dispatch(world: &World, delivery: &Delivery) {
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    world.process(delivery).expect_err("every send fails");
    world.fail(&[]);
}

#[test]
fn message_is_not_mistaken_for_an_unfinished_one_with_the_same_id() {
    for placement in PLACEMENTS {
        let world = World::with(EndpointSettings { placement, ..EndpointSettings::default() });
        let first = world.claimed("1", &ONCE);
        commit_without_dispatch(&world, &first);
        let second = message_with_same_id(&world, "1", &[Act::Add(10)]);
        assert_eq!(world.outcome(&second), Outcome::Processed, "{placement:?}");
        assert_eq!((world.total(), world.sent("notes").len()), (11, 0));
        assert_eq!(world.outcome(&first), Outcome::Resumed);
        assert_eq!(world.outcome(&first), Outcome::Duplicate);
        assert_eq!((world.total(), world.sent("notes").len()), (11, 2));
    }
}

#[test]
fn recovery_does_not_finish_a_message_by_the_record_of_another_with_the_same_id() {
    for placement in PLACEMENTS {
        let world = World::with(EndpointSettings { placement, ..EndpointSettings::default() });
        commit_without_dispatch(&world, &world.claimed("1", &ONCE));
        let second = message_with_same_id(&world, "1", &[Act::Add(10)]);
        let finished = world.memory.run(world.endpoint.finish(&second)).expect("looked up");
        assert_eq!(finished, Recovered::NotCommitted, "{placement:?}");
        assert_eq!(world.outcome(&second), Outcome::Processed);
        assert_eq!(world.total(), 11);
    }
}

#[test]
fn messages_with_one_id_are_not_deduplicated_on_a_fifo_queue() {
    let world = World::new();
    let endpoint = fixture::builder().route::<fixture::Note>("notes.fifo").build(world.memory.ports());
    let endpoint = endpoint.expect("a valid endpoint");
    for delivery in [world.claimed("1", &[Act::Note(1)]), message_with_same_id(&world, "1", &[Act::Note(1)])] {
        world.memory.run(endpoint.process(&delivery)).expect("processed");
    }
    let notes = world.sent("notes.fifo");
    assert_eq!(notes.len(), 2);
    assert_ne!(notes[0].id, notes[1].id, "the ids of outgoing messages derive from the identity, not from the id");
    let messages = world.memory.queues.get("notes.fifo").messages();
    assert_ne!(messages[0].deduplication, messages[1].deduplication);
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Place {}

impl Message for Place {
    const TYPE: &'static str = "order.place";
    fn partition(&self) -> Partition {
        "order#1".into()
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Cancel {}

impl Message for Cancel {
    const TYPE: &'static str = "order.cancel";
    fn partition(&self) -> Partition {
        "order#1".into()
    }
}

#[test]
fn key_of_a_producer_identifies_one_message_of_each_type() {
    for queue in ["orders", "orders.fifo"] {
        let memory = Memory::with_queues([queue]);
        let producer = Producer::new(memory.ports(), "website").expect("a producer");
        memory.run(async {
            producer.submit(queue, "o-1", &Place {}).await.expect("sent");
            producer.submit(queue, "o-1", &Cancel {}).await.expect("sent");
            producer.submit(queue, "o-1", &Place {}).await.expect("sent");
        });
        let sent = memory.queues.get(queue).messages();
        let identity = |message: &QueueMessage| Envelope::decode(&message.body).expect("an envelope").identity();
        for identifiers in [sent.iter().map(|one| identity(one).to_string()).collect::<Vec<_>>(), {
            sent.iter().map(|one| one.deduplication.clone().expect("an id")).collect()
        }] {
            assert_ne!(
                identifiers[0], identifiers[1],
                "messages of two types with one key are different: {identifiers:?}"
            );
            assert_eq!(identifiers[0], identifiers[2], "messages of one type with one key are the same message");
        }
    }
}

#[test]
fn plain_messages_with_one_id_and_two_types_are_two_messages() {
    let world = World::new();
    let plain = |kind: &str, body: &str| {
        let attributes = [("cloakroom-type", kind), ("cloakroom-id", "1")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Delivery { body: body.to_owned(), attributes, receive_count: 1, ..Delivery::default() }
    };
    assert_eq!(world.outcome(&plain("account.play", r#"{"acts":[{"Add":5}]}"#)), Outcome::Processed);
    assert_eq!(world.outcome(&plain("account.double", "{}")), Outcome::Processed);
    assert_eq!(world.outcome(&plain("account.double", "{}")), Outcome::Duplicate);
    assert_eq!(world.total(), 10);
}

#[test]
fn claim_without_a_store_name_is_searched_in_all_stores() {
    let store = |name: &str| std::sync::Arc::new(MemoryPayloads::named(name));
    let (bucket, old) = (store("bucket"), store("old-bucket"));
    let routed = RoutedPayloads::new(bucket.clone()).also(old.clone()).expect("another name");
    let claim = Claim::new("00000000000000000000000000000007");
    let now = |future: futures::future::BoxFuture<'_, Result<Option<Bytes>, cloakroom::PortError>>| {
        future.now_or_never().expect("memory does not wait").expect("memory")
    };
    for holder in [&old, &bucket] {
        holder.check_in(&claim, Bytes::from_static(b"7")).now_or_never().expect("at once").expect("memory");
        assert_eq!(now(routed.read(&claim)), Some(Bytes::from_static(b"7")));
        routed.delete(&claim).now_or_never().expect("at once").expect("memory");
        assert_eq!((now(holder.read(&claim)), now(routed.read(&claim))), (None, None));
    }
}

/// Advances the clock by 51 days, and expires the dedupe entries that were written before.
fn pass_the_dedupe_window(world: &World) {
    world.memory.run(world.memory.clock.sleep(Duration::from_secs(51 * 24 * 60 * 60)));
    world.memory.payloads.expire_entries();
}

#[test]
fn id_that_is_reused_after_its_dedupe_window_is_handled() {
    for placement in PLACEMENTS {
        let world = World::with(EndpointSettings { placement, ..EndpointSettings::default() });
        let daily = world.plain("daily", &[Act::Add(1), Act::Note(1)]);
        assert_eq!(world.outcome(&daily), Outcome::Processed);
        assert_eq!(world.outcome(&daily), Outcome::Duplicate);
        pass_the_dedupe_window(&world);
        assert_eq!(world.outcome(&daily), Outcome::Processed, "{placement:?}");
        assert_eq!(world.outcome(&daily), Outcome::Duplicate);
        assert_eq!((world.total(), world.sent("notes").len()), (2, 2));
    }
}

#[test]
fn record_of_a_reused_id_is_not_dropped() {
    let world = World::with(embedded());
    let daily = world.plain("daily", &[Act::Add(1), Act::Note(1)]);
    world.outcome(&daily);
    pass_the_dedupe_window(&world);
    commit_without_dispatch(&world, &daily);
    assert_eq!(world.total(), 2);
    world.outcome(&world.claimed("2", &[Act::Add(10)]));
    assert_eq!(world.outcome(&daily), Outcome::Resumed, "the other commit kept its record");
    assert_eq!((world.total(), world.sent("notes").len()), (12, 2));
}

#[test]
fn an_embedding_worker_finds_a_record_without_its_state() {
    let world = World::new();
    let unfinished = world.claimed("1", &ONCE);
    commit_without_dispatch(&world, &unfinished);
    world.memory.store.remove_item(&account(), fixture::STATE);
    let embedding = world.another(embedded());
    assert_eq!(world.memory.run(embedding.process(&unfinished)).ok(), Some(Outcome::Resumed));
    assert_eq!((world.items(), world.sent("notes").len()), (Vec::new(), 2));
}

#[test]
fn an_embedding_worker_finds_a_retained_record_without_its_state() {
    let retained = Dedupe::Retained { ttl_ms: 90 * 24 * 60 * 60 * 1000 };
    let world = World::with(EndpointSettings { dedupe: retained, ..embedded() });
    let plain = world.plain("1", &ONCE);
    assert_eq!(world.outcome(&plain), Outcome::Processed);
    // The state is deleted, and its tombstone expires before the record does.
    world.outcome(&world.claimed("2", &[Act::Close]));
    world.memory.store.remove_item(&account(), fixture::STATE);
    let embedding = world.another(embedded());
    let other = world.claimed("3", &[Act::Add(0)]);
    assert_eq!(world.memory.run(embedding.process(&other)).ok(), Some(Outcome::Processed));
    assert_eq!(
        world.memory.run(embedding.process(&plain)).ok(),
        Some(Outcome::Duplicate),
        "a retained record is found after another commit, too"
    );
    assert_eq!(world.sent("notes").len(), 2);
    let item = world.memory.store.partition(&account()).remove(fixture::STATE).expect("a state");
    assert!(
        !item.contains_key(attribute::COMPLETE),
        "the state's item does not claim to have all records, because a separate one exists"
    );
}

#[test]
fn duplicate_without_a_state_is_not_rejected() {
    let retained = Dedupe::Retained { ttl_ms: 90 * 24 * 60 * 60 * 1000 };
    let world = World::with(EndpointSettings { dedupe: retained, ..EndpointSettings::default() });
    assert_eq!(world.outcome(&world.plain("1", &ONCE)), Outcome::Processed);
    // The state is deleted, and its tombstone expires before the record does.
    world.outcome(&world.claimed("2", &[Act::Close]));
    world.memory.store.remove_item(&account(), fixture::STATE);
    // On an absent state, the handler would reject this message.
    assert_eq!(world.outcome(&world.plain("1", &[Act::Reject])), Outcome::Duplicate);
}

#[test]
fn records_that_cannot_be_dropped_do_not_prevent_dropping_others() {
    let world = World::with(embedded());
    // Forty messages are purged after their commits. No commit may drop their records.
    for number in 0..40 {
        commit_without_dispatch(&world, &world.claimed(&format!("purged-{number:02}"), &[Act::Note(1)]));
    }
    let settled_records = || {
        let item = world.memory.store.partition(&account()).remove(fixture::STATE).expect("a state");
        let found = cloakroom::ports::Found::read(&account(), fixture::STATE, &item);
        found.iter().filter(|found| !found.message.as_str().contains("purged")).count()
    };
    // Another worker processes each message, so no worker has settled the records that it finds.
    let most = (0..60).map(|number| {
        let worker = world.another(embedded());
        let delivery = world.claimed(&format!("then-{number:02}"), &[Act::Add(1)]);
        world.memory.run(worker.process(&delivery)).expect("processed");
        settled_records()
    });
    let most = most.max().unwrap_or_default();
    assert!(most < 12, "one item held {most} settled records");
}

#[test]
fn state_that_does_not_fit_next_to_embedded_records_waits() {
    let world = World::with(embedded());
    let purged: Vec<_> = (0..12).map(|number| world.claimed(&format!("purged-{number}"), &[Act::Note(1)])).collect();
    purged.iter().for_each(|delivery| commit_without_dispatch(&world, delivery));
    let large = world.claimed("large", &[Act::Blob(409_300)]);
    let error = world.process(&large).expect_err("there is no room for the state yet").to_string();
    assert!(error.contains("embedded records of 12 other messages"), "{error}");
    purged.iter().for_each(|delivery| assert_eq!(world.outcome(delivery), Outcome::Resumed));
    assert_eq!(world.outcome(&large), Outcome::Processed);
    let too_large = world.parked(&world.claimed("too-large", &[Act::Blob(410_000)]));
    assert!(too_large.contains("state#bank"), "{too_large}");
}
