//! Failures of services: which slow receiving, and which affect only one partition.

use std::time::Duration;

use cloakroom::ports::Clock as _;

use super::bench::{Act, Bench, set};

#[test]
fn denied_table_slows_receiving_and_parks_no_message() {
    let bench = Bench::new();
    bench.run(bench.worker(), async {
        // A worker that finds the table denied at its start does not start.
        bench.memory.clock.sleep(Duration::from_secs(1)).await;
        set(&bench.faults.table_denied, true);
        for number in 0..200 {
            bench.send(&format!("p-{number}"), Act::Note).await;
        }
        bench.memory.clock.sleep(Duration::from_secs(3_600)).await;
        let released = bench.counters.counts().given_back;
        assert!(released < 200 * 4, "{released} messages were released, each after one receive");
        set(&bench.faults.table_denied, false);
        bench.memory.clock.sleep(Duration::from_secs(3_600)).await;
    });
    assert_eq!(bench.counters.counts().processed, 200);
    assert_eq!(bench.reasons(), Vec::<String>::new());
}

/// The longest wait of other messages while the messages of one partition make no progress.
fn longest_wait_during_hot_partition(bench: &Bench) -> Duration {
    bench.run(bench.worker(), async {
        bench.send("hot", Act::Note).await;
        bench.traffic(360, Duration::from_secs(20)).await;
    });
    assert_eq!(bench.reasons(), Vec::<String>::new(), "contention must park no message");
    assert_eq!(bench.waits("hot"), Vec::<u64>::new());
    bench.longest_wait(360)
}

#[test]
fn contended_partition_does_not_delay_other_partitions() {
    let bench = Bench::new();
    set(&bench.faults.hot_contended, true);
    let longest = longest_wait_during_hot_partition(&bench);
    assert!(longest < Duration::from_secs(1), "another message waited {longest:?}");
}

#[test]
fn transaction_conflicts_in_one_partition_do_not_delay_other_partitions() {
    let bench = Bench::new();
    set(&bench.faults.hot_conflicts, true);
    let longest = longest_wait_during_hot_partition(&bench);
    assert!(longest < Duration::from_secs(1), "another message waited {longest:?}");
}
