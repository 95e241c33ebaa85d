//! Records that are embedded in the state's item.

use crate::fixture;

use cloakroom::{
    EndpointSettings, Outcome,
    ports::{Embedded, PartitionStore as _, Placement},
    protocol::Consistency,
};
use cloakroom_sim::wire::Operation;
use fixture::{Act, ONCE, World, account, stage::Fault};
use futures::FutureExt as _;

fn settings() -> EndpointSettings {
    EndpointSettings { placement: Placement::Embedded, ..EndpointSettings::default() }
}

fn embedded(world: &World) -> Embedded {
    let read = world.memory.store.read_state(&account(), "bank", Consistency::Strong).now_or_never();
    read.expect("memory does not wait").expect("a state").embedded
}

fn embedded_messages(world: &World) -> Vec<String> {
    embedded(world).records.into_keys().map(|message| message.to_string()).collect()
}

/// Returns the calls that the processing of a message makes.
fn calls(world: &World, id: &str, acts: &[Act]) -> Vec<Operation> {
    let before = world.stage.calls().len();
    world.outcome(&world.claimed(id, acts));
    world.stage.calls().split_off(before)
}

#[test]
fn a_message_takes_one_read_of_the_state_and_no_clear() {
    let world = World::with(settings());
    let expected = [
        Operation::ReadState,
        Operation::HasRecords,
        Operation::ReadPayload,
        Operation::OpenQueue,
        Operation::CheckIn,
        Operation::Commit,
        Operation::Send,
        Operation::DeletePayload,
    ];
    assert_eq!(calls(&world, "1", &[Act::Add(1), Act::Note(1)]), expected);
    // The worker knows that the first message is settled, so it does not check.
    let only_first = [Operation::HasRecords, Operation::OpenQueue];
    let again: Vec<_> = expected.iter().filter(|call| !only_first.contains(call)).copied().collect();
    assert_eq!(calls(&world, "2", &[Act::Add(1), Act::Note(2)]), again);
    assert_eq!(embedded_messages(&world), ["claim-of-2.memory"], "the second commit drops the first record");
    assert!(embedded(&world).is_complete);
    assert_eq!(world.items(), Vec::<String>::new());
}

#[test]
fn settled_record_of_another_worker_is_dropped_after_a_payload_read() {
    let world = World::with(settings());
    world.outcome(&world.claimed("1", &[Act::Add(1)]));
    let other = world.another(settings());
    let before = world.stage.calls().len();
    world.memory.run(other.process(&world.claimed("2", &[Act::Add(1)]))).expect("processed");
    let payload_reads =
        world.stage.calls().split_off(before).into_iter().filter(|call| *call == Operation::ReadPayload);
    assert_eq!(payload_reads.count(), 2, "the message's own payload, and the payload of the first message");
    assert_eq!(embedded_messages(&world), ["claim-of-2.memory"]);
}

#[test]
fn unsettled_embedded_record_is_kept_by_later_commits() {
    for (first, second) in [(World::claimed, World::plain), (World::plain, World::claimed)]
        as [(fn(&_, &_, &_) -> _, fn(&_, &_, &_) -> _); 2]
    {
        let world = World::with(settings());
        let unfinished = first(&world, "1", &ONCE);
        // The worker stops after the commit.
        world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
        world.process(&unfinished).expect_err("the message is not dispatched");
        world.fail(&[]);
        for number in 2..5 {
            let id = number.to_string();
            world.outcome(&second(&world, &id, &[]));
            assert_eq!(
                embedded_messages(&world).len(),
                2,
                "the unsettled record stays, and settled records are dropped"
            );
        }
        // This also holds if the state is deleted.
        world.outcome(&second(&world, "5", &[Act::Close]));
        assert_eq!(embedded_messages(&world).len(), 2);
        assert_eq!(world.outcome(&unfinished), Outcome::Resumed);
        assert_eq!(world.sent("notes").len(), 2);
        world.outcome(&second(&world, "6", &[Act::Add(1)]));
        assert_eq!(embedded_messages(&world).len(), 1);
        world.must_be_processed_once(&unfinished);
    }
}

#[test]
fn unreadable_embedded_record_is_kept_unchanged() {
    let world = World::with(settings());
    world.outcome(&world.claimed("1", &[Act::Add(1)]));
    let mut item = world.memory.store.partition(&account()).remove(fixture::STATE).expect("a state");
    let unreadable = std::collections::HashMap::from([(
        "claim-of-odd.memory".to_owned(),
        cloakroom::format::AttributeValue::S(r#"{"format":9}"#.to_owned()),
    )]);
    item.insert("cloakroom_records".to_owned(), cloakroom::format::AttributeValue::M(unreadable));
    world.memory.store.put_item(&account(), fixture::STATE, item);
    world.outcome(&world.claimed("2", &[Act::Add(1)]));
    assert_eq!(embedded_messages(&world), ["claim-of-2.memory", "claim-of-odd.memory"]);
    let error =
        world.process(&world.claimed("odd", &[])).expect_err("the message of an unreadable record cannot be finished");
    assert!(error.to_string().contains("format 9"), "{error}");
}

#[test]
fn record_is_found_by_an_endpoint_with_the_other_placement() {
    for (before, after) in [(EndpointSettings::default(), settings()), (settings(), EndpointSettings::default())] {
        let world = World::with(before);
        let unfinished = world.claimed("1", &ONCE);
        world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
        world.process(&unfinished).expect_err("the message is not dispatched");
        world.fail(&[]);
        let other = world.another(after);
        assert_eq!(world.memory.run(other.process(&world.claimed("2", &[]))).ok(), Some(Outcome::Processed));
        assert_eq!(world.memory.run(other.process(&unfinished)).ok(), Some(Outcome::Resumed));
        assert!(!embedded(&world).is_complete, "one of the two records was separate");
        world.must_be_processed_once(&unfinished);
    }
}

#[test]
fn a_record_without_its_state_is_found() {
    let world = World::new();
    let unfinished = world.claimed("1", &ONCE);
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    world.process(&unfinished).expect_err("the message is not dispatched");
    world.fail(&[]);
    world.memory.store.remove_item(&account(), fixture::STATE);
    assert_eq!(world.outcome(&unfinished), Outcome::Resumed);
    assert_eq!((world.items(), world.sent("notes").len()), (Vec::new(), 2));
}

#[test]
fn record_is_separate_if_the_state_item_would_become_too_large() {
    let world = World::with(EndpointSettings { embedded_bytes_max: 2_048, ..settings() });
    world.outcome(&world.claimed("1", &[Act::Add(1)]));
    assert_eq!(embedded_messages(&world), ["claim-of-1.memory"]);
    let large = calls(&world, "2", &[Act::Blob(2_048)]);
    assert!(large.contains(&Operation::Clear), "{large:?}");
    assert_eq!((embedded_messages(&world), embedded(&world).is_complete), (Vec::new(), false));
    // From then on the worker also looks for separate records.
    let later = calls(&world, "3", &[Act::Blob(1)]);
    assert!(later.contains(&Operation::ReadRecord) && !later.contains(&Operation::Clear), "{later:?}");
    assert_eq!(embedded_messages(&world), ["claim-of-3.memory"]);
    world.outcome(&world.claimed("4", &[Act::Add(0)]));
    assert_eq!(world.live_records(), Vec::<String>::new());
}

#[test]
fn settled_embedded_record_is_not_dispatched_again() {
    let world = World::with(settings());
    let delivery = world.claimed("1", &ONCE);
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
    assert_eq!(world.outcome(&delivery), Outcome::Duplicate);
    assert_eq!(world.sent("notes").len(), 2);
    assert_eq!(world.counts().payload_missing, 0, "the record shows that the message was processed");
    let finished = world.memory.run(world.endpoint.finish(&delivery)).expect("finished");
    assert_eq!(finished, cloakroom::engine::Recovered::Finished(Outcome::Duplicate));
    assert_eq!(world.sent("notes").len(), 2);
}
