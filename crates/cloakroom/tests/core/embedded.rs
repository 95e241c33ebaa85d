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

/// The calls that a message takes.
fn calls(world: &World, id: &str, acts: &[Act]) -> Vec<Operation> {
    let before = world.stage.calls().len();
    world.outcome(&world.claimed(id, acts));
    world.stage.calls().split_off(before)
}

#[test]
fn a_message_takes_one_read_of_the_state_and_no_clear() {
    let world = World::with(settings());
    let must = [
        Operation::ReadState,
        Operation::HasRecords,
        Operation::ReadPayload,
        Operation::OpenQueue,
        Operation::CheckIn,
        Operation::Commit,
        Operation::Send,
        Operation::DeletePayload,
    ];
    assert_eq!(calls(&world, "1", &[Act::Add(1), Act::Note(1)]), must);
    // That the first is settled is known here; nobody looks.
    let once = [Operation::HasRecords, Operation::OpenQueue];
    let again: Vec<_> = must.iter().filter(|call| !once.contains(call)).copied().collect();
    assert_eq!(calls(&world, "2", &[Act::Add(1), Act::Note(2)]), again);
    assert_eq!(embedded_messages(&world), ["claim-of-2.memory"], "the second commit has dropped the first record");
    assert!(embedded(&world).is_complete);
    assert_eq!(world.items(), Vec::<String>::new());
}

#[test]
fn a_settled_record_of_somebody_else_is_dropped_after_a_look() {
    let world = World::with(settings());
    world.outcome(&world.claimed("1", &[Act::Add(1)]));
    let stranger = world.another(settings());
    let before = world.stage.calls().len();
    world.memory.run(stranger.process(&world.claimed("2", &[Act::Add(1)]))).expect("processed");
    let looks = world.stage.calls().split_off(before).into_iter().filter(|call| *call == Operation::ReadPayload);
    assert_eq!(looks.count(), 2, "its own payload, and that of the first");
    assert_eq!(embedded_messages(&world), ["claim-of-2.memory"]);
}

#[test]
fn what_is_not_settled_is_carried_on() {
    for (first, second) in [(World::claimed, World::plain), (World::plain, World::claimed)]
        as [(fn(&_, &_, &_) -> _, fn(&_, &_, &_) -> _); 2]
    {
        let world = World::with(settings());
        let unfinished = first(&world, "1", &ONCE);
        // The worker dies when it has committed.
        world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
        world.process(&unfinished).expect_err("not sent");
        world.fail(&[]);
        for number in 2..5 {
            let id = number.to_string();
            world.outcome(&second(&world, &id, &[]));
            assert_eq!(embedded_messages(&world).len(), 2, "the live one stays, the settled ones go");
        }
        // Also when the state is deleted.
        world.outcome(&second(&world, "5", &[Act::Close]));
        assert_eq!(embedded_messages(&world).len(), 2);
        assert_eq!(world.outcome(&unfinished), Outcome::Resumed);
        assert_eq!(world.sent("notes").len(), 2);
        world.outcome(&second(&world, "6", &[Act::Add(1)]));
        assert_eq!(embedded_messages(&world).len(), 1);
        world.must_be_done_once(&unfinished);
    }
}

#[test]
fn a_record_that_cannot_be_read_is_carried_on_as_it_is() {
    let world = World::with(settings());
    world.outcome(&world.claimed("1", &[Act::Add(1)]));
    let mut item = world.memory.store.partition(&account()).remove(fixture::STATE).expect("a state");
    let odd = std::collections::HashMap::from([(
        "claim-of-odd.memory".to_owned(),
        cloakroom::format::AttributeValue::S(r#"{"format":9}"#.to_owned()),
    )]);
    item.insert("cloakroom_records".to_owned(), cloakroom::format::AttributeValue::M(odd));
    world.memory.store.put_item(&account(), fixture::STATE, item);
    world.outcome(&world.claimed("2", &[Act::Add(1)]));
    assert_eq!(embedded_messages(&world), ["claim-of-2.memory", "claim-of-odd.memory"]);
    let error = world.process(&world.claimed("odd", &[])).expect_err("its own message cannot be finished");
    assert!(error.to_string().contains("format 9"), "{error}");
}

#[test]
fn a_record_beside_the_state_is_found_by_who_embeds_and_the_other_way_round() {
    for (before, after) in [(EndpointSettings::default(), settings()), (settings(), EndpointSettings::default())] {
        let world = World::with(before);
        let unfinished = world.claimed("1", &ONCE);
        world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
        world.process(&unfinished).expect_err("not sent");
        world.fail(&[]);
        let other = world.another(after);
        assert_eq!(world.memory.run(other.process(&world.claimed("2", &[]))).ok(), Some(Outcome::Processed));
        assert_eq!(world.memory.run(other.process(&unfinished)).ok(), Some(Outcome::Resumed));
        assert!(!embedded(&world).is_complete, "one of the two lay beside the state");
        world.must_be_done_once(&unfinished);
    }
}

#[test]
fn a_record_without_its_state_is_found() {
    let world = World::new();
    let unfinished = world.claimed("1", &ONCE);
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    world.process(&unfinished).expect_err("not sent");
    world.fail(&[]);
    world.memory.store.remove_item(&account(), fixture::STATE);
    assert_eq!(world.outcome(&unfinished), Outcome::Resumed);
    assert_eq!((world.items(), world.sent("notes").len()), (Vec::new(), 2));
}

#[test]
fn what_would_grow_too_large_lies_beside() {
    let world = World::with(EndpointSettings { embedded_bytes_max: 2_048, ..settings() });
    world.outcome(&world.claimed("1", &[Act::Add(1)]));
    assert_eq!(embedded_messages(&world), ["claim-of-1.memory"]);
    let large = calls(&world, "2", &[Act::Blob(2_048)]);
    assert!(large.contains(&Operation::Clear), "{large:?}");
    assert_eq!((embedded_messages(&world), embedded(&world).is_complete), (Vec::new(), false));
    // And from then on it is looked for there.
    let later = calls(&world, "3", &[Act::Blob(1)]);
    assert!(later.contains(&Operation::ReadRecord) && !later.contains(&Operation::Clear), "{later:?}");
    assert_eq!(embedded_messages(&world), ["claim-of-3.memory"]);
    world.outcome(&world.claimed("4", &[Act::Add(0)]));
    assert_eq!(world.live_records(), Vec::<String>::new());
}

#[test]
fn a_settled_record_is_not_sent_again() {
    let world = World::with(settings());
    let delivery = world.claimed("1", &ONCE);
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
    assert_eq!(world.outcome(&delivery), Outcome::Duplicate);
    assert_eq!(world.sent("notes").len(), 2);
    assert_eq!(world.counts().payload_missing, 0, "its record tells that it was processed: no alarm");
    let finished = world.memory.run(world.endpoint.finish(&delivery)).expect("finished");
    assert_eq!(finished, cloakroom::engine::Recovered::Finished(Outcome::Duplicate));
    assert_eq!(world.sent("notes").len(), 2);
}
