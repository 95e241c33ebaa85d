//! The simulation: it is deterministic, the engine passes it, and a broken world does not.

use std::{collections::BTreeMap, io::Write as _, process::Command};

use cloakroom_sim::simulation::{Law, Ledger, Sabotage, Simulation, Tally, known_seeds};

mod broken;

use broken::{Flaw, sabotage};

/// The whole trace of some seeds, in one number.
fn digest() -> u64 {
    let lines = (0..40).flat_map(|seed| Simulation::new(&Ledger, seed).traced().run().trace);
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    lines.flat_map(String::into_bytes).fold(0xcbf2_9ce4_8422_2325, fnv)
}

#[test]
fn the_same_seed_makes_the_same_trace() {
    for seed in 0..100 {
        let [one, other] = [(); 2].map(|()| Simulation::new(&Ledger, seed).traced().run());
        assert!(one.trace.len() > 10, "seed {seed} has a trace");
        let difference = one.trace.iter().zip(&other.trace).find(|(one, other)| one != other);
        assert_eq!(difference, None, "seed {seed}");
        assert_eq!((one.trace.len(), one.tally, one.faults), (other.trace.len(), other.tally, other.faults));
    }
}

const DIGEST: &str = "digest of the traces: ";

/// Tells another process's run of this file what the traces are here.
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
fn a_trace_is_an_observation() {
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
    // Past the test harness, which keeps what a successful test prints to itself.
    let _ = writeln!(std::io::stdout(), "simulation: {} seeds of the ledger\n{tally}", tally.seeds);
    assert!(tally.messages > 3_600 && tally.commits > 3_600, "{tally}");
    // Whatever can go wrong did.
    assert_eq!(tally.faults.len(), 15, "{tally}");
    // And so did whatever can become of a record.
    assert!(tally.folded > 120 && tally.embedded > 800 && tally.spilled > 20, "{tally}");
    assert!(tally.carried > 40 && tally.dropped > 400 && tally.retained > 40, "{tally}");
    assert!(tally.resumes > 200 && tally.duplicates > 200 && tally.redeliveries > 200 && tally.parked > 40, "{tally}");
}

#[test]
fn seeds_that_failed_once_do_no_more() {
    for seed in known_seeds("ledger") {
        assert_eq!(Simulation::new(&Ledger, seed).run().violations, [], "seed {seed}");
    }
}

/// So many seeds are enough to notice any of the flaws; most need far less.
const SEEDS_MAX: u64 = 1_000;

/// Runs seeds in a broken world until all these laws were broken.
fn notices(sabotage: Sabotage, laws: &[Law]) {
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
    panic!("{laws:?} were not all broken within {SEEDS_MAX} seeds, but {broken:?}");
}

#[test]
fn stale_reads_of_records_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::StaleRecords, memory, ports), &[Law::AtMostOnce]);
}

#[test]
fn stale_reads_of_payloads_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::StalePayloads, memory, ports), &[Law::AtMostOnce, Law::NoLoss]);
}

#[test]
fn a_store_without_version_condition_is_noticed() {
    notices(|memory, ports| sabotage(Flaw::NoVersionCondition, memory, ports), &[Law::AtMostOnce, Law::Audit]);
}

#[test]
fn payloads_that_expire_early_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::EarlyExpiry, memory, ports), &[Law::NoLoss, Law::Payloads]);
}

#[test]
fn repeated_check_ins_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::RepeatedCheckIn, memory, ports), &[Law::AtMostOnce, Law::Claims]);
}

#[test]
fn claims_stored_without_condition_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::UnconditionalClaims, memory, ports), &[Law::AtMostOnce, Law::Claims]);
}

#[test]
fn missing_tombstones_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::NoTombstone, memory, ports), &[Law::AtMostOnce, Law::Versions]);
}

#[test]
fn embedded_records_that_are_dropped_blindly_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::EmbeddedDropped, memory, ports), &[Law::AtMostOnce]);
}

#[test]
fn embedded_records_that_a_commit_beside_drops_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::DroppedBeside, memory, ports), &[Law::AtMostOnce]);
}

#[test]
fn tombstones_without_embedded_records_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::TombstoneWithoutRecords, memory, ports), &[Law::AtMostOnce]);
}

#[test]
fn embedded_commits_that_do_not_move_the_version_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::VersionStands, memory, ports), &[Law::AtMostOnce, Law::Versions]);
}

#[test]
fn records_beside_that_are_believed_not_to_be_there_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::BelievedComplete, memory, ports), &[Law::AtMostOnce]);
}

#[test]
fn folds_that_are_torn_are_noticed() {
    notices(|memory, ports| sabotage(Flaw::TornFold, memory, ports), &[Law::NoGhost, Law::Payloads]);
}

/// Shrinks the first seed that breaks this law.
fn shrinks(sabotage: Sabotage, law: Law) {
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
fn a_record_that_is_dropped_blindly_shrinks_to_a_short_timeline() {
    shrinks(|memory, ports| sabotage(Flaw::EmbeddedDropped, memory, ports), Law::AtMostOnce);
}

#[test]
fn a_torn_fold_shrinks_to_a_short_timeline() {
    shrinks(|memory, ports| sabotage(Flaw::TornFold, memory, ports), Law::NoGhost);
}

#[test]
fn what_is_sound_is_not_shrunk() {
    assert!(Simulation::new(&Ledger, 1).shrink().is_none());
}
