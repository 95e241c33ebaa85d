//! Two messages are two messages, whatever they have in common.

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

/// Another message with this id, under a claim of its own.
fn namesake(world: &World, id: &str, acts: &[Act]) -> Delivery {
    let claim = Claim::new("another.memory");
    world.check_in(&claim, &Play { acts: acts.to_vec() });
    let mut envelope = fixture::envelope(id, Play::TYPE);
    envelope.dataref = Some(claim);
    world.delivery(&envelope)
}

/// Lets a worker commit a message and stop before it sends.
fn strand(world: &World, delivery: &Delivery) {
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    world.process(delivery).expect_err("nothing is sent");
    world.fail(&[]);
}

#[test]
fn a_message_is_not_taken_for_a_stranded_one_with_the_same_id() {
    for placement in PLACEMENTS {
        let world = World::with(EndpointSettings { placement, ..EndpointSettings::default() });
        let first = world.claimed("1", &ONCE);
        strand(&world, &first);
        let second = namesake(&world, "1", &[Act::Add(10)]);
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
        strand(&world, &world.claimed("1", &ONCE));
        let second = namesake(&world, "1", &[Act::Add(10)]);
        let finished = world.memory.run(world.endpoint.finish(&second)).expect("looked up");
        assert_eq!(finished, Recovered::NotCommitted, "{placement:?}");
        assert_eq!(world.outcome(&second), Outcome::Processed);
        assert_eq!(world.total(), 11);
    }
}

#[test]
fn messages_of_one_id_do_not_swallow_each_other_on_a_fifo_queue() {
    let world = World::new();
    let endpoint = fixture::builder().route::<fixture::Note>("notes.fifo").build(world.memory.ports());
    let endpoint = endpoint.expect("a good endpoint");
    for delivery in [world.claimed("1", &[Act::Note(1)]), namesake(&world, "1", &[Act::Note(1)])] {
        world.memory.run(endpoint.process(&delivery)).expect("processed");
    }
    let notes = world.sent("notes.fifo");
    assert_eq!(notes.len(), 2);
    assert_ne!(notes[0].id, notes[1].id, "ids of what is sent follow from the identity, not from the id");
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
fn a_producers_key_counts_for_each_type_of_message() {
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
        for differs in [sent.iter().map(|one| identity(one).to_string()).collect::<Vec<_>>(), {
            sent.iter().map(|one| one.deduplication.clone().expect("an id")).collect()
        }] {
            assert_ne!(differs[0], differs[1], "a key counts for each type: {differs:?}");
            assert_eq!(differs[0], differs[2], "and for one type it is the same message");
        }
    }
}

#[test]
fn plain_messages_of_one_id_and_two_types_are_two_messages() {
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
fn a_claim_without_a_store_is_sought_in_all() {
    let store = |name: &str| std::sync::Arc::new(MemoryPayloads::named(name));
    let (bucket, old) = (store("bucket"), store("old-bucket"));
    let placed = RoutedPayloads::new(bucket.clone()).also(old.clone()).expect("another name");
    let claim = Claim::new("00000000000000000000000000000007");
    let now = |future: futures::future::BoxFuture<'_, Result<Option<Bytes>, cloakroom::PortError>>| {
        future.now_or_never().expect("memory does not wait").expect("memory")
    };
    for holder in [&old, &bucket] {
        holder.check_in(&claim, Bytes::from_static(b"7")).now_or_never().expect("at once").expect("memory");
        assert_eq!(now(placed.read(&claim)), Some(Bytes::from_static(b"7")));
        placed.delete(&claim).now_or_never().expect("at once").expect("memory");
        assert_eq!((now(holder.read(&claim)), now(placed.read(&claim))), (None, None));
    }
}

/// Lets time pass, and the entries with it that were written before.
fn after_the_window(world: &World) {
    world.memory.run(world.memory.clock.sleep(Duration::from_secs(51 * 24 * 60 * 60)));
    world.memory.payloads.expire_entries();
}

#[test]
fn an_id_that_comes_again_after_its_window_is_handled() {
    for placement in PLACEMENTS {
        let world = World::with(EndpointSettings { placement, ..EndpointSettings::default() });
        let daily = world.plain("daily", &[Act::Add(1), Act::Note(1)]);
        assert_eq!(world.outcome(&daily), Outcome::Processed);
        assert_eq!(world.outcome(&daily), Outcome::Duplicate);
        after_the_window(&world);
        assert_eq!(world.outcome(&daily), Outcome::Processed, "{placement:?}");
        assert_eq!(world.outcome(&daily), Outcome::Duplicate);
        assert_eq!((world.total(), world.sent("notes").len()), (2, 2));
    }
}

#[test]
fn the_record_of_an_id_that_came_again_is_not_dropped() {
    let world = World::with(embedded());
    let daily = world.plain("daily", &[Act::Add(1), Act::Note(1)]);
    world.outcome(&daily);
    after_the_window(&world);
    strand(&world, &daily);
    assert_eq!(world.total(), 2);
    world.outcome(&world.claimed("2", &[Act::Add(10)]));
    assert_eq!(world.outcome(&daily), Outcome::Resumed, "its record was carried on");
    assert_eq!((world.total(), world.sent("notes").len()), (12, 2));
}

#[test]
fn an_embedding_worker_finds_a_record_without_its_state() {
    let world = World::new();
    let unfinished = world.claimed("1", &ONCE);
    strand(&world, &unfinished);
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
    assert_eq!(world.memory.run(embedding.process(&plain)).ok(), Some(Outcome::Duplicate), "also after another commit");
    assert_eq!(world.sent("notes").len(), 2);
    let item = world.memory.store.partition(&account()).remove(fixture::STATE).expect("a state");
    assert!(!item.contains_key(attribute::COMPLETE), "the state's item knows of records beside it");
}

#[test]
fn duplicate_whose_state_is_gone_is_not_refused() {
    let retained = Dedupe::Retained { ttl_ms: 90 * 24 * 60 * 60 * 1000 };
    let world = World::with(EndpointSettings { dedupe: retained, ..EndpointSettings::default() });
    assert_eq!(world.outcome(&world.plain("1", &ONCE)), Outcome::Processed);
    // The state is deleted, and its tombstone expires before the record does.
    world.outcome(&world.claimed("2", &[Act::Close]));
    world.memory.store.remove_item(&account(), fixture::STATE);
    // Of an absent state its handler makes nothing.
    assert_eq!(world.outcome(&world.plain("1", &[Act::Reject])), Outcome::Duplicate);
}

#[test]
fn records_that_nobody_may_drop_do_not_hide_the_others() {
    let world = World::with(embedded());
    // The messages of forty records are purged after their commits: no commit may drop these.
    for number in 0..40 {
        strand(&world, &world.claimed(&format!("purged-{number:02}"), &[Act::Note(1)]));
    }
    let others = || {
        let item = world.memory.store.partition(&account()).remove(fixture::STATE).expect("a state");
        let found = cloakroom::ports::Found::read(&account(), fixture::STATE, &item);
        found.iter().filter(|found| !found.message.as_str().contains("purged")).count()
    };
    // Each message is processed by a worker that has settled none of the others.
    let most = (0..60).map(|number| {
        let worker = world.another(embedded());
        let delivery = world.claimed(&format!("then-{number:02}"), &[Act::Add(1)]);
        world.memory.run(worker.process(&delivery)).expect("processed");
        others()
    });
    let most = most.max().unwrap_or_default();
    assert!(most < 12, "{most} settled records were carried on at a time");
}

#[test]
fn a_state_waits_while_records_of_others_fill_its_item() {
    let world = World::with(embedded());
    let purged: Vec<_> = (0..12).map(|number| world.claimed(&format!("purged-{number}"), &[Act::Note(1)])).collect();
    purged.iter().for_each(|delivery| strand(&world, delivery));
    let large = world.claimed("large", &[Act::Blob(409_300)]);
    let error = world.process(&large).expect_err("there is no room yet").to_string();
    assert!(error.contains("embedded records of 12 other messages"), "{error}");
    purged.iter().for_each(|delivery| assert_eq!(world.outcome(delivery), Outcome::Resumed));
    assert_eq!(world.outcome(&large), Outcome::Processed);
    let too_large = world.parked(&world.claimed("too-large", &[Act::Blob(410_000)]));
    assert!(too_large.contains("state#bank"), "{too_large}");
}
