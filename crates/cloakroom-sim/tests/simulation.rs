//! The simulation is deterministic, the engine passes it, and broken stores fail it.

use std::{collections::BTreeMap, io::Write as _, process::Command};

use cloakroom_sim::simulation::{BreakPorts, Law, Ledger, Simulation, Tally, known_seeds};

mod broken;

use broken::{Flaw, sabotage};

/// A hash of the whole traces of some seeds.
fn digest() -> u64 {
    let lines = (0..40).flat_map(|seed| Simulation::new(&Ledger, seed).traced().run().trace);
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    lines.flat_map(String::into_bytes).fold(0xcbf2_9ce4_8422_2325, fnv)
}

#[test]
fn same_seed_makes_the_same_trace() {
    for seed in 0..100 {
        let [one, other] = [(); 2].map(|()| Simulation::new(&Ledger, seed).traced().run());
        assert!(one.trace.len() > 10, "seed {seed} has a trace");
        let difference = one.trace.iter().zip(&other.trace).find(|(one, other)| one != other);
        assert_eq!(difference, None, "seed {seed}");
        assert_eq!((one.trace.len(), one.tally, one.faults), (other.trace.len(), other.tally, other.faults));
    }
}

const DIGEST: &str = "digest of the traces: ";

/// Prints the digest of the traces for `another_process_makes_the_same_traces`.
#[test]
fn traces_have_a_digest() {
    println!("\n{DIGEST}{:016x}", digest());
}

#[test]
fn another_process_makes_the_same_traces() {
    let this = std::env::current_exe().expect("the path of this test");
    let output = Command::new(this).args(["--exact", "traces_have_a_digest", "--nocapture"]).output();
    let output = String::from_utf8(output.expect("a process").stdout).expect("text");
    let theirs = output.lines().find_map(|line| line.strip_prefix(DIGEST)).expect("a digest");
    assert_eq!(theirs, format!("{:016x}", digest()));
}

#[test]
fn trace_does_not_change_a_run() {
    for seed in 0..20 {
        let simulation = Simulation::new(&Ledger, seed);
        assert_eq!(simulation.run().tally, simulation.clone().traced().run().tally, "seed {seed}");
    }
}

#[test]
fn four_hundred_seeds_break_no_law() {
    let mut tally = Tally::default();
    for seed in 0..400 {
        let run = Simulation::new(&Ledger, seed).run();
        assert_eq!(run.violations, [], "`cloakroom sim --scenario ledger --seeds {seed}..{} --trace`", seed + 1);
        tally.add(&run.tally);
    }
    // Printed past the test harness, which captures the output of successful tests.
    let _ = writeln!(std::io::stdout(), "simulation: {} seeds of the ledger\n{tally}", tally.seeds);
    assert!(tally.messages > 3_600 && tally.commits > 3_600, "{tally}");
    // Every kind of fault occurred.
    assert_eq!(tally.faults.len(), 15, "{tally}");
    // Every kind of event of a record occurred, too.
    assert!(tally.folded > 120 && tally.embedded > 800 && tally.spilled > 20, "{tally}");
    assert!(tally.carried > 40 && tally.dropped > 400 && tally.retained > 40, "{tally}");
    assert!(tally.resumes > 200 && tally.duplicates > 200 && tally.redeliveries > 200 && tally.parked > 40, "{tally}");
}

#[test]
fn seeds_that_failed_once_pass_now() {
    for seed in known_seeds("ledger") {
        assert_eq!(Simulation::new(&Ledger, seed).run().violations, [], "seed {seed}");
    }
}

/// This many seeds are enough to detect each flaw. Most flaws need far fewer.
const SEEDS_MAX: u64 = 1_000;

/// Runs seeds with broken stores until all these laws were broken.
fn notices(sabotage: BreakPorts, laws: &[Law]) {
    let mut broken: BTreeMap<Law, u64> = BTreeMap::new();
    for seed in 0..SEEDS_MAX {
        for violation in Simulation::new(&Ledger, seed).on(sabotage).run().violations {
            broken.entry(violation.law).or_insert(seed);
        }
        if laws.iter().all(|law| broken.contains_key(law)) {
            println!("broken laws, and the first seed that shows it: {broken:?}");
            return;
        }
    }
    panic!("{laws:?} were not all broken within {SEEDS_MAX} seeds, only {broken:?}");
}

#[test]
fn laws_detect_stale_reads_of_records() {
    notices(|memory, ports| sabotage(Flaw::StaleRecords, memory, ports), &[Law::AtMostOnce]);
}

#[test]
fn laws_detect_stale_reads_of_payloads() {
    notices(|memory, ports| sabotage(Flaw::StalePayloads, memory, ports), &[Law::AtMostOnce, Law::NoLoss]);
}

#[test]
fn laws_detect_a_store_without_version_condition() {
    notices(|memory, ports| sabotage(Flaw::NoVersionCondition, memory, ports), &[Law::AtMostOnce, Law::Audit]);
}

#[test]
fn laws_detect_payloads_that_expire_early() {
    notices(|memory, ports| sabotage(Flaw::EarlyExpiry, memory, ports), &[Law::NoLoss, Law::Payloads]);
}

#[test]
fn laws_detect_repeated_check_ins() {
    notices(|memory, ports| sabotage(Flaw::RepeatedCheckIn, memory, ports), &[Law::AtMostOnce, Law::Claims]);
}

#[test]
fn laws_detect_claims_stored_without_condition() {
    notices(|memory, ports| sabotage(Flaw::UnconditionalClaims, memory, ports), &[Law::AtMostOnce, Law::Claims]);
}

#[test]
fn laws_detect_missing_tombstones() {
    notices(|memory, ports| sabotage(Flaw::NoTombstone, memory, ports), &[Law::AtMostOnce, Law::Versions]);
}

#[test]
fn laws_detect_embedded_records_dropped_without_a_check() {
    notices(|memory, ports| sabotage(Flaw::EmbeddedDropped, memory, ports), &[Law::AtMostOnce]);
}

#[test]
fn laws_detect_separate_commits_that_drop_embedded_records() {
    notices(|memory, ports| sabotage(Flaw::DroppedBySeparate, memory, ports), &[Law::AtMostOnce]);
}

#[test]
fn laws_detect_tombstones_without_embedded_records() {
    notices(|memory, ports| sabotage(Flaw::TombstoneWithoutRecords, memory, ports), &[Law::AtMostOnce]);
}

#[test]
fn laws_detect_embedded_commits_that_do_not_increase_the_version() {
    notices(|memory, ports| sabotage(Flaw::VersionUnchanged, memory, ports), &[Law::AtMostOnce, Law::Versions]);
}

#[test]
fn laws_detect_separate_records_that_are_not_looked_for() {
    notices(|memory, ports| sabotage(Flaw::ReportedComplete, memory, ports), &[Law::AtMostOnce]);
}

#[test]
fn laws_detect_torn_folds() {
    notices(|memory, ports| sabotage(Flaw::TornFold, memory, ports), &[Law::NoGhost, Law::Payloads]);
}

/// Shrinks the first seed that breaks this law.
fn shrinks(sabotage: BreakPorts, law: Law) {
    let simulation = |seed| Simulation::new(&Ledger, seed).on(sabotage);
    let breaks = |seed: &u64| simulation(*seed).run().violations.first().is_some_and(|it| it.law == law);
    let seed = (0..300).find(breaks).expect("a seed that breaks the law");
    let whole = simulation(seed).traced().run();
    let shrunk = simulation(seed).shrink().expect("it breaks a law");
    println!("seed {seed}, of {} lines and {} faults\n{shrunk}", whole.trace.len(), whole.faults.len());
    assert_eq!(shrunk.violation.law, law);
    assert!(shrunk.faults.len() <= 5, "{shrunk}");
    assert!((1..=60).contains(&shrunk.timeline.len()), "{shrunk}");
    assert!(shrunk.timeline.len() * 5 < whole.trace.len());
}

#[test]
fn a_resurrected_message_shrinks_to_a_short_timeline() {
    shrinks(|memory, ports| sabotage(Flaw::RepeatedCheckIn, memory, ports), Law::AtMostOnce);
}

#[test]
fn a_lost_message_shrinks_to_a_short_timeline() {
    shrinks(|memory, ports| sabotage(Flaw::EarlyExpiry, memory, ports), Law::Payloads);
}

#[test]
fn a_lost_update_shrinks_to_a_short_timeline() {
    shrinks(|memory, ports| sabotage(Flaw::NoVersionCondition, memory, ports), Law::AtMostOnce);
}

#[test]
fn record_dropped_without_a_check_shrinks_to_a_short_timeline() {
    shrinks(|memory, ports| sabotage(Flaw::EmbeddedDropped, memory, ports), Law::AtMostOnce);
}

#[test]
fn a_torn_fold_shrinks_to_a_short_timeline() {
    shrinks(|memory, ports| sabotage(Flaw::TornFold, memory, ports), Law::NoGhost);
}

#[test]
fn passing_seed_is_not_shrunk() {
    assert!(Simulation::new(&Ledger, 1).shrink().is_none());
}
