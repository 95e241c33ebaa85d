//! Dead-letter queues: committed messages are finished, others are put back, and no message is
//! lost.

use crate::fixture;

use std::{collections::BTreeMap, sync::Arc};

use cloakroom::{
    Delivery, EndpointSettings, Outcome, Ports,
    engine::parking::{ENDPOINT, REASON},
    format::{Claim, Envelope},
    ports::{PayloadStore as _, Queue as _, QueueMessage},
    protocol::{CheckIn, WhenMissing},
    recovery::{DeadLetter, DeadLetters, Fate, MessageStatus, Sweep, SweepSettings, Treatment},
};
use cloakroom_sim::wire::Operation;
use fixture::{
    Act, ONCE, World,
    schedule::polled,
    stage::{Fault, PollingClock, staged},
};

fn dead_letters(world: &World) -> DeadLetters {
    let clock = Arc::new(PollingClock(world.memory.clock.clone()));
    DeadLetters::new("bank-dead", "bank", Ports { clock, ..staged(&world.stage, &world.memory) }).endpoint("bank")
}

/// Puts a message into a queue without a reason, as SQS moves it.
fn enqueue(world: &World, queue: &str, delivery: &Delivery) {
    let (body, attributes) = (delivery.body.clone(), delivery.attributes.clone());
    let message = QueueMessage { body, attributes, ..QueueMessage::default() };
    let sent = world.memory.run(world.memory.queues.get(queue).send(vec![message]));
    assert!(sent.iter().all(Result::is_ok));
}

/// Returns the status and the fate of each message, by its body.
fn treat(
    world: &World,
    dead_letters: &DeadLetters,
    treatment: Treatment,
) -> BTreeMap<String, (Option<MessageStatus>, Fate)> {
    let mut all = BTreeMap::new();
    let report = |dead_letter: &DeadLetter| {
        let result = (dead_letter.standing.clone(), dead_letter.fate.clone());
        assert_eq!(all.insert(dead_letter.delivery.body.clone(), result), None, "each message must be reported once");
    };
    assert!(
        world.memory.run(dead_letters.treat(treatment, report)).expect("memory can be read"),
        "every message must be received"
    );
    all
}

fn len(world: &World, queue: &str) -> usize {
    world.memory.queues.get(queue).len()
}

/// Commits a message and stops before anything is sent.
fn commit_without_dispatch(world: &World, delivery: &Delivery) {
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    world.process(delivery).expect_err("the message is committed but not dispatched");
    world.fail(&[]);
}

/// One message of each kind: committed, processed, not processed, and two of other systems.
struct Mixture {
    world: World,
    committed: Delivery,
    processed: Delivery,
    fresh: Delivery,
    unreadable: [Delivery; 2],
}

fn mixture() -> Mixture {
    let world = World::new();
    let (committed, processed) = (world.claimed("committed", &ONCE), world.plain("done", &[]));
    let fresh = world.claimed("fresh", &[Act::Add(100)]);
    commit_without_dispatch(&world, &committed);
    world.outcome(&processed);
    let unreadable = ["not ours", r#"{"specversion":"1.0","id":"1"}"#];
    let unreadable = unreadable.map(|body| Delivery { body: body.to_owned(), ..Delivery::default() });
    for delivery in [&committed, &processed, &fresh, &unreadable[0], &unreadable[1]] {
        enqueue(&world, "bank-dead", delivery);
    }
    Mixture { world, committed, processed, fresh, unreadable }
}

#[test]
fn looking_at_dead_letters_changes_only_receive_counts() {
    let Mixture { world, committed, processed, fresh, unreadable } = mixture();
    for dry in [dead_letters(&world), dead_letters(&world).dry_run(true)] {
        let before = (world.items(), world.sent("notes").len(), world.memory.payloads.claims());
        let all = treat(&world, &dry, Treatment::Look);
        let standing = |delivery: &Delivery| all[&delivery.body].0.clone();
        assert_eq!(standing(&committed), Some(MessageStatus::Committed));
        assert_eq!(standing(&processed), Some(MessageStatus::Processed));
        assert_eq!(standing(&fresh), Some(MessageStatus::NotProcessed));
        assert!(unreadable.iter().all(|one| matches!(standing(one), Some(MessageStatus::Unreadable(_)))));
        assert!(all.values().all(|(_, fate)| *fate == Fate::Left));
        assert_eq!(before, (world.items(), world.sent("notes").len(), world.memory.payloads.claims()));
        assert_eq!(len(&world, "bank-dead"), 5);
    }
    let all = treat(&world, &dead_letters(&world).dry_run(true), Treatment::Redrive);
    let fates = [&committed, &processed, &fresh].map(|delivery| all[&delivery.body].1.clone());
    assert_eq!(fates, [Fate::Finished, Fate::Deleted, Fate::PutBack], "a dry run reports the planned fates");
    assert_eq!((len(&world, "bank-dead"), len(&world, "bank")), (5, 0), "a dry run changes no queue");
}

#[test]
fn finish_treatment_finishes_committed_messages_and_leaves_the_rest() {
    let Mixture { world, committed, processed, fresh, unreadable } = mixture();
    let all = treat(&world, &dead_letters(&world), Treatment::Finish);
    let fate = |delivery: &Delivery| all[&delivery.body].1.clone();
    assert_eq!([fate(&committed), fate(&processed)], [Fate::Finished, Fate::Deleted]);
    assert_eq!([fate(&fresh), fate(&unreadable[0]), fate(&unreadable[1])], [Fate::Left, Fate::Left, Fate::Left]);
    world.must_be_processed_once(&committed);
    assert_eq!((len(&world, "bank-dead"), len(&world, "bank")), (3, 0));
}

#[test]
fn redrive_puts_back_unprocessed_messages_which_are_then_processed() {
    let Mixture { world, committed, fresh, unreadable, .. } = mixture();
    let all = treat(&world, &dead_letters(&world), Treatment::Redrive);
    assert_eq!(all[&fresh.body].1, Fate::PutBack);
    world.must_be_processed_once(&committed);
    let back = world.memory.queues.get("bank").messages();
    let mut marked = Envelope::decode(&fresh.body).expect("an envelope");
    marked.redispatch = true;
    assert_eq!(back.iter().map(|message| &message.body).collect::<Vec<_>>(), [&marked.encode()]);
    let left = world.memory.queues.get("bank-dead").messages();
    assert_eq!(
        left.iter().map(|message| &message.body).collect::<Vec<_>>(),
        [&unreadable[0].body, &unreadable[1].body]
    );
    assert_eq!(world.outcome(&fresh), Outcome::Processed);
    assert_eq!(world.total(), 101);
}

#[test]
fn parked_message_is_treated_by_its_own_endpoint_and_put_back_without_its_reason() {
    let world = World::new();
    let mut delivery = world.plain("m", &ONCE);
    commit_without_dispatch(&world, &delivery);
    let attributes = [(ENDPOINT, "bank"), (REASON, "an old reason"), ("color", "red")];
    delivery.attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    enqueue(&world, "bank-dead", &delivery);
    // For every queue name, the message itself names the endpoint that parked it.
    let all = treat(&world, &dead_letters(&world).endpoint("bakery"), Treatment::Finish);
    assert_eq!(all[&delivery.body], (Some(MessageStatus::Committed), Fate::Finished));
    let fresh = Delivery { attributes: delivery.attributes.clone(), ..world.claimed("fresh", &[]) };
    enqueue(&world, "bank-dead", &fresh);
    treat(&world, &dead_letters(&world), Treatment::Redrive);
    let back = world.memory.queues.get("bank").messages().remove(0).attributes;
    assert_eq!(back, BTreeMap::from([("color".to_owned(), "red".to_owned())]));
    // An invalid endpoint name does not stop the run.
    delivery.attributes.insert(ENDPOINT.to_owned(), "a#b".to_owned());
    enqueue(&world, "bank-dead", &delivery);
    let all = treat(&world, &dead_letters(&world), Treatment::Redrive);
    assert!(matches!(&all[&delivery.body], (None, Fate::Failed(reason)) if reason.contains("`a#b`")), "{all:?}");
}

#[test]
fn message_parked_because_of_its_missing_payload_is_left_to_the_operator() {
    let settings = EndpointSettings { when_missing: WhenMissing::Park, ..EndpointSettings::default() };
    let world = World::with(settings);
    let delivery = world.claimed("m", &ONCE);
    let gone = Claim::new("claim-of-m.memory");
    world.memory.run(world.memory.payloads.delete(&gone)).expect("memory");
    world.parked(&delivery);
    for treatment in [Treatment::Finish, Treatment::Redrive] {
        let all = treat(&world, &dead_letters(&world), treatment);
        assert_eq!(all[&delivery.body], (Some(MessageStatus::Missing), Fate::Left));
    }
    assert_eq!(len(&world, "bank-dead"), 1);
}

#[test]
fn redrive_that_stops_at_any_point_loses_no_message() {
    let mut polls = 0;
    loop {
        let Mixture { world, committed, fresh, .. } = mixture();
        let dead_letters = dead_letters(&world);
        let mut reported = 0;
        // After the last message the run waits for more, and no time passes.
        let _ = world.memory.run(polled(dead_letters.treat(Treatment::Redrive, |_| reported += 1), polls));
        let id = |body: &str| Envelope::decode(body).ok().map(|envelope| envelope.id);
        let is_in = |queue: &str, delivery: &Delivery| {
            world.memory.queues.get(queue).messages().iter().any(|message| id(&message.body) == id(&delivery.body))
        };
        assert!(is_in("bank", &fresh) || is_in("bank-dead", &fresh), "the message is lost after {polls} polls");
        let is_sent = world.sent("notes").len() >= 2 && world.items().is_empty();
        assert!(is_sent || is_in("bank-dead", &committed), "no later run would finish the message after {polls} polls");
        if reported == 5 {
            break;
        }
        polls += 1;
        assert!(polls < 500, "the run makes no progress");
    }
    assert!(polls > 15, "only {polls} points were tested");
}

#[test]
fn failure_with_one_dead_letter_does_not_stop_the_others() {
    for check_in in [CheckIn::BeforeCommit, CheckIn::AfterCommit] {
        let world = World::with(EndpointSettings { check_in, ..EndpointSettings::default() });
        let (first, second) = (world.claimed("first", &ONCE), world.claimed("second", &[]));
        commit_without_dispatch(&world, &first);
        world.outcome(&second);
        enqueue(&world, "bank-dead", &first);
        enqueue(&world, "bank-dead", &second);
        world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
        let all = treat(&world, &dead_letters(&world), Treatment::Finish);
        assert!(matches!(&all[&first.body], (Some(MessageStatus::Committed), Fate::Failed(_))), "{all:?}");
        assert_eq!(all[&second.body].1, Fate::Deleted);
        world.fail(&[]);
        treat(&world, &dead_letters(&world), Treatment::Finish);
        world.must_be_processed_once(&first);
        assert_eq!(len(&world, "bank-dead"), 0);
    }
}

#[test]
fn selected_messages_are_parked_with_a_reason_and_the_others_stay() {
    let world = World::new();
    let (culprit, other) = (world.claimed("culprit", &[]), world.claimed("neighbour", &[]));
    let unreadable = Delivery { body: "not ours".to_owned(), ..Delivery::default() };
    for delivery in [&culprit, &other, &unreadable] {
        enqueue(&world, "bank", delivery);
    }
    for dry_run in [true, false] {
        let dead_letters = dead_letters(&world).dry_run(dry_run);
        let mut parked = Vec::new();
        let report = |dead_letter: &DeadLetter| {
            parked.extend((dead_letter.fate == Fate::Parked).then(|| dead_letter.delivery.body.clone()))
        };
        let park = dead_letters.park(|envelope| envelope.id.as_str() == "culprit", "it crashes its workers", report);
        assert!(world.memory.run(park).expect("memory can be read"));
        assert_eq!(parked, std::slice::from_ref(&culprit.body));
        assert_eq!(len(&world, "bank"), if dry_run { 3 } else { 2 });
    }
    let dead = world.memory.queues.get("bank-dead").messages();
    assert_eq!(dead.iter().map(|message| &message.body).collect::<Vec<_>>(), [&culprit.body]);
    assert_eq!(dead[0].attributes.get(REASON).map(String::as_str), Some("it crashes its workers"));
    assert_eq!(dead[0].attributes.get(ENDPOINT).map(String::as_str), Some("bank"));
}

#[test]
fn dead_letter_run_receives_at_most_messages_max() {
    let world = World::new();
    for number in 0..25 {
        enqueue(&world, "bank-dead", &world.claimed(&format!("m-{number}"), &[]));
    }
    let mut received = 0;
    let dead_letters = dead_letters(&world).messages_max(12);
    let is_all = world.memory.run(dead_letters.treat(Treatment::Look, |_| received += 1)).expect("memory can be read");
    assert_eq!((is_all, received, len(&world, "bank-dead")), (false, 12, 25));
}

/// A runtime with several threads can spawn these futures.
#[test]
fn dead_letter_runs_and_sweeps_are_send() {
    fn must_be_send<T: Send>(future: T) {
        drop(future);
    }
    let world = World::new();
    let dead_letters = dead_letters(&world);
    must_be_send(dead_letters.treat(Treatment::Redrive, |_| {}));
    must_be_send(dead_letters.park(|_| true, "why", |_| {}));
    let sweep = Sweep::new(world.memory.store.clone(), world.memory.ports(), SweepSettings::default());
    must_be_send(sweep.expect("valid settings").run(None, |_| {}));
}
