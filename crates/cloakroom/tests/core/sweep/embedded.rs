//! Embedded records that a sweep drops.

use super::*;

pub(super) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Commits a state with embedded records, one for each store. Each record's message has its payload
/// in that store.
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
fn sweep_drops_only_embedded_records_whose_messages_cannot_return() {
    let world = World::new();
    embed(&world, &["memory", "left-out", "left-out-too"]);
    let drops = SweepSettings { drop_older_than_ms: Some(50 * DAY_MS), ..unlimited() };
    let result_of = |settings: &SweepSettings| {
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
    assert_left(&result_of(&drops), "left-out", "is in store `left-out`");
    pass(1);
    assert_left(&result_of(&unlimited()), "left-out", "is in store `left-out`");
    let dry = result_of(&SweepSettings { dry_run: true, ..drops.clone() });
    assert_eq!(dry["left-out"], Swept::Droppable);
    assert_eq!(result_of(&drops)["left-out"], Swept::Dropped);
    let partition = account();
    let reading = world.memory.store.read_state(&partition, "bank", Consistency::Strong);
    let read = world.memory.run(reading).expect("memory");
    assert_eq!(
        read.version,
        Version::new(3),
        "each of the two drops is a commit, and the record in store `memory` stays"
    );
    assert_eq!(read.state, Some(Item::default()));
    assert_eq!(read.embedded.records.into_keys().collect::<Vec<_>>(), [MessageId::from("memory")]);
}

/// Asserts that a sweep after this many days finds the message settled, and that a later message of
/// the same id is processed as a new one.
#[track_caller]
fn assert_id_is_free_after(days: u64, settings: EndpointSettings) {
    let world = World::with(EndpointSettings { placement: Placement::Embedded, ..settings });
    let delivery = world.plain("m", &[Act::Add(1)]);
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
    world.memory.run(world.memory.clock.sleep(Duration::from_millis(days * DAY_MS)));
    world.memory.payloads.expire_entries();
    let all = world.memory.run(swept(&sweep(&world, unlimited())));
    assert_eq!(all.into_values().collect::<Vec<_>>(), [Swept::Settled]);
    assert_eq!(world.outcome(&delivery), Outcome::Processed, "the id belongs to a new message");
}

#[test]
fn sweep_does_not_extend_the_dedupe_window_of_an_id() {
    assert_id_is_free_after(51, EndpointSettings::default());
}

#[test]
fn sweep_respects_a_configured_dedupe_window() {
    assert_id_is_free_after(31, EndpointSettings { tombstone_ttl_ms: 30 * DAY_MS, ..EndpointSettings::default() });
}
