//! The sweep finishes the records of messages that no queue delivers any more. Workers and other
//! sweeps may run at the same time.

mod embedded;

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
use embedded::DAY_MS;
use fixture::{
    Act, ONCE, World, account,
    schedule::{interleaved, polled},
    stage::{Fault, PollingClock, staged},
};

/// Both timings of the check-in, each with a message that has a claim and one that has only an id.
fn timings_and_messages() -> impl Iterator<Item = (EndpointSettings, fn(&World) -> Delivery)> {
    let settings = |check_in| EndpointSettings { check_in, ..EndpointSettings::default() };
    let claimed: fn(&World) -> Delivery = |world| world.claimed("m", &ONCE);
    let plain: fn(&World) -> Delivery = |world| world.plain("m", &ONCE);
    [CheckIn::BeforeCommit, CheckIn::AfterCommit]
        .into_iter()
        .flat_map(move |check_in| [claimed, plain].map(|message| (settings(check_in), message)))
}

/// Settings that sweep records of any age, without a limit of the rate.
fn unlimited() -> SweepSettings {
    SweepSettings { older_than_ms: 0, units_per_second_max: 1_000_000, ..SweepSettings::default() }
}

/// Returns a sweep on ports whose calls can fail. Its pauses take a few polls instead of time.
fn sweep(world: &World, settings: SweepSettings) -> Sweep {
    let clock = Arc::new(PollingClock(world.memory.clock.clone()));
    let ports = Ports { clock, ..staged(&world.stage, &world.memory) };
    Sweep::new(world.memory.store.clone(), ports, settings).expect("valid settings")
}

/// Runs a sweep to its end. Returns the result of each record, by message.
async fn swept(sweep: &Sweep) -> BTreeMap<String, Swept> {
    let mut all = BTreeMap::new();
    let on_step = |step: SweepStep<'_>| {
        if let SweepStep::Record(found, swept) = step {
            assert_eq!(all.insert(found.message.to_string(), swept.clone()), None, "each record is reported once");
        }
    };
    let cursor = sweep.run(None, on_step).await.expect("memory does not fail");
    assert!(cursor.is_at_end());
    all
}

/// Lets a worker commit a message and fail at the dispatch.
fn commit_without_dispatch(world: &World, delivery: &Delivery) {
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    world.process(delivery).expect_err("the message is committed, and every send fails");
    world.fail(&[]);
    assert!(!world.items().is_empty(), "the message has a record");
}

#[test]
fn sweep_finishes_a_record_and_its_late_message_is_a_duplicate() {
    for (settings, message) in timings_and_messages() {
        let world = World::with(settings);
        let delivery = message(&world);
        commit_without_dispatch(&world, &delivery);
        let all = world.memory.run(swept(&sweep(&world, unlimited())));
        assert_eq!(all.into_values().collect::<Vec<_>>(), [Swept::Finished]);
        assert!(
            world.sent("notes").iter().all(|note| note.redispatch),
            "messages of a sweep are marked, because they may have been sent before"
        );
        world.must_be_processed_once(&delivery);
        assert_eq!(world.memory.run(swept(&sweep(&world, unlimited()))), BTreeMap::new());
    }
}

/// The identity of the message that [`World::claimed`] returns for the id `m`.
const M: &str = "claim-of-m.memory";

#[test]
fn sweep_leaves_young_records_and_records_of_other_endpoints() {
    let world = World::new();
    let delivery = world.claimed("m", &ONCE);
    commit_without_dispatch(&world, &delivery);
    let of = |name: &str| SweepSettings { endpoints: [name.to_owned()].into(), ..SweepSettings::default() };
    let result_of = |settings| world.memory.run(swept(&sweep(&world, settings))).remove(M).expect("a record");
    assert_eq!(result_of(SweepSettings::default()), Swept::Young);
    world.memory.run(world.memory.clock.sleep(Duration::from_secs(15 * 60)));
    assert_eq!(result_of(of("bakery")), Swept::OfAnother);
    assert_eq!(result_of(SweepSettings { dry_run: true, ..SweepSettings::default() }), Swept::Due);
    assert_eq!(world.sent("notes"), [], "the sweeps so far sent nothing");
    assert_eq!(result_of(of("bank")), Swept::Finished);
    world.must_be_processed_once(&delivery);
}

/// Puts a record with this text for this message.
fn put_record(world: &World, message: &str, text: &str) {
    let text = AttributeValue::S(text.to_owned());
    let item = Item::from(HashMap::from([(attribute::RECORD.to_owned(), text)]));
    world.memory.store.put_item(&account(), &format!("outbox#bank#{message}"), item);
}

#[track_caller]
fn assert_left(all: &BTreeMap<String, Swept>, message: &str, part: &str) {
    let Some(Swept::Left(reason)) = all.get(message) else { panic!("{message} is not left: {all:?}") };
    assert!(reason.contains(part), "`{reason}` does not contain `{part}`");
}

#[test]
fn sweep_leaves_a_record_that_does_not_state_how_to_settle() {
    let world = World::new();
    let delivery = world.claimed("m", &ONCE);
    commit_without_dispatch(&world, &delivery);
    // Versions without a sweep wrote records like this one.
    let item = world.memory.store.partition(&account()).remove(&format!("outbox#bank#{M}")).expect("a record");
    let Some(AttributeValue::S(text)) = item.get(attribute::RECORD) else { panic!("a text") };
    let record = Record::decode(text).expect("a record");
    put_record(&world, M, &Record { settles: None, committed_ms: None, ..record.clone() }.encode());
    assert_left(&world.memory.run(swept(&sweep(&world, unlimited()))), M, "deliver the message again");
    // A worker of an earlier version may also have written such a record after the sweep found the
    // message.
    let recovery = cloakroom::recovery::Recovery::new("bank", world.memory.ports()).expect("a valid name");
    let (partition, message) = (account(), M.into());
    let error = world.memory.run(recovery.finish_record(&partition, &message));
    let error = error.expect_err("the record does not state how its message is settled").to_string();
    assert!(error.contains("deliver the message again"), "{error}");
    world.outcome(&delivery);
    world.must_be_processed_once(&delivery);
}

/// Earlier builds kept the record of a message with a claim under its id, too.
#[test]
fn sweep_finishes_a_record_under_the_key_of_an_earlier_build() {
    let world = World::new();
    let delivery = world.claimed("m", &ONCE);
    commit_without_dispatch(&world, &delivery);
    let (store, key) = (&world.memory.store, format!("outbox#bank#{M}"));
    let item = store.partition(&account()).remove(&key).expect("a record");
    store.remove_item(&account(), &key);
    store.put_item(&account(), "outbox#bank#m", item);
    let all = world.memory.run(swept(&sweep(&world, unlimited())));
    assert_eq!(all.get("m"), Some(&Swept::Finished), "{all:?}");
    world.must_be_processed_once(&delivery);
}

#[test]
fn record_that_cannot_be_finished_is_reported_and_does_not_stop_the_sweep() {
    let world = World::new();
    let delivery = world.claimed("m", &ONCE);
    commit_without_dispatch(&world, &delivery);
    put_record(&world, "broken", "no record");
    put_record(&world, "later", r#"{"format":7}"#);
    put_record(&world, "claim", r#"{"format":1,"messages":[],"settles_payload":"a/b"}"#);
    put_record(&world, "elsewhere", r#"{"format":1,"messages":[],"settles_payload":"00.elsewhere"}"#);
    put_record(&world, "entry", r#"{"format":1,"messages":[],"settles_entry":"elsewhere"}"#);
    let all = world.memory.run(swept(&sweep(&world, unlimited())));
    assert_left(&all, "entry", "the dedupe entry of `entry` is in store `elsewhere`");
    assert_left(&all, "broken", "not an outbox record");
    assert_left(&all, "later", "format 7 is not supported");
    assert_left(&all, "claim", "does not tell how its message is settled");
    assert_left(&all, "elsewhere", "in store `elsewhere`");
    assert_eq!(all.get(M), Some(&Swept::Finished));
    assert_eq!(world.items().len(), 5, "the other records are unchanged");
}

#[test]
fn a_queue_that_cannot_be_opened_leaves_the_record() {
    let world = World::new();
    let delivery = world.claimed("m", &ONCE);
    commit_without_dispatch(&world, &delivery);
    world.stage.plan(|_, operation| (operation == Operation::OpenQueue).then_some(Fault::Refused));
    assert_left(&world.memory.run(swept(&sweep(&world, unlimited()))), M, "OpenQueue");
    world.fail(&[]);
    world.memory.run(swept(&sweep(&world, unlimited())));
    world.must_be_processed_once(&delivery);
}

#[test]
fn sweep_can_stop_at_every_point() {
    for (settings, message) in timings_and_messages() {
        let mut polls = 0;
        loop {
            let world = World::impatient(settings.clone());
            let delivery = message(&world);
            commit_without_dispatch(&world, &delivery);
            let first = sweep(&world, unlimited());
            let finished = world.memory.run(polled(swept(&first), polls)).is_some();
            world.memory.run(swept(&sweep(&world, unlimited())));
            world.must_be_processed_once(&delivery);
            if finished {
                break;
            }
            polls += 1;
        }
        assert!(polls >= 8, "the sweep was stopped at only {polls} points");
    }
}

/// A sweep runs while a worker is at any point of its attempt. The worker then continues or has
/// stopped forever. Afterwards the message is delivered once more.
#[test]
fn sweep_during_an_attempt_is_safe_at_every_point() {
    let mut finished = 0;
    for (settings, message) in timings_and_messages() {
        for polls in 0..40 {
            for continues in [true, false] {
                let world = World::impatient(settings.clone());
                let delivery = message(&world);
                let mut worker = Box::pin(world.endpoint.process(&delivery));
                let all = world.memory.run(async {
                    let early = polled(worker.as_mut(), polls).await;
                    let all = swept(&sweep(&world, unlimited())).await;
                    if continues && early.is_none() {
                        worker.await.expect("the attempt succeeds");
                    }
                    all
                });
                finished += all.values().filter(|swept| **swept == Swept::Finished).count();
                world.process(&delivery).expect("the late delivery succeeds");
                world.must_be_processed_once(&delivery);
            }
        }
    }
    assert!(finished > 20, "the sweep finished a record only {finished} times");
}

#[test]
fn two_sweeps_and_a_worker_interleave_safely_on_one_message() {
    let mut found_twice = 0;
    for (settings, message) in timings_and_messages() {
        for seed in 0..100 {
            let world = World::impatient(settings.clone());
            let delivery = message(&world);
            commit_without_dispatch(&world, &delivery);
            let sweeps = [sweep(&world, unlimited()), sweep(&world, unlimited())];
            let work = async {
                world.endpoint.process(&delivery).await.expect("the attempt succeeds");
                BTreeMap::new()
            };
            let concurrent: Vec<futures::future::LocalBoxFuture<'_, _>> =
                vec![Box::pin(swept(&sweeps[0])), Box::pin(swept(&sweeps[1])), Box::pin(work)];
            let all = world.memory.run(interleaved(concurrent, seed));
            found_twice += usize::from(all.iter().map(BTreeMap::len).sum::<usize>() == 2);
            world.must_be_processed_once(&delivery);
        }
    }
    assert!(found_twice > 50, "both sweeps found the record only {found_twice} times");
}

/// Puts a record of an unfinished message into each of `count` partitions, in addition to the one
/// of the account.
fn put_records(world: &World, count: usize) {
    commit_without_dispatch(world, &world.claimed("m", &[Act::Note(1)]));
    let item = world.memory.store.partition(&account()).remove(&format!("outbox#bank#{M}")).expect("a record");
    for number in 0..count {
        let partition = Partition::new(format!("account#{number}"));
        world.memory.store.put_item(&partition, &format!("outbox#bank#m-{number}"), item.clone());
    }
}

#[test]
fn sweep_continues_from_the_cursor_of_an_interrupted_one() {
    for pages in 0..12 {
        let world = World::new();
        put_records(&world, 60);
        let mut cursors: Vec<String> = Vec::new();
        let first = sweep(&world, SweepSettings { segments: 3, finishing_max: 1, ..unlimited() });
        let on_step = |step: SweepStep<'_>| {
            if let SweepStep::Page { cursor, .. } = step {
                cursors.push(cursor.to_string());
            }
        };
        world.memory.run(first.run(None, on_step)).expect("memory does not fail");
        let Some(cursor) = cursors.get(pages) else { break };
        // A new world still has the records that the first sweep finished after the cursor.
        let world = World::new();
        put_records(&world, 60);
        let cursor: SweepCursor = cursor.parse().expect("a cursor");
        let rest = sweep(&world, SweepSettings { segments: 1, ..unlimited() });
        let (mut finished, mut read) = (0, 0);
        let on_step = |step: SweepStep<'_>| match step {
            SweepStep::Record(_, Swept::Finished) => finished += 1,
            SweepStep::Record(found, swept) => panic!("{found:?}: {swept:?}"),
            SweepStep::Page { items, .. } => read += items,
        };
        assert!(world.memory.run(rest.run(Some(cursor), on_step)).expect("memory does not fail").is_at_end());
        let left = (pages + 1..cursors.len()).len();
        assert_eq!(finished == 0, left == 0, "{left} pages were left");
        assert!(read <= 62 - 10 * (pages as u64 + 1).min(3) || left == 0, "{read} items were read again");
    }
}

#[test]
fn invalid_cursor_is_refused() {
    for text in ["", "7", "zz", "5b5d", "22656e6422", "ä€"] {
        let error = text.parse::<SweepCursor>().expect_err(text).to_string();
        assert!(error.contains("no cursor"), "{error}");
    }
}

#[test]
fn sweep_reads_at_most_the_configured_units_per_second() {
    let world = World::new();
    put_records(&world, 198);
    let began = world.memory.clock.now();
    let slow = SweepSettings { units_per_second_max: 10, dry_run: true, ..unlimited() };
    let sweep = Sweep::new(world.memory.store.clone(), world.memory.ports(), slow).expect("valid settings");
    assert_eq!(world.memory.run(swept(&sweep)).len(), 199);
    let took = world.memory.clock.now().since(began);
    // 200 items cost one unit each. The sweep does not wait after the last page of a segment.
    assert!(took >= Duration::from_secs(14) && took <= Duration::from_secs(21), "{took:?}");
}

#[test]
fn sweep_checks_in_and_sends_the_bodies_of_an_old_record() {
    let world = World::with(EndpointSettings { check_in: CheckIn::AfterCommit, ..EndpointSettings::default() });
    let delivery = world.claimed("m", &ONCE);
    world.stage.plan(|_, operation| (operation == Operation::CheckIn).then_some(Fault::Refused));
    world.process(&delivery).expect_err("the message is committed, and every check-in fails");
    world.memory.run(world.memory.clock.sleep(Duration::from_millis(40 * DAY_MS)));
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    let first = world.memory.run(swept(&sweep(&world, unlimited())));
    assert!(
        !first.values().any(|swept| *swept == Swept::Finished),
        "the bodies are checked in, and every send fails: {first:?}"
    );
    world.fail(&[]);
    let second = world.memory.run(swept(&sweep(&world, unlimited())));
    assert_eq!(second.into_values().collect::<Vec<_>>(), [Swept::Finished], "the payloads were checked in just now");
    world.must_be_processed_once(&delivery);
}

#[test]
fn settings_out_of_range_are_refused() {
    let world = World::new();
    for (settings, field) in [
        (SweepSettings { segments: 0, ..unlimited() }, "segments"),
        (SweepSettings { units_per_second_max: 0, ..unlimited() }, "units_per_second_max"),
        (SweepSettings { finishing_max: 0, ..unlimited() }, "finishing_max"),
        (SweepSettings { drop_older_than_ms: Some(49 * DAY_MS), ..unlimited() }, "drop_older_than_ms"),
    ] {
        let error = Sweep::new(world.memory.store.clone(), world.memory.ports(), settings).expect_err(field);
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn sweep_reports_the_age_of_the_oldest_record() {
    #[derive(Debug, Default)]
    struct Gauge(Mutex<Vec<Duration>>);
    impl Observer for Gauge {
        fn observe(&self, _: Event) {}
        fn oldest_record(&self, age: Duration) {
            self.0.lock().expect("no thread panicked").push(age);
        }
    }

    let world = World::new();
    commit_without_dispatch(&world, &world.claimed("m", &ONCE));
    world.memory.run(world.memory.clock.sleep(Duration::from_secs(3_600)));
    let gauge = Arc::new(Gauge::default());
    let sweep = sweep(&world, unlimited()).observed_by(gauge.clone());
    for _ in 0..2 {
        world.memory.run(swept(&sweep));
    }
    let ages = gauge.0.lock().expect("no thread panicked").clone();
    assert!(ages[0] >= Duration::from_secs(3_600) && ages[0] < Duration::from_secs(3_700), "{ages:?}");
    assert_eq!(ages[1..], [Duration::ZERO], "no record is left");
}
