//! Many messages of one partition.

use std::time::Duration;

use cloakroom::{WorkerSettings, ports::Clock as _};

use super::bench::{Act, Bench};

#[test]
fn slow_partition_leaves_capacity_to_other_partitions_and_loses_no_message() {
    let bench = Bench::new();
    let queue = bench.memory.queues.get("jobs");
    bench.run(bench.worker(), async {
        for _ in 0..100 {
            bench.send("hot", Act::Take(20)).await;
        }
        bench.memory.clock.sleep(Duration::from_secs(5)).await;
        bench.send("cold-0", Act::Note).await;
        let began = bench.memory.clock.now();
        while !queue.is_empty() && bench.memory.clock.now().since(began) < Duration::from_secs(100_000) {
            bench.memory.clock.sleep(Duration::from_secs(30)).await;
        }
    });
    let longest = bench.longest_wait(1);
    assert!(longest < Duration::from_secs(30), "a message of another partition waited {longest:?}");
    assert_eq!(bench.reasons(), Vec::<String>::new(), "waiting must not count as a failure");
    assert_eq!(bench.waits("hot").len(), 100);
}

#[test]
fn fast_partition_may_use_all_capacity_of_a_worker() {
    let bench = Bench::new();
    bench.memory.run(async {
        for _ in 0..1_000 {
            bench.send("hot", Act::Note).await;
        }
    });
    bench.run_until_empty(bench.worker(), Duration::from_secs(60));
    let waits = bench.waits("hot");
    assert_eq!(waits.len(), 1_000);
    let longest = waits.iter().max().unwrap();
    assert!(*longest < 1_000, "1,000 messages of one partition took {longest} ms");
}

#[test]
fn partition_limit_is_checked_against_the_worker_limit() {
    let bench = Bench::new();
    for (in_flight_max, of_partition, is_possible) in [(8, Some(8), true), (8, Some(9), false), (8, Some(0), false)] {
        let settings =
            WorkerSettings { in_flight_max, partition_in_flight_max: of_partition, ..WorkerSettings::default() };
        let result = bench.memory.run(bench.worker().settings(settings).run(async {}));
        assert_eq!(result.is_ok(), is_possible, "{of_partition:?} of {in_flight_max}");
        if let Err(error) = result {
            assert!(error.to_string().contains("`partition_in_flight_max`"), "{error}");
        }
    }
    let one = WorkerSettings { in_flight_max: 1, ..WorkerSettings::default() };
    bench.memory.run(bench.worker().settings(one).run(async {})).unwrap();
}
