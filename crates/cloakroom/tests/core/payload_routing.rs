//! Payloads in several stores, and routing that changes while messages are in flight.

use crate::fixture;

use std::sync::Arc;

use cloakroom::{
    Delivery, Endpoint, Error, ErrorKind, Outcome, Ports,
    format::{Claim, Envelope, derived_id},
    memory::MemoryPayloads,
    ports::{PayloadStore, RoutedPayloads},
};
use cloakroom_sim::wire::Operation;
use fixture::{Act, ONCE, Play, World, account, builder, envelope, stage::Fault};
use futures::FutureExt as _;

type Store = Arc<MemoryPayloads>;

fn store(name: &str) -> Store {
    Arc::new(MemoryPayloads::named(name))
}

/// Returns routing that puts payloads of at most `bytes_max` into `small`, and larger ones into
/// `large`.
fn routed(small: &Store, bytes_max: usize, large: &Store) -> RoutedPayloads {
    RoutedPayloads::new(large.clone()).small(small.clone(), bytes_max).expect("different names")
}

/// Returns an endpoint with these payloads, on the world's table and queues.
fn endpoint(world: &World, payloads: impl PayloadStore + 'static) -> Endpoint {
    builder().build(Ports { payloads: Arc::new(payloads), ..world.memory.ports() }).expect("a valid endpoint")
}

fn process(world: &World, endpoint: &Endpoint, delivery: &Delivery) -> Result<Outcome, Error> {
    world.memory.run(endpoint.process(delivery))
}

fn now<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("memory does not wait")
}

/// Returns a message whose payload is in this store.
fn claimed(world: &World, store: &Store, id: &str, acts: &[Act]) -> Delivery {
    let claim = Claim::from_random(derived_id(&[id]).as_u128(), store.name());
    let payload = serde_json::to_vec(&Play { acts: acts.to_vec() }).expect("JSON");
    now(store.check_in(&claim, payload.into())).expect("memory");
    let mut envelope = envelope(id, "account.play");
    envelope.dataref = Some(claim);
    world.delivery(&envelope)
}

/// The claim of the only note that was sent.
fn claim_of_note(world: &World) -> Claim {
    let notes = world.sent("notes");
    assert_eq!(notes.len(), 1);
    notes[0].dataref.clone().expect("a claim")
}

#[test]
fn payload_is_placed_by_its_size() {
    let (small, large) = (store("small"), store("large"));
    let text_bytes = r#"{"number":0,"text":""}"#.len();
    for (bytes, expected) in [(100, "small"), (101, "large")] {
        let world = World::new();
        let endpoint = endpoint(&world, routed(&small, 100, &large));
        let delivery = claimed(&world, &large, &format!("{bytes}"), &[Act::LargeNote(bytes - text_bytes)]);
        assert_eq!(process(&world, &endpoint, &delivery).expect("processed"), Outcome::Processed);
        let claim = claim_of_note(&world);
        assert_eq!(claim.store(), Some(expected), "{bytes} bytes");
        let holder = if expected == "small" { &small } else { &large };
        assert_eq!(now(holder.read(&claim)).expect("memory").map(|payload| payload.len()), Some(bytes));
    }
}

#[test]
fn payload_routing_with_size_zero_uses_only_the_large_store() {
    let routed = routed(&store("small"), 0, &store("large"));
    assert_eq!([routed.place(0), routed.place(1)], ["large", "large"]);
    assert_eq!((routed.name(), routed.stores()), ("large", vec!["large", "small"]));
}

/// Endpoints with the old and the new routing each process messages whose payloads the other
/// routing placed.
#[test]
fn messages_in_flight_survive_a_change_of_payload_routing() {
    let (small, large) = (store("small"), store("large"));
    let world = World::new();
    let (before, after) = (endpoint(&world, routed(&small, 0, &large)), endpoint(&world, routed(&small, 999, &large)));
    for (id, of, by) in [("1", &large, &before), ("2", &large, &after), ("3", &small, &before), ("4", &small, &after)] {
        let delivery = claimed(&world, of, id, &[Act::Add(1)]);
        assert_eq!(process(&world, by, &delivery).expect("processed"), Outcome::Processed, "{id}");
        for endpoint in [&before, &after] {
            assert_eq!(process(&world, endpoint, &delivery).expect("recognised"), Outcome::Duplicate, "{id}");
        }
    }
    assert_eq!((world.total(), small.claims(), large.claims()), (4, Vec::new(), Vec::new()));
}

/// A message that was committed under one routing is finished under another, in the stores that the
/// record names.
#[test]
fn record_of_an_older_payload_routing_is_finished() {
    let (old, new) = (store("old"), store("new"));
    let world = World::new();
    let ports = Ports { payloads: old.clone(), ..fixture::stage::staged(&world.stage, &world.memory) };
    world.stage.plan(|_, call| (call == Operation::Send).then_some(Fault::Refused));
    let delivery = claimed(&world, &old, "m", &[Act::Add(1), Act::Note(1)]);
    let first = builder().build(ports).expect("a valid endpoint");
    process(&world, &first, &delivery).expect_err("the message is committed, and every send fails");
    let moved = RoutedPayloads::new(new).also(old.clone()).expect("different names");
    assert_eq!(process(&world, &endpoint(&world, moved), &delivery).expect("finished"), Outcome::Resumed);
    assert_eq!(claim_of_note(&world).store(), Some("old"));
    assert_eq!(
        (old.claims(), world.items()),
        (vec![claim_of_note(&world)], Vec::new()),
        "the message is settled and its record cleared"
    );
}

#[test]
fn message_of_an_unknown_store_is_given_back_until_the_store_is_configured() {
    let (small, large, third) = (store("small"), store("large"), store("third"));
    let world = World::new();
    let delivery = claimed(&world, &third, "m", &ONCE);
    let without = endpoint(&world, routed(&small, 999, &large));
    let error = process(&world, &without, &delivery).expect_err("no such store");
    assert_eq!(error.kind(), ErrorKind::RetryMessage);
    assert!(error.to_string().contains("in store `third`, and this endpoint has only `large`, `small`"), "{error}");
    assert_eq!((world.total(), third.claims().len()), (0, 1), "nothing was changed");
    let with = routed(&small, 999, &large).also(third.clone()).expect("another name");
    assert_eq!(process(&world, &endpoint(&world, with), &delivery).expect("processed"), Outcome::Processed);
    assert_eq!((world.total(), third.claims().len(), small.claims().len()), (1, 0, 2));
}

#[test]
fn claim_of_an_unknown_store_is_an_error() {
    let routed = routed(&store("small"), 999, &store("large"));
    let claim = Claim::from_random(1, "elsewhere");
    let errors = [
        now(routed.check_in(&claim, "{}".into())).expect_err("no such store"),
        now(routed.read(&claim)).expect_err("no such store"),
        now(routed.delete(&claim)).expect_err("no such store"),
    ];
    for error in errors {
        assert!(!error.may_have_happened() && !error.may_be_repeated(), "{error}");
        assert!(
            error.to_string().contains("in store `elsewhere`, but only these stores are configured: `large`, `small`"),
            "{error}"
        );
    }
}

#[test]
fn claim_without_a_store_name_is_read_from_the_large_store() {
    let (small, large) = (store("small"), store("large"));
    let claim = Claim::new("a-foreign-claim");
    now(large.check_in(&claim, "{}".into())).expect("memory");
    let routed = routed(&small, 999, &large);
    assert!(now(routed.read(&claim)).expect("memory").is_some());
    now(routed.delete(&claim)).expect("memory");
    assert!(large.claims().is_empty());
}

#[test]
fn two_stores_with_one_name_are_refused() {
    let one = || routed(&store("a"), 1, &store("b"));
    let refusals = [
        RoutedPayloads::new(store("a")).small(store("a"), 1),
        RoutedPayloads::new(store("a")).also(store("a")),
        one().also(store("a")),
        one().also(store("b")),
        one().also(Arc::new(routed(&store("c"), 1, &store("b")))),
    ];
    for refusal in refusals {
        let error = refusal.expect_err("two stores have one name").to_string();
        assert!(error.contains("two payload stores have the name `"), "{error}");
    }
    let error = one().small(store("c"), 1).expect_err("two stores for small payloads").to_string();
    assert!(error.contains("both `a` and `c` are set"), "{error}");
}

/// Returns a message without a claim, as a foreign producer sends it.
fn plain(world: &World, id: &str) -> (Delivery, Envelope) {
    let delivery = world.plain(id, &[Act::Add(1)]);
    let envelope = Envelope::decode(&delivery.body).expect("an envelope");
    (delivery, envelope)
}

/// A dedupe entry is valid in every store, because another store may have been the large one when
/// it was put.
#[test]
fn entries_are_put_into_the_large_store_and_found_in_every_store() {
    for holder in ["small", "large", "old"] {
        let stores = ["small", "large", "old"].map(store);
        let [small, large, old] = &stores;
        let world = World::new();
        let endpoint = endpoint(&world, routed(small, 999, large).also(old.clone()).expect("another name"));
        let (delivery, envelope) = plain(&world, "1");
        assert_eq!(envelope.partition, account());
        let held = stores.iter().find(|store| store.name() == holder).expect("one of them");
        now(held.put_entry("bank", &envelope.identity())).expect("memory");
        assert_eq!(process(&world, &endpoint, &delivery).expect("recognised"), Outcome::Duplicate, "{holder}");
        let (delivery, envelope) = plain(&world, "2");
        assert_eq!(process(&world, &endpoint, &delivery).expect("processed"), Outcome::Processed, "{holder}");
        let has = |store: &Store| now(store.has_entry("bank", &envelope.identity())).expect("memory");
        assert_eq!([has(small), has(large), has(old)], [false, true, false]);
    }
}
