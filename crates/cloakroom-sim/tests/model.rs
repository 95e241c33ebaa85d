//! The model in every state of the protocol, and in the states of broken protocols.

use std::io::Write as _;

use cloakroom_sim::model::{Found, Model, SMALL, Scenario, WrongOrder};

/// Prints past the test harness, which captures the output of successful tests.
fn print_line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn scenario(name: &str) -> Scenario {
    *SMALL.iter().find(|scenario| scenario.name == name).expect("a scenario of this name")
}

fn holds(name: &str) {
    let scenario = scenario(name);
    let model = Model::new(scenario);
    let Found { states, depth, violation, unreached } = model.check_fast(1);
    print_line(&format!("model: {states:>8} states, {depth:>3} steps deep, {name}: {}", scenario.shows));
    if let Some(timeline) = violation {
        // A search that is not fast finds the shortest path.
        panic!("{name}:\n{}", model.check().violation.unwrap_or(timeline));
    }
    assert_eq!(unreached, Vec::<&str>::new(), "{name} does not show what it should");
    assert_eq!(states, scenario.states, "{name} has another number of states: has the protocol changed, or the model?");
}

/// Scenarios with more states than all others together. `cargo run --release -- model` visits them,
/// too. It must pass before a change lands.
const LONG: [&str; 16] = [
    "lost-and-unknown",
    "one-id",
    "one-id-dead-letter",
    "park-when-missing",
    "sweep",
    "id-sweep",
    "retained",
    "embedded-two-on-one",
    "embedded-deletion",
    "placements",
    "embedded-lost-and-unknown",
    "id-again",
    "embedded-sweep",
    "id-deferral",
    "fold-unknown-outcomes",
    "fold-deletion",
];

macro_rules! scenarios {
    ($($test:ident: $name:literal,)+) => {
        $(#[test]
        fn $test() {
            holds($name);
        })+

        #[test]
        fn every_scenario_is_tested_or_long() {
            let (long, tested): (Vec<_>, Vec<_>) = SMALL.iter().partition(|scenario| LONG.contains(&scenario.name));
            let names = |scenarios: &[Scenario]| scenarios.iter().map(|scenario| scenario.name).collect::<Vec<_>>();
            assert_eq!(names(&tested), [$($name),+]);
            assert_eq!(names(&long), LONG);
            assert!(long.iter().all(|scenario| scenario.states > 100_000), "{long:?}");
        }
    };
}

scenarios! {
    invariants_hold_before_commit: "before-commit",
    invariants_hold_after_commit: "after-commit",
    invariants_hold_for_ids_before_commit: "id-before-commit",
    invariants_hold_for_ids_after_commit: "id-after-commit",
    invariants_hold_during_a_deployment: "deployment",
    invariants_hold_for_two_messages_of_one_entity: "two-on-one",
    invariants_hold_for_two_subscribers: "fan-out",
    invariants_hold_across_a_deletion: "deletion",
    invariants_hold_with_unknown_outcomes: "unknown-outcomes",
    invariants_hold_with_unknown_outcomes_after_commit: "unknown-outcomes-after-commit",
    invariants_hold_with_stale_states: "stale-states",
    invariants_hold_for_a_message_without_effect: "no-effect",
    invariants_hold_for_a_rejected_message: "rejection",
    invariants_hold_for_a_dead_letter_message: "dead-letter",
    invariants_hold_for_a_dead_letter_message_with_unknown_outcomes: "dead-letter-unknown-outcomes",
    invariants_hold_for_a_message_that_is_given_up: "given-up",
    invariants_hold_for_embedded_records: "embedded",
    invariants_hold_for_embedded_records_of_ids: "id-embedded",
    invariants_hold_with_stale_reads_of_embedded_records: "embedded-late-reads",
    invariants_hold_for_an_id_that_is_used_again_after_a_sweep: "id-again-swept",
    invariants_hold_for_an_expired_tombstone: "vanished-tombstone",
    invariants_hold_for_a_dead_letter_message_with_an_embedded_record: "embedded-dead-letter",
    invariants_hold_for_a_dropped_record: "forgotten",
    invariants_hold_for_a_deferred_message: "deferral",
    invariants_hold_for_a_message_that_is_sent_again: "sent-again",
    invariants_hold_for_a_fold_with_a_deferral: "fold-deferral",
    invariants_hold_for_a_fold: "fold",
    invariants_hold_for_a_fold_with_embedded_records: "fold-embedded",
    invariants_hold_for_a_fold_after_commit: "fold-after-commit",
    invariants_hold_for_a_fold_of_a_message_and_the_message_that_it_sends: "fold-to-itself",
    invariants_hold_for_a_fold_with_a_rejection: "fold-rejection",
    invariants_hold_for_a_fold_of_three: "fold-of-three",
}

/// Asserts that the model finds a path to a state that violates this invariant.
fn violates(order: WrongOrder, name: &str, invariant: &'static [&'static str]) {
    let found = Model::new(scenario(name)).broken(order).only(invariant).check();
    let timeline = found.violation.unwrap_or_else(|| panic!("{order:?} does not violate {invariant:?} in {name}"));
    print_line(&format!("{}\n{timeline}\n", order.description().trim()));
    assert!((4..=30).contains(&timeline.len()), "{} steps explain nothing", timeline.len());
}

macro_rules! wrong_orders {
    ($($test:ident: $order:ident, $name:literal, $invariant:literal;)+) => {
        $(#[test]
        fn $test() {
            violates(WrongOrder::$order, $name, &[$invariant]);
        })+

        #[test]
        fn every_wrong_order_is_tested() {
            for order in WrongOrder::ALL {
                let tested = [$(WrongOrder::$order,)+ WrongOrder::NoRecordCondition];
                assert!(tested.contains(order), "{order:?} is not tested");
            }
        }
    };
}

wrong_orders! {
    payload_before_state: PayloadBeforeState, "before-commit", "at most once";
    derived_claims_after_commit: DerivedClaimsAfterCommit, "after-commit", "at most once";
    derived_claims_before_commit: DerivedClaimsBeforeCommit, "before-commit", "at most once";
    claims_stored_twice: ClaimsStoredTwice, "after-commit", "at most once";
    record_before_state: RecordBeforeState, "before-commit", "at most once";
    record_not_read: RecordNotRead, "before-commit", "at most once";
    clear_before_settle: ClearBeforeSettle, "before-commit", "at most once";
    payload_first: PayloadFirst, "before-commit", "no residue";
    stale_record: StaleRecord, "before-commit", "at most once";
    stale_payload: StalePayload, "before-commit", "at most once";
    stale_entry: StalePayload, "id-before-commit", "at most once";
    dispatch_before_commit: DispatchBeforeCommit, "before-commit", "no ghost";
    acknowledge_before_dispatch: AcknowledgeBeforeDispatch, "before-commit", "no loss";
    settle_before_dispatch: SettleBeforeDispatch, "before-commit", "payload lives";
    entry_before_dispatch: SettleBeforeDispatch, "id-before-commit", "payload lives";
    entry_first: EntryFirst, "id-before-commit", "no loss";
    no_commit_without_effect: NoCommitWithoutEffect, "no-effect", "no loss";
    no_version_condition: NoVersionCondition, "before-commit", "at most once";
    true_delete: TrueDelete, "deletion", "at most once";
    no_second_look: NoSecondLook, "before-commit", "no residue";
    delete_claims_after_unknown: DeleteClaimsAfterUnknown, "unknown-outcomes", "no loss";
    delete_claims_after_lost: DeleteClaimsAfterLost, "unknown-outcomes", "no loss";
    payload_before_record: PayloadBeforeRecord, "before-commit", "at most once";
    entry_before_record: PayloadBeforeRecord, "id-before-commit", "at most once";
    payload_before_embedded_record: PayloadBeforeRecord, "placements", "at most once";
    record_keyed_by_id: RecordKeyedById, "one-id", "no loss";
    record_keyed_by_id_processes_the_first_again: RecordKeyedById, "one-id", "at most once";
    sweep_without_settling: SweepWithoutSettling, "sweep", "at most once";
    sweep_without_an_entry: SweepWithoutSettling, "id-sweep", "at most once";

    // Records embedded in the state's item.
    payload_before_embedded_state: PayloadBeforeState, "embedded-two-on-one", "at most once";
    keep_classification: KeepClassification, "embedded", "at most once";
    embed_without_version: EmbedWithoutVersion, "embedded", "at most once";
    edit_embedded: EditEmbedded, "placements", "no ghost";
    drop_blindly: DropBlindly, "embedded-two-on-one", "at most once";
    drop_after_stale_look: DropAfterStaleLook, "embedded-two-on-one", "at most once";
    tombstone_without_map: TombstoneWithoutMap, "embedded-deletion", "at most once";
    trust_incomplete: TrustIncomplete, "placements", "at most once";
    separate_without_map: SeparateWithoutMap, "placements", "at most once";
    stale_second_look: StaleSecondLook, "placements", "no residue";
    drop_remembered: DropRemembered, "id-again", "at most once";
    drop_deliverable: DropDeliverable, "forgotten", "at most once";
    resume_expired: ResumeExpired, "id-again", "no loss";
    sweep_expired: SweepExpired, "id-again-swept", "no loss";
    trust_absent_state: TrustAbsentState, "vanished-tombstone", "at most once";

    // Messages that are deferred.
    acknowledge_before_deferral: AcknowledgeBeforeDeferral, "deferral", "no loss";
    settle_deferred: SettleDeferred, "deferral", "payload lives";
    settle_deferred_id: SettleDeferred, "id-deferral", "no loss";
    defer_as_another_message: DeferAsAnotherMessage, "id-deferral", "at most once";

    // Folds.
    fold_acknowledges_all: FoldAcknowledgesAll, "fold", "no loss";
    fold_commits_all: FoldCommitsAll, "fold", "at most once";
    fold_keeps_classification: FoldKeepsClassification, "fold-embedded", "at most once";
    commit_without_a_member: CommitWithoutAMember, "fold-unknown-outcomes", "at most once";
    fold_twice: FoldTwice, "fold", "at most once";
    fold_in_two_puts: FoldInTwoPuts, "fold-embedded", "at most once";
    fold_in_two_puts_with_separate_records: FoldInTwoPuts, "fold", "at most once";

    // Invariants that the wrong orders above do not violate first.
    rewritten_claims: DerivedClaimsAfterCommit, "after-commit", "no resurrection";
    versions_restart: TrueDelete, "deletion", "versions grow";
    no_worker_finishes: RecordNotRead, "before-commit", "one undisturbed worker finishes";
}

/// Settling before dispatching violates an invariant, but does no harm by itself: the next worker
/// finds the record before it reads the payload. A message is lost only with a second mistake, such
/// as reading the entry first.
#[test]
fn settling_before_dispatching_alone_loses_no_message() {
    const ALL_BUT_PAYLOAD_LIVES: &[&str] = &[
        "at most once",
        "no loss",
        "one undisturbed worker finishes",
        "no ghost",
        "no resurrection",
        "no residue",
        "versions grow",
    ];
    for name in ["before-commit", "id-before-commit", "deployment"] {
        let model = Model::new(scenario(name)).broken(WrongOrder::SettleBeforeDispatch);
        let found = model.only(ALL_BUT_PAYLOAD_LIVES).check_fast(1);
        assert!(found.violation.is_none(), "{name}: {:?}", found.violation);
    }
}

/// With the version condition, the condition that there is no record is redundant. It stays,
/// because it costs nothing, and because an operator who restores an old item may lose the version.
#[test]
fn missing_record_condition_does_no_harm() {
    for name in ["after-commit", "id-after-commit", "deletion", "unknown-outcomes", "no-effect", "given-up"] {
        let scenario = scenario(name);
        let found = Model::new(scenario).broken(WrongOrder::NoRecordCondition).check_fast(1);
        assert!(found.violation.is_none(), "{name}: {:?}", found.violation);
    }
}
