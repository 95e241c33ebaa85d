//! Folds: messages of one partition that are committed together.

use crate::fixture;

use std::time::Duration;

use cloakroom::{
    Delivery, EndpointSettings, Outcome,
    engine::NotFinished,
    ports::{Clock as _, Placement},
    protocol::CheckIn,
    worker::Batch,
};
use cloakroom_sim::wire::Operation;
use fixture::{Act, ONCE, World, stage::Fault};

type Results = Vec<Result<Outcome, NotFinished>>;

fn process_together_from(world: &World, queue: &str, deliveries: &[Delivery]) -> Results {
    let until = world.memory.clock.now().after(Duration::from_secs(3_600));
    world.memory.run(world.endpoint.process_batch(Batch { queue, deliveries, in_flight_max: 1, until }))
}

fn process_together(world: &World, deliveries: &[Delivery]) -> Results {
    process_together_from(world, "bank", deliveries)
}

fn outcomes(results: Results) -> Vec<Outcome> {
    results.into_iter().map(|result| result.unwrap_or_else(|error| panic!("{error}"))).collect()
}

fn commits(world: &World) -> usize {
    world.stage.calls().into_iter().filter(|call| *call == Operation::Commit).count()
}

fn every_kind() -> impl Iterator<Item = EndpointSettings> {
    [
        (Placement::Separate, CheckIn::BeforeCommit),
        (Placement::Separate, CheckIn::AfterCommit),
        (Placement::Embedded, CheckIn::BeforeCommit),
    ]
    .into_iter()
    .map(|(placement, check_in)| EndpointSettings { placement, check_in, ..EndpointSettings::default() })
}

#[test]
fn ten_messages_take_one_commit() {
    for settings in every_kind() {
        let world = World::with(settings);
        let add = |number: u32| world.claimed(&number.to_string(), &[Act::Add(1), Act::Note(number)]);
        let deliveries: Vec<_> = (1..=10).map(add).collect();
        assert_eq!(outcomes(process_together(&world, &deliveries)), [Outcome::Processed; 10]);
        assert_eq!(commits(&world), 1);
        assert_eq!((world.total(), world.account().0), (10, 10), "the version must increase by one for each message");
        let sequences: Vec<_> = world.sent("notes").into_iter().map(|note| note.sequence).collect();
        let distinct: std::collections::BTreeSet<_> = sequences.iter().collect();
        assert_eq!(distinct.len(), 10, "each message must have its own version: {sequences:?}");
        assert_eq!(world.live_records(), Vec::<String>::new());
        assert_eq!(outcomes(process_together(&world, &deliveries)), [Outcome::Duplicate; 10]);
        assert_eq!(world.total(), 10);
    }
}

#[test]
fn fold_max_of_one_commits_each_message_alone() {
    let world = World::with(EndpointSettings { fold_max: 1, ..EndpointSettings::default() });
    let deliveries: Vec<_> = (0..4).map(|number| world.claimed(&number.to_string(), &[Act::Add(1)])).collect();
    process_together(&world, &deliveries);
    assert_eq!((commits(&world), world.total()), (4, 4));
}

#[test]
fn each_message_of_a_fold_is_classified_by_its_own_record_and_payload() {
    for settings in every_kind() {
        let world = World::with(settings);
        let done = world.claimed("done", &[Act::Add(100)]);
        world.outcome(&done);
        let pending = world.claimed("pending", &[Act::Add(10), Act::Note(1)]);
        world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
        world.process(&pending).expect_err("the message is not dispatched");
        world.fail(&[]);
        let fresh = world.claimed("fresh", &[Act::Add(1), Act::Note(2)]);
        let results = outcomes(process_together(&world, &[done, pending, fresh]));
        assert_eq!(results, [Outcome::Duplicate, Outcome::Resumed, Outcome::Processed]);
        assert_eq!((world.total(), world.sent("notes").len()), (111, 2));
        assert_eq!(world.live_records(), Vec::<String>::new());
    }
}

#[test]
fn copies_of_a_message_are_not_folded() {
    for settings in every_kind() {
        let world = World::with(settings);
        let copy = world.claimed("m", &ONCE);
        let results = outcomes(process_together(&world, &[copy.clone(), copy.clone(), copy.clone()]));
        assert_eq!(results, [Outcome::Processed, Outcome::Duplicate, Outcome::Duplicate]);
        world.must_be_processed_once(&copy);
    }
}

#[test]
fn rejected_or_panicking_message_does_not_affect_the_rest_of_its_fold() {
    for settings in every_kind() {
        let world = World::with(settings);
        let good = |id: &str| world.claimed(id, &[Act::Add(1)]);
        let bad = |id: &str, act: Act| world.claimed(id, &[Act::Add(1_000), Act::Note(9), act]);
        let deliveries = [
            good("1"),
            bad("rejected", Act::Reject),
            good("2"),
            bad("panics", Act::Panic),
            bad("not-now", Act::Retry),
            good("3"),
        ];
        let results = process_together(&world, &deliveries);
        let is_done: Vec<_> = results.iter().map(|result| result.as_ref().ok().copied()).collect();
        let (processed, parked) = (Some(Outcome::Processed), Some(Outcome::Parked));
        assert_eq!(is_done, [processed, parked, processed, None, None, processed]);
        assert_eq!((world.total(), commits(&world), world.sent("notes").len()), (3, 1, 0));
    }
}

#[test]
fn handler_reads_the_state_left_by_the_previous_message_of_its_fold() {
    let world = World::new();
    let deliveries = [
        world.claimed("1", &[Act::Add(5)]),
        world.delivery(&{
            let mut envelope = fixture::envelope("2", <fixture::Double as cloakroom::Message>::TYPE);
            envelope.data = Some(serde_json::json!({}));
            envelope
        }),
        world.claimed("3", &[Act::Close]),
        world.claimed("4", &[Act::Add(1)]),
    ];
    assert_eq!(outcomes(process_together(&world, &deliveries[..2])), [Outcome::Processed; 2]);
    assert_eq!(world.total(), 10);
    assert_eq!(outcomes(process_together(&world, &deliveries[2..])), [Outcome::Processed; 2]);
    assert_eq!(world.total(), 1, "a deleted state starts from its default");
}

#[test]
fn message_that_leaves_a_fold_has_no_effect_on_the_commit() {
    for placement in [Placement::Separate, Placement::Embedded] {
        let world = World::with(EndpointSettings { placement, calls_max: 1, ..EndpointSettings::default() });
        let deliveries: Vec<_> =
            [1, 10, 100].map(|n| world.claimed(&n.to_string(), &[Act::Add(n), Act::Note(1)])).into();
        let mut check_ins = 0;
        world.stage.plan(move |_, operation| {
            check_ins += usize::from(operation == Operation::CheckIn);
            (operation == Operation::CheckIn && check_ins == 2).then_some(Fault::Refused)
        });
        let results = process_together(&world, &deliveries);
        assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok(), "{results:?}");
        assert_eq!(world.total(), 101, "the second message has no effect");
        world.fail(&[]);
        assert_eq!(world.outcome(&deliveries[1]), Outcome::Processed);
        assert_eq!(world.total(), 111);
        assert_eq!(world.sent("notes").len(), 3);
        let orphans = world.memory.payloads.claims().len() - 3;
        assert_eq!(orphans, 2, "the payloads of the first and third message were checked in before the second failed");
    }
}

#[test]
fn messages_too_large_for_one_commit_are_committed_one_by_one() {
    // The 48 items of each message together exceed the limit of a transaction.
    let world = World::new();
    let items = |id: &str| {
        let items = (0..48).map(|number| Act::Put(format!("{id} {number}")));
        world.claimed(id, &[vec![Act::Add(1)], items.collect()].concat())
    };
    let deliveries = [items("1"), items("2"), items("3"), world.claimed("4", &[Act::Items(100)])];
    let results = outcomes(process_together(&world, &deliveries));
    assert_eq!(results, [Outcome::Processed, Outcome::Processed, Outcome::Processed, Outcome::Parked]);
    assert_eq!(world.total(), 3);
}

#[test]
fn failed_item_condition_of_one_message_does_not_stop_its_fold() {
    let world = World::new();
    let deliveries = [
        world.claimed("1", &[Act::Add(1), Act::Note(1)]),
        world.claimed("2", &[Act::Add(10), Act::Demand("missing".to_owned())]),
        world.claimed("3", &[Act::Add(100)]),
    ];
    let results = process_together(&world, &deliveries);
    assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok(), "{results:?}");
    assert_eq!(world.total(), 101);
}

#[test]
fn messages_that_write_the_same_item_are_committed_one_by_one() {
    let world = World::new();
    let deliveries = [1, 2, 3].map(|n| world.claimed(&n.to_string(), &[Act::Add(1), Act::Put("line".to_owned())]));
    assert_eq!(outcomes(process_together(&world, &deliveries)), [Outcome::Processed; 3]);
    assert_eq!((world.total(), commits(&world)), (3, 3));
}

#[test]
fn failed_message_on_a_fifo_queue_stops_the_following_messages_of_its_group() {
    let world = World::new();
    let group = |delivery: Delivery| Delivery { group: Some("g".to_owned()), ..delivery };
    let deliveries = [
        group(world.claimed("1", &[Act::Add(1)])),
        group(world.claimed("2", &[Act::Retry])),
        group(world.claimed("3", &[Act::Add(100)])),
    ];
    let results = process_together_from(&world, "bank.fifo", &deliveries);
    assert!(
        matches!(results[..], [Ok(Outcome::Processed), Err(NotFinished::Failed(_)), Err(NotFinished::Behind)]),
        "{results:?}"
    );
    assert_eq!((world.total(), world.counts().handled), (1, 2));
    // A message that failed too often is parked, and its group continues.
    let [_, second, third] = deliveries;
    for _ in 2..8 {
        let results = process_together_from(&world, "bank.fifo", std::slice::from_ref(&second));
        assert!(matches!(results[..], [Err(NotFinished::Failed(_))]), "{results:?}");
    }
    let results = outcomes(process_together_from(&world, "bank.fifo", &[second, third]));
    assert_eq!(results, [Outcome::Parked, Outcome::Processed]);
    assert_eq!(world.total(), 101);
}

#[test]
fn lost_commit_reclassifies_every_message_of_its_fold() {
    for settings in every_kind() {
        let world = World::with(settings.clone());
        // The payloads of the lost commit.
        let orphans = if settings.check_in == CheckIn::BeforeCommit { 3 } else { 0 };
        let deliveries: Vec<_> =
            [1, 10, 100].map(|n| world.claimed(&n.to_string(), &[Act::Add(n), Act::Note(1)])).into();
        // Meanwhile another worker processes the second message.
        let (other, second) = (world.another(settings), deliveries[1].clone());
        world.stage.before_first(Operation::Commit, async move {
            other.process(&second).await.expect("processed");
        });
        let results = outcomes(process_together(&world, &deliveries));
        assert_eq!(results, [Outcome::Processed, Outcome::Duplicate, Outcome::Processed]);
        assert_eq!((world.total(), world.counts().conflict), (111, 1));
        assert_eq!(
            world.memory.payloads.claims().len(),
            3 + orphans,
            "the payloads of the notes, and those of the lost commit"
        );
    }
}
