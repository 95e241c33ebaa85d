//! The sweep: records whose message does not come any more are finished, whoever else is at work.

use crate::fixture;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use cloakroom::{
    Delivery, EndpointSettings, MessageId, Outcome, Partition, Ports,
    format::{AttributeValue, Claim, Item, Record, Settles, schema::attribute},
    observe::{Event, Observer},
    ports::{Clock as _, Commit, Committed, Embedded, PartitionStore as _, Placement, StateWrite},
    protocol::{CheckIn, Consistency, Version},
    recovery::{Sweep, SweepCursor, SweepSettings, SweepStep, Swept},
};
use cloakroom_sim::wire::Operation;
use fixture::{
    Act, ONCE, World, account,
    schedule::{interleaved, polled},
    stage::{Fault, Impatient, staged},
};

/// Both timings of check-in and both identities of a message.
fn kinds() -> impl Iterator<Item = (EndpointSettings, fn(&World) -> Delivery)> {
    let settings = |check_in| EndpointSettings { check_in, ..EndpointSettings::default() };
    let claimed: fn(&World) -> Delivery = |world| world.claimed("m", &ONCE);
    let plain: fn(&World) -> Delivery = |world| world.plain("m", &ONCE);
    [CheckIn::BeforeCommit, CheckIn::AfterCommit]
        .into_iter()
        .flat_map(move |check_in| [claimed, plain].map(|message| (settings(check_in), message)))
}

fn at_once() -> SweepSettings {
    SweepSettings { older_than_ms: 0, units_per_second_max: 1_000_000, ..SweepSettings::default() }
}

/// A sweep over ports on which calls can fail, and pauses take a few steps instead of time.
fn sweep(world: &World, settings: SweepSettings) -> Sweep {
    let clock = Arc::new(Impatient(world.memory.clock.clone()));
    let ports = Ports { clock, ..staged(&world.stage, &world.memory) };
    Sweep::new(world.memory.store.clone(), ports, settings).expect("good settings")
}

/// What became of each record, by message.
async fn swept(sweep: &Sweep) -> BTreeMap<String, Swept> {
    let mut all = BTreeMap::new();
    let tell = |step: SweepStep<'_>| {
        if let SweepStep::Record(found, swept) = step {
            assert_eq!(all.insert(found.message.to_string(), swept.clone()), None, "each is told once");
        }
    };
    let cursor = sweep.run(None, tell).await.expect("memory is read");
    assert!(cursor.is_at_end());
    all
}

/// Commits a message, and stops before anything is sent.
fn strand(world: &World, delivery: &Delivery) {
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    world.process(delivery).expect_err("committed, and not sent");
    world.fail(&[]);
    assert!(!world.items().is_empty(), "it has a record");
}

#[test]
fn a_record_whose_message_is_gone_is_finished_and_the_message_is_a_duplicate_if_it_comes_late() {
    for (settings, message) in kinds() {
        let world = World::with(settings);
        let delivery = message(&world);
        strand(&world, &delivery);
        let all = world.memory.run(swept(&sweep(&world, at_once())));
        assert_eq!(all.into_values().collect::<Vec<_>>(), [Swept::Finished]);
        assert!(world.sent("notes").iter().all(|note| note.redispatch), "it is marked: it may have been sent before");
        world.must_be_done_once(&delivery);
        assert_eq!(world.memory.run(swept(&sweep(&world, at_once()))), BTreeMap::new());
    }
}

/// The identity of the message that [`World::claimed`] makes of the id `m`.
const M: &str = "claim-of-m.memory";

#[test]
fn young_records_and_those_of_others_are_left_to_their_workers() {
    let world = World::new();
    let delivery = world.claimed("m", &ONCE);
    strand(&world, &delivery);
    let of = |name: &str| SweepSettings { endpoints: [name.to_owned()].into(), ..SweepSettings::default() };
    let become_of = |settings| world.memory.run(swept(&sweep(&world, settings))).remove(M).expect("a record");
    assert_eq!(become_of(SweepSettings::default()), Swept::Young);
    world.memory.run(world.memory.clock.sleep(Duration::from_secs(15 * 60)));
    assert_eq!(become_of(of("bakery")), Swept::OfAnother);
    assert_eq!(become_of(SweepSettings { dry_run: true, ..SweepSettings::default() }), Swept::Due);
    assert_eq!(world.sent("notes"), [], "so far nothing was sent");
    assert_eq!(become_of(of("bank")), Swept::Finished);
    world.must_be_done_once(&delivery);
}

/// Puts a record as if it were of this message.
fn put_record(world: &World, message: &str, text: &str) {
    let text = AttributeValue::S(text.to_owned());
    let item = Item::from(HashMap::from([(attribute::RECORD.to_owned(), text)]));
    world.memory.store.put_item(&account(), &format!("outbox#bank#{message}"), item);
}

#[track_caller]
fn must_be_left(all: &BTreeMap<String, Swept>, message: &str, part: &str) {
    let Some(Swept::Left(reason)) = all.get(message) else { panic!("{message} is not left: {all:?}") };
    assert!(reason.contains(part), "`{reason}` does not say `{part}`");
}

#[test]
fn a_record_that_does_not_tell_how_its_message_is_settled_is_left() {
    let world = World::new();
    let delivery = world.claimed("m", &ONCE);
    strand(&world, &delivery);
    // As it was written before there was a sweep.
    let told = world.memory.store.partition(&account()).remove(&format!("outbox#bank#{M}")).expect("a record");
    let Some(AttributeValue::S(told)) = told.get(attribute::RECORD) else { panic!("a text") };
    let record = Record::decode(told).expect("a record");
    put_record(&world, M, &Record { settles: None, committed_ms: None, ..record.clone() }.encode());
    must_be_left(&world.memory.run(swept(&sweep(&world, at_once()))), M, "deliver the message again");
    // It may also have come to be so since it was found.
    let recovery = cloakroom::recovery::Recovery::new("bank", world.memory.ports()).expect("a good name");
    let (partition, message) = (account(), M.into());
    let error = world.memory.run(recovery.finish_record(&partition, &message));
    let error = error.expect_err("it does not tell").to_string();
    assert!(error.contains("deliver the message again"), "{error}");
    world.outcome(&delivery);
    world.must_be_done_once(&delivery);
}

/// Earlier builds kept records under the id of a message, also where it has a claim.
#[test]
fn record_under_the_key_of_an_earlier_build_is_finished_and_the_message_is_a_duplicate_if_it_comes_late() {
    let world = World::new();
    let delivery = world.claimed("m", &ONCE);
    strand(&world, &delivery);
    let (store, key) = (&world.memory.store, format!("outbox#bank#{M}"));
    let item = store.partition(&account()).remove(&key).expect("a record");
    store.remove_item(&account(), &key);
    store.put_item(&account(), "outbox#bank#m", item);
    let all = world.memory.run(swept(&sweep(&world, at_once())));
    assert_eq!(all.get("m"), Some(&Swept::Finished), "{all:?}");
    world.must_be_done_once(&delivery);
}

#[test]
fn what_cannot_be_finished_is_told_and_does_not_stop_the_rest() {
    let world = World::new();
    let delivery = world.claimed("m", &ONCE);
    strand(&world, &delivery);
    put_record(&world, "broken", "no record");
    put_record(&world, "later", r#"{"format":7}"#);
    put_record(&world, "claim", r#"{"format":1,"messages":[],"settles_payload":"a/b"}"#);
    put_record(&world, "elsewhere", r#"{"format":1,"messages":[],"settles_payload":"00.elsewhere"}"#);
    put_record(&world, "entry", r#"{"format":1,"messages":[],"settles_entry":"elsewhere"}"#);
    let all = world.memory.run(swept(&sweep(&world, at_once())));
    must_be_left(&all, "entry", "the dedupe entry of `entry` is in store `elsewhere`");
    must_be_left(&all, "broken", "not an outbox record");
    must_be_left(&all, "later", "format 7 is not known");
    must_be_left(&all, "claim", "does not tell how its message is settled");
    must_be_left(&all, "elsewhere", "in store `elsewhere`");
    assert_eq!(all.get(M), Some(&Swept::Finished));
    assert_eq!(world.items().len(), 5, "the others are as they were");
}

#[test]
fn a_queue_that_cannot_be_opened_leaves_the_record() {
    let world = World::new();
    let delivery = world.claimed("m", &ONCE);
    strand(&world, &delivery);
    world.stage.plan(|_, operation| (operation == Operation::OpenQueue).then_some(Fault::Refused));
    must_be_left(&world.memory.run(swept(&sweep(&world, at_once()))), M, "OpenQueue");
    world.fail(&[]);
    world.memory.run(swept(&sweep(&world, at_once())));
    world.must_be_done_once(&delivery);
}

#[test]
fn a_sweep_may_stop_anywhere() {
    for (settings, message) in kinds() {
        let mut polls = 0;
        loop {
            let world = World::impatient(settings.clone());
            let delivery = message(&world);
            strand(&world, &delivery);
            let first = sweep(&world, at_once());
            let finished = world.memory.run(polled(swept(&first), polls)).is_some();
            world.memory.run(swept(&sweep(&world, at_once())));
            world.must_be_done_once(&delivery);
            if finished {
                break;
            }
            polls += 1;
        }
        assert!(polls >= 8, "only {polls} points");
    }
}

/// The worker goes on, or has stopped for ever, at every point; then its message comes late.
#[test]
fn a_sweep_may_meet_a_worker_anywhere() {
    let mut finished = 0;
    for (settings, message) in kinds() {
        for polls in 0..40 {
            for goes_on in [true, false] {
                let world = World::impatient(settings.clone());
                let delivery = message(&world);
                let mut worker = Box::pin(world.endpoint.process(&delivery));
                let all = world.memory.run(async {
                    let early = polled(worker.as_mut(), polls).await;
                    let all = swept(&sweep(&world, at_once())).await;
                    if goes_on && early.is_none() {
                        worker.await.expect("it ends well");
                    }
                    all
                });
                finished += all.values().filter(|swept| **swept == Swept::Finished).count();
                world.process(&delivery).expect("whatever was done, it ends well");
                world.must_be_done_once(&delivery);
            }
        }
    }
    assert!(finished > 20, "the sweep came in between {finished} times only");
}

#[test]
fn two_sweeps_and_a_worker_may_work_on_one_message_in_any_order() {
    let mut met = 0;
    for (settings, message) in kinds() {
        for seed in 0..100 {
            let world = World::impatient(settings.clone());
            let delivery = message(&world);
            strand(&world, &delivery);
            let sweeps = [sweep(&world, at_once()), sweep(&world, at_once())];
            let work = async {
                world.endpoint.process(&delivery).await.expect("it ends well");
                BTreeMap::new()
            };
            let at_work: Vec<futures::future::LocalBoxFuture<'_, _>> =
                vec![Box::pin(swept(&sweeps[0])), Box::pin(swept(&sweeps[1])), Box::pin(work)];
            let all = world.memory.run(interleaved(at_work, seed));
            met += usize::from(all.iter().map(BTreeMap::len).sum::<usize>() == 2);
            world.must_be_done_once(&delivery);
        }
    }
    assert!(met > 50, "both found it {met} times only");
}

/// Strands a record in each of so many partitions, and answers with their messages.
fn strand_many(world: &World, count: usize) {
    strand(world, &world.claimed("m", &[Act::Note(1)]));
    let item = world.memory.store.partition(&account()).remove(&format!("outbox#bank#{M}")).expect("a record");
    for number in 0..count {
        let partition = Partition::new(format!("account#{number}"));
        world.memory.store.put_item(&partition, &format!("outbox#bank#m-{number}"), item.clone());
    }
}

#[test]
fn a_sweep_goes_on_where_another_one_was_broken_off() {
    for pages in 0..12 {
        let world = World::new();
        strand_many(&world, 60);
        let mut cursors: Vec<String> = Vec::new();
        let first = sweep(&world, SweepSettings { segments: 3, finishing_max: 1, ..at_once() });
        let tell = |step: SweepStep<'_>| {
            if let SweepStep::Page { cursor, .. } = step {
                cursors.push(cursor.to_string());
            }
        };
        world.memory.run(first.run(None, tell)).expect("memory is read");
        let Some(cursor) = cursors.get(pages) else { break };
        // A new world: what the first sweep has finished since the cursor is there again.
        let world = World::new();
        strand_many(&world, 60);
        let cursor: SweepCursor = cursor.parse().expect("a cursor");
        let rest = sweep(&world, SweepSettings { segments: 1, ..at_once() });
        let (mut finished, mut read) = (0, 0);
        let tell = |step: SweepStep<'_>| match step {
            SweepStep::Record(_, Swept::Finished) => finished += 1,
            SweepStep::Record(found, swept) => panic!("{found:?}: {swept:?}"),
            SweepStep::Page { items, .. } => read += items,
        };
        assert!(world.memory.run(rest.run(Some(cursor), tell)).expect("memory is read").is_at_end());
        let left = (pages + 1..cursors.len()).len();
        assert_eq!(finished == 0, left == 0, "{left} pages were left");
        assert!(read <= 62 - 10 * (pages as u64 + 1).min(3) || left == 0, "{read} items were read again");
    }
}

#[test]
fn what_is_no_cursor_is_refused() {
    for text in ["", "7", "zz", "5b5d", "22656e6422", "ä€"] {
        let error = text.parse::<SweepCursor>().expect_err(text).to_string();
        assert!(error.contains("no cursor"), "{error}");
    }
}

#[test]
fn a_sweep_reads_no_faster_than_it_is_told() {
    let world = World::new();
    strand_many(&world, 198);
    let began = world.memory.clock.now();
    let slow = SweepSettings { units_per_second_max: 10, dry_run: true, ..at_once() };
    let sweep = Sweep::new(world.memory.store.clone(), world.memory.ports(), slow).expect("good settings");
    assert_eq!(world.memory.run(swept(&sweep)).len(), 199);
    let took = world.memory.clock.now().since(began);
    // 200 items of a unit each; the last pages of the segments are paid by nobody.
    assert!(took >= Duration::from_secs(14) && took <= Duration::from_secs(21), "{took:?}");
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Commits records of messages that were settled in these stores, embedded in one state.
fn embed(world: &World, stores: &[&str]) {
    let committed_ms = Some(world.memory.clock.now().as_millis());
    let record = |store: &&str| {
        let settles = Some(Settles::Payload(Claim::from_random(7, store)));
        (MessageId::from(*store), Record { settles, committed_ms, ..Record::default() })
    };
    let records: Vec<_> = stores.iter().map(record).collect();
    let commit = Commit {
        partition: &account(),
        endpoint: "bank",
        expected: Version::ABSENT,
        state: &StateWrite::Put(Item::default()),
        records: &records.iter().map(|(message, record)| (message, record)).collect::<Vec<_>>(),
        kept: &Embedded { is_complete: true, ..Embedded::default() },
        embedded_bytes_max: 4_096,
        items: &[],
        token: "t",
    };
    let committed = world.memory.run(world.memory.store.commit(commit)).expect("memory");
    assert_eq!(committed, Committed::Applied(Placement::Embedded));
}

#[test]
fn embedded_record_that_nobody_can_ask_for_is_dropped_and_no_other() {
    let world = World::new();
    embed(&world, &["memory", "left-out", "left-out-too"]);
    let drops = SweepSettings { drop_older_than_ms: Some(50 * DAY_MS), ..at_once() };
    let become_of = |settings: &SweepSettings| {
        let mut all = world.memory.run(swept(&sweep(&world, settings.clone())));
        assert_eq!(all.remove("memory"), Some(Swept::Settled));
        assert_eq!(
            all.get("left-out").map(std::mem::discriminant),
            all.remove("left-out-too").as_ref().map(std::mem::discriminant)
        );
        all
    };
    let pass = |days| world.memory.run(world.memory.clock.sleep(Duration::from_millis(days * DAY_MS)));
    pass(50);
    must_be_left(&become_of(&drops), "left-out", "is in store `left-out`");
    pass(1);
    must_be_left(&become_of(&at_once()), "left-out", "is in store `left-out`");
    let dry = become_of(&SweepSettings { dry_run: true, ..drops.clone() });
    assert_eq!(dry["left-out"], Swept::Droppable);
    assert_eq!(become_of(&drops)["left-out"], Swept::Dropped);
    let partition = account();
    let reading = world.memory.store.read_state(&partition, "bank", Consistency::Strong);
    let read = world.memory.run(reading).expect("memory");
    assert_eq!(read.version, Version::new(3), "it stays");
    assert_eq!(read.state, Some(Item::default()));
    assert_eq!(read.embedded.records.into_keys().collect::<Vec<_>>(), [MessageId::from("memory")]);
}

/// A sweep after so many days takes the message of an id for settled, and the next message of that id is a new one.
#[track_caller]
fn id_must_be_free_after(days: u64, settings: EndpointSettings) {
    let world = World::with(EndpointSettings { placement: Placement::Embedded, ..settings });
    let delivery = world.plain("m", &[Act::Add(1)]);
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
    world.memory.run(world.memory.clock.sleep(Duration::from_millis(days * DAY_MS)));
    world.memory.payloads.expire_entries();
    let all = world.memory.run(swept(&sweep(&world, at_once())));
    assert_eq!(all.into_values().collect::<Vec<_>>(), [Swept::Settled]);
    assert_eq!(world.outcome(&delivery), Outcome::Processed, "the id is that of a new message");
}

#[test]
fn sweep_does_not_renew_the_window_of_an_id() {
    id_must_be_free_after(51, EndpointSettings::default());
}

#[test]
fn sweep_knows_for_how_long_an_id_stands_for_its_message() {
    id_must_be_free_after(31, EndpointSettings { tombstone_ttl_ms: 30 * DAY_MS, ..EndpointSettings::default() });
}

#[test]
fn bodies_of_an_old_record_are_checked_in_and_sent() {
    let world = World::with(EndpointSettings { check_in: CheckIn::AfterCommit, ..EndpointSettings::default() });
    let delivery = world.claimed("m", &ONCE);
    world.stage.plan(|_, operation| (operation == Operation::CheckIn).then_some(Fault::Refused));
    world.process(&delivery).expect_err("committed, and nothing is checked in");
    world.memory.run(world.memory.clock.sleep(Duration::from_millis(40 * DAY_MS)));
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    let first = world.memory.run(swept(&sweep(&world, at_once())));
    assert!(!first.values().any(|swept| *swept == Swept::Finished), "checked in, and not sent: {first:?}");
    world.fail(&[]);
    let second = world.memory.run(swept(&sweep(&world, at_once())));
    assert_eq!(second.into_values().collect::<Vec<_>>(), [Swept::Finished], "the payloads are young");
    world.must_be_done_once(&delivery);
}

#[test]
fn settings_out_of_range_are_refused() {
    let world = World::new();
    for (settings, field) in [
        (SweepSettings { segments: 0, ..at_once() }, "segments"),
        (SweepSettings { units_per_second_max: 0, ..at_once() }, "units_per_second_max"),
        (SweepSettings { finishing_max: 0, ..at_once() }, "finishing_max"),
        (SweepSettings { drop_older_than_ms: Some(49 * DAY_MS), ..at_once() }, "drop_older_than_ms"),
    ] {
        let error = Sweep::new(world.memory.store.clone(), world.memory.ports(), settings).expect_err(field);
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn the_age_of_the_oldest_record_is_told() {
    #[derive(Debug, Default)]
    struct Gauge(Mutex<Vec<Duration>>);
    impl Observer for Gauge {
        fn observe(&self, _: Event) {}
        fn oldest_record(&self, age: Duration) {
            self.0.lock().expect("nobody panicked").push(age);
        }
    }

    let world = World::new();
    strand(&world, &world.claimed("m", &ONCE));
    world.memory.run(world.memory.clock.sleep(Duration::from_secs(3_600)));
    let gauge = Arc::new(Gauge::default());
    let sweep = sweep(&world, at_once()).observed_by(gauge.clone());
    for _ in 0..2 {
        world.memory.run(swept(&sweep));
    }
    let told = gauge.0.lock().expect("nobody panicked").clone();
    assert!(told[0] >= Duration::from_secs(3_600) && told[0] < Duration::from_secs(3_700), "{told:?}");
    assert_eq!(told[1..], [Duration::ZERO], "nothing is left");
}
