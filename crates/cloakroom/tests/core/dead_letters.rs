//! Dead-letter queues: what was committed is finished, what was not is put back, and nothing is lost or harmed.

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
    stage::{Fault, Impatient, staged},
};

fn letters(world: &World) -> DeadLetters {
    let clock = Arc::new(Impatient(world.memory.clock.clone()));
    DeadLetters::new("bank-dead", "bank", Ports { clock, ..staged(&world.stage, &world.memory) }).endpoint("bank")
}

/// Puts a message into a queue, as SQS moves it: without a word.
fn lay(world: &World, queue: &str, delivery: &Delivery) {
    let (body, attributes) = (delivery.body.clone(), delivery.attributes.clone());
    let message = QueueMessage { body, attributes, ..QueueMessage::default() };
    let sent = world.memory.run(world.memory.queues.get(queue).send(vec![message]));
    assert!(sent.iter().all(Result::is_ok));
}

/// What becomes of each message, by its body.
fn treat(
    world: &World,
    letters: &DeadLetters,
    treatment: Treatment,
) -> BTreeMap<String, (Option<MessageStatus>, Fate)> {
    let mut all = BTreeMap::new();
    let tell = |letter: &DeadLetter| {
        let told = (letter.standing.clone(), letter.fate.clone());
        assert_eq!(all.insert(letter.delivery.body.clone(), told), None, "each is seen once");
    };
    assert!(world.memory.run(letters.treat(treatment, tell)).expect("memory is read"), "all were seen");
    all
}

fn len(world: &World, queue: &str) -> usize {
    world.memory.queues.get(queue).len()
}

/// Commits a message, and stops before anything is sent.
fn strand(world: &World, delivery: &Delivery) {
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    world.process(delivery).expect_err("committed, and not sent");
    world.fail(&[]);
}

/// One of each: committed, done, not processed, and two that are not ours.
struct Mixture {
    world: World,
    committed: Delivery,
    done: Delivery,
    fresh: Delivery,
    foreign: [Delivery; 2],
}

fn mixture() -> Mixture {
    let world = World::new();
    let (committed, done) = (world.claimed("committed", &ONCE), world.plain("done", &[]));
    let fresh = world.claimed("fresh", &[Act::Add(100)]);
    strand(&world, &committed);
    world.outcome(&done);
    let foreign = ["not ours", r#"{"specversion":"1.0","id":"1"}"#];
    let foreign = foreign.map(|body| Delivery { body: body.to_owned(), ..Delivery::default() });
    for delivery in [&committed, &done, &fresh, &foreign[0], &foreign[1]] {
        lay(&world, "bank-dead", delivery);
    }
    Mixture { world, committed, done, fresh, foreign }
}

#[test]
fn to_look_changes_nothing_but_receive_counts() {
    let Mixture { world, committed, done, fresh, foreign } = mixture();
    for dry in [letters(&world), letters(&world).dry_run(true)] {
        let before = (world.items(), world.sent("notes").len(), world.memory.payloads.claims());
        let all = treat(&world, &dry, Treatment::Look);
        let standing = |delivery: &Delivery| all[&delivery.body].0.clone();
        assert_eq!(standing(&committed), Some(MessageStatus::Committed));
        assert_eq!(standing(&done), Some(MessageStatus::Processed));
        assert_eq!(standing(&fresh), Some(MessageStatus::NotProcessed));
        assert!(foreign.iter().all(|one| matches!(standing(one), Some(MessageStatus::Unreadable(_)))));
        assert!(all.values().all(|(_, fate)| *fate == Fate::Left));
        assert_eq!(before, (world.items(), world.sent("notes").len(), world.memory.payloads.claims()));
        assert_eq!(len(&world, "bank-dead"), 5);
    }
    let all = treat(&world, &letters(&world).dry_run(true), Treatment::Redrive);
    let fates = [&committed, &done, &fresh].map(|delivery| all[&delivery.body].1.clone());
    assert_eq!(fates, [Fate::Finished, Fate::Deleted, Fate::PutBack], "what would be done is told");
    assert_eq!((len(&world, "bank-dead"), len(&world, "bank")), (5, 0), "and is not done");
}

#[test]
fn what_was_committed_is_finished_and_the_rest_is_left() {
    let Mixture { world, committed, done, fresh, foreign } = mixture();
    let all = treat(&world, &letters(&world), Treatment::Finish);
    let fate = |delivery: &Delivery| all[&delivery.body].1.clone();
    assert_eq!([fate(&committed), fate(&done)], [Fate::Finished, Fate::Deleted]);
    assert_eq!([fate(&fresh), fate(&foreign[0]), fate(&foreign[1])], [Fate::Left, Fate::Left, Fate::Left]);
    world.must_be_done_once(&committed);
    assert_eq!((len(&world, "bank-dead"), len(&world, "bank")), (3, 0));
}

#[test]
fn what_was_not_processed_is_put_back_and_processed() {
    let Mixture { world, committed, fresh, foreign, .. } = mixture();
    let all = treat(&world, &letters(&world), Treatment::Redrive);
    assert_eq!(all[&fresh.body].1, Fate::PutBack);
    world.must_be_done_once(&committed);
    let back = world.memory.queues.get("bank").messages();
    let mut marked = Envelope::decode(&fresh.body).expect("an envelope");
    marked.redispatch = true;
    assert_eq!(back.iter().map(|message| &message.body).collect::<Vec<_>>(), [&marked.encode()]);
    let left = world.memory.queues.get("bank-dead").messages();
    assert_eq!(left.iter().map(|message| &message.body).collect::<Vec<_>>(), [&foreign[0].body, &foreign[1].body]);
    assert_eq!(world.outcome(&fresh), Outcome::Processed);
    assert_eq!(world.total(), 101);
}

#[test]
fn a_parked_message_goes_to_its_own_endpoint_and_comes_back_without_a_reason() {
    let world = World::new();
    let mut delivery = world.plain("m", &ONCE);
    strand(&world, &delivery);
    let attributes = [(ENDPOINT, "bank"), (REASON, "of old"), ("color", "red")];
    delivery.attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    lay(&world, "bank-dead", &delivery);
    // Whatever the queue is called, the message says who parked it.
    let all = treat(&world, &letters(&world).endpoint("bakery"), Treatment::Finish);
    assert_eq!(all[&delivery.body], (Some(MessageStatus::Committed), Fate::Finished));
    let fresh = Delivery { attributes: delivery.attributes.clone(), ..world.claimed("fresh", &[]) };
    lay(&world, "bank-dead", &fresh);
    treat(&world, &letters(&world), Treatment::Redrive);
    let back = world.memory.queues.get("bank").messages().remove(0).attributes;
    assert_eq!(back, BTreeMap::from([("color".to_owned(), "red".to_owned())]));
    // An endpoint that cannot be is no reason to stop.
    delivery.attributes.insert(ENDPOINT.to_owned(), "a#b".to_owned());
    lay(&world, "bank-dead", &delivery);
    let all = treat(&world, &letters(&world), Treatment::Redrive);
    assert!(matches!(&all[&delivery.body], (None, Fate::Failed(reason)) if reason.contains("`a#b`")), "{all:?}");
}

#[test]
fn a_message_that_was_parked_for_its_missing_payload_is_left_to_people() {
    let settings = EndpointSettings { when_missing: WhenMissing::Park, ..EndpointSettings::default() };
    let world = World::with(settings);
    let delivery = world.claimed("m", &ONCE);
    let gone = Claim::new("claim-of-m.memory");
    world.memory.run(world.memory.payloads.delete(&gone)).expect("memory");
    world.parked(&delivery);
    for treatment in [Treatment::Finish, Treatment::Redrive] {
        let all = treat(&world, &letters(&world), treatment);
        assert_eq!(all[&delivery.body], (Some(MessageStatus::Missing), Fate::Left));
    }
    assert_eq!(len(&world, "bank-dead"), 1);
}

#[test]
fn who_redrives_may_stop_anywhere() {
    let mut polls = 0;
    loop {
        let Mixture { world, committed, fresh, .. } = mixture();
        let letters = letters(&world);
        let mut told = 0;
        // After the last one it waits for more, and no time passes.
        let _ = world.memory.run(polled(letters.treat(Treatment::Redrive, |_| told += 1), polls));
        let id = |body: &str| Envelope::decode(body).ok().map(|envelope| envelope.id);
        let lies = |queue: &str, delivery: &Delivery| {
            world.memory.queues.get(queue).messages().iter().any(|message| id(&message.body) == id(&delivery.body))
        };
        assert!(lies("bank", &fresh) || lies("bank-dead", &fresh), "it is lost after {polls} polls");
        let is_sent = world.sent("notes").len() >= 2 && world.items().is_empty();
        assert!(is_sent || lies("bank-dead", &committed), "nobody comes back for it after {polls} polls");
        if told == 5 {
            break;
        }
        polls += 1;
        assert!(polls < 500, "it does not get on");
    }
    assert!(polls > 15, "only {polls} points");
}

#[test]
fn a_failure_leaves_its_message_and_goes_on() {
    for check_in in [CheckIn::BeforeCommit, CheckIn::AfterCommit] {
        let world = World::with(EndpointSettings { check_in, ..EndpointSettings::default() });
        let (first, second) = (world.claimed("first", &ONCE), world.claimed("second", &[]));
        strand(&world, &first);
        world.outcome(&second);
        lay(&world, "bank-dead", &first);
        lay(&world, "bank-dead", &second);
        world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
        let all = treat(&world, &letters(&world), Treatment::Finish);
        assert!(matches!(&all[&first.body], (Some(MessageStatus::Committed), Fate::Failed(_))), "{all:?}");
        assert_eq!(all[&second.body].1, Fate::Deleted);
        world.fail(&[]);
        treat(&world, &letters(&world), Treatment::Finish);
        world.must_be_done_once(&first);
        assert_eq!(len(&world, "bank-dead"), 0);
    }
}

#[test]
fn culprits_are_moved_with_a_reason_and_their_neighbours_stay() {
    let world = World::new();
    let (culprit, neighbour) = (world.claimed("culprit", &[]), world.claimed("neighbour", &[]));
    let foreign = Delivery { body: "not ours".to_owned(), ..Delivery::default() };
    for delivery in [&culprit, &neighbour, &foreign] {
        lay(&world, "bank", delivery);
    }
    for dry_run in [true, false] {
        let letters = letters(&world).dry_run(dry_run);
        let mut parked = Vec::new();
        let tell =
            |letter: &DeadLetter| parked.extend((letter.fate == Fate::Parked).then(|| letter.delivery.body.clone()));
        let park = letters.park(|envelope| envelope.id.as_str() == "culprit", "it kills its workers", tell);
        assert!(world.memory.run(park).expect("memory is read"));
        assert_eq!(parked, std::slice::from_ref(&culprit.body));
        assert_eq!(len(&world, "bank"), if dry_run { 3 } else { 2 });
    }
    let dead = world.memory.queues.get("bank-dead").messages();
    assert_eq!(dead.iter().map(|message| &message.body).collect::<Vec<_>>(), [&culprit.body]);
    assert_eq!(dead[0].attributes.get(REASON).map(String::as_str), Some("it kills its workers"));
    assert_eq!(dead[0].attributes.get(ENDPOINT).map(String::as_str), Some("bank"));
}

#[test]
fn no_more_messages_than_asked_for() {
    let world = World::new();
    for number in 0..25 {
        lay(&world, "bank-dead", &world.claimed(&format!("m-{number}"), &[]));
    }
    let mut seen = 0;
    let letters = letters(&world).messages_max(12);
    let is_all = world.memory.run(letters.treat(Treatment::Look, |_| seen += 1)).expect("memory is read");
    assert_eq!((is_all, seen, len(&world, "bank-dead")), (false, 12, 25));
}

/// Whoever has a runtime of several threads can spawn them.
#[test]
fn walks_and_sweeps_can_go_from_thread_to_thread() {
    fn goes<T: Send>(future: T) {
        drop(future);
    }
    let world = World::new();
    let letters = letters(&world);
    goes(letters.treat(Treatment::Redrive, |_| {}));
    goes(letters.park(|_| true, "why", |_| {}));
    let sweep = Sweep::new(world.memory.store.clone(), world.memory.ports(), SweepSettings::default());
    goes(sweep.expect("good settings").run(None, |_| {}));
}
