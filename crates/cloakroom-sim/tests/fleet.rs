//! The fleet simulation is repeatable and names the limit that really binds.

use std::time::Duration;

use cloakroom::{EndpointSettings, WorkerSettings, ports::Placement};
use cloakroom_sim::fleet::{Fleet, Latencies, Latency, Limit, PayloadPlace, Sharding, Step, sustained};

fn run(fleet: &Fleet) -> Step {
    let step = fleet.run().expect("a valid fleet");
    println!(
        "{:.0}/s of {:.0}/s, {} waiting, p50 {} ms, p99 {} ms, {} binds, {:?} {:?}",
        step.reached_per_s,
        step.offered_per_s,
        step.waiting,
        step.latency_p50_ms,
        step.latency_p99_ms,
        step.binding,
        step.utilisation,
        step.counts,
    );
    step
}

/// Separate records, payloads on S3, one commit for each message.
fn plain() -> EndpointSettings {
    EndpointSettings { fold_max: 1, ..EndpointSettings::default() }
}

/// A fleet with more than enough of everything.
fn ample() -> Fleet {
    Fleet {
        table: Sharding::fixed(64),
        payloads: Sharding::fixed(64),
        workers: 16,
        endpoint: plain(),
        ..Fleet::default()
    }
}

#[test]
fn same_seed_gives_the_same_fleet_result() {
    let fleet = Fleet { rate_per_s: 500.0, skew: 1.0, entities: 100, ..Fleet::default() };
    let first = run(&fleet);
    assert_eq!(first, run(&fleet));
    assert_ne!(first, run(&Fleet { seed: 2, ..fleet }));
}

#[test]
fn ten_times_the_rate_needs_ten_times_the_fleet() {
    let steps = [600.0, 6_000.0].map(|rate_per_s| {
        let fleet = Fleet { rate_per_s, measured: Duration::from_secs(1), endpoint: plain(), ..Fleet::default() };
        let fleet = fleet.sized().expect("a valid fleet");
        println!("{fleet:?}");
        run(&fleet)
    });
    for step in &steps {
        assert!(step.keeps_up() && step.throttles.is_empty(), "{step:?}");
    }
    let [one, ten] = steps;
    let per_offered = |step: &Step| step.reached_per_s / step.offered_per_s;
    assert!((per_offered(&one) / per_offered(&ten) - 1.0).abs() < 0.05);
    let units = |step: &Step| step.table_units.write_units / step.acknowledged as f64;
    assert!((units(&one) / units(&ten) - 1.0).abs() < 0.05);
}

#[test]
fn new_table_is_bound_by_its_write_units() {
    let step = run(&Fleet { rate_per_s: 1_500.0, table: Sharding::fixed(4), ..ample() });
    assert_eq!(step.binding, Limit::TableWrites, "{step:?}");
    assert!(step.throttles.contains_key(&Limit::TableWrites));
}

#[test]
fn table_that_splits_is_no_longer_throttled() {
    let table = Sharding { shards: 2, split_after: Some(Duration::from_secs(3)) };
    let cold = Fleet { rate_per_s: 750.0, table, warm_up: Duration::from_secs(20), ..ample() };
    let step = run(&cold);
    // Workers that were throttled pause for a while, so not every partition has to split.
    assert!(step.deployment.splits >= 1 && step.throttles.is_empty(), "{step:?}");
    assert!(step.utilisation[&Limit::TableWrites] < 1.0, "{step:?}");
}

#[test]
fn new_bucket_is_bound_by_its_writes() {
    let step = run(&Fleet { rate_per_s: 3_000.0, payloads: Sharding::fixed(1), ..ample() });
    assert_eq!(step.binding, Limit::PayloadWrites, "{step:?}");
    assert!(step.throttles.contains_key(&Limit::PayloadWrites) && !step.keeps_up(), "{step:?}");
}

#[test]
fn too_few_workers_are_the_binding_limit() {
    let step = run(&Fleet { rate_per_s: 2_000.0, workers: 1, ..ample() });
    assert_eq!(step.binding, Limit::Workers, "{step:?}");
    assert!(!step.keeps_up() && step.throttles.is_empty());
}

#[test]
fn one_entity_processes_the_calculated_rate() {
    // One message at a time, so the time is the sum of its steps: at most all of them, and at least
    // those up to the commit.
    let latencies = Latencies::default().constant();
    let fleet = Fleet { latencies, entities: 1, workers: 1, payload_place: PayloadPlace::Items, ..ample() };
    let ms = |latency: Latency| latency.p50_ms;
    let to_commit = 3.0 * ms(latencies.item_get) + ms(latencies.item_put) + ms(latencies.transaction);
    let linger_ms = fleet.endpoint.linger_ms as f64;
    let all = to_commit + linger_ms + ms(latencies.send) + 2.0 * ms(latencies.item_put);
    let ladder = sustained(&fleet, 5.0, 1_000.0).expect("a valid fleet");
    let sustained = ladder.sustained_per_s();
    println!("{sustained} a second; {} to {}", 1_000.0 / all, 1_000.0 / to_commit);
    assert!(sustained > 0.7 * 1_000.0 / all && sustained < 1.05 * 1_000.0 / to_commit);
    let too_much = ladder.too_much.expect("a rate that is too high");
    assert_eq!(too_much.binding, Limit::EntityTurns, "{too_much:?}");
}

#[test]
fn one_entity_processes_500_messages_per_second_folded_and_embedded_in_one_worker() {
    let folded = EndpointSettings { fold_max: 48, placement: Placement::Embedded, ..EndpointSettings::default() };
    let fleet = Fleet {
        endpoint: folded.clone(),
        payload_place: PayloadPlace::Items,
        workers: 1,
        entities: 1,
        rate_per_s: 500.0,
        warm_up: Duration::from_secs(2),
        measured: Duration::from_secs(3),
        ..ample()
    };
    let step = run(&fleet);
    assert!(step.keeps_up(), "{step:?}");
    assert!(step.table_units.write_units < 2.0 * step.acknowledged as f64, "less than the cost of two items: {step:?}");
    // Several workers lose commits to each other. Without folding a commit contains only one
    // message.
    for other in [Fleet { workers: 8, ..fleet.clone() }, Fleet { endpoint: plain(), ..fleet.clone() }] {
        let step = run(&other);
        assert!(!step.keeps_up(), "{step:?}");
        assert_eq!(step.binding, Limit::EntityTurns, "{step:?}");
    }
}

#[test]
fn messages_cost_the_calculated_units() {
    let calm = Fleet { rate_per_s: 300.0, entities: 100_000, measured: Duration::from_secs(2), ..ample() };
    let per_message = |fleet: &Fleet| {
        let step = run(fleet);
        assert!(step.counts.conflict < 10, "{step:?}");
        (step.table_units.write_units / step.acknowledged as f64).round()
    };
    // State and record are prepared and committed, and the record is deleted.
    assert_eq!(per_message(&calm), 5.0);
    let embedded = EndpointSettings { placement: Placement::Embedded, ..plain() };
    assert_eq!(per_message(&Fleet { endpoint: embedded, ..calm }), 1.0, "one put");
}

#[test]
fn invalid_field_is_refused_by_its_name() {
    let refused = |fleet: Fleet| fleet.run().expect_err("it makes no sense").to_string();
    assert!(refused(Fleet { rate_per_s: 0.0, ..Fleet::default() }).contains("`rate_per_s` of the fleet is 0"));
    assert!(refused(Fleet { rate_per_s: f64::NAN, ..Fleet::default() }).contains("`rate_per_s`"));
    assert!(refused(Fleet { skew: -1.0, ..Fleet::default() }).contains("`skew`"));
    assert!(refused(Fleet { payload_bytes: 400 * 1024, ..Fleet::default() }).contains("`payload_bytes`"));
    assert!(refused(Fleet { workers: 0, ..Fleet::default() }).contains("`workers`"));
    assert!(refused(Fleet { table: Sharding::fixed(0), ..Fleet::default() }).contains("`table.shards`"));
    let latencies = Latencies { send: Latency { p50_ms: 9.0, p99_ms: 8.0 }, ..Latencies::default() };
    assert!(refused(Fleet { latencies, ..Fleet::default() }).contains("`latencies.send`"));
    let worker = WorkerSettings { in_flight_max: 0, ..WorkerSettings::default() };
    assert!(refused(Fleet { worker, ..Fleet::default() }).contains("in_flight_max"));
}
