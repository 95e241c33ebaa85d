//! The backend in memory passes the laws of every port, and every flawed backend breaks a law.

use crate::flawed;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use cloakroom::{
    conformance,
    memory::{Memory, MemoryPayloads},
    ports::{Bounded, PartitionStore, PayloadStore, Queue, Queues, Records, RoutedPayloads},
};
use flawed::{FlawedPayloads, FlawedQueue, FlawedRecords, FlawedStore, PayloadFlaw, QueueFlaw, RecordsFlaw, StoreFlaw};

#[test]
fn memory_passes_the_laws_of_partition_stores() {
    let memory = Memory::new();
    memory.run(conformance::partition_store(&*memory.store, "memory"));
}

#[test]
fn memory_passes_the_laws_of_records() {
    let memory = Memory::new();
    memory.run(conformance::records(&*memory.store, &*memory.store, "memory"));
}

#[test]
fn memory_passes_the_laws_of_payload_stores() {
    let memory = Memory::new();
    memory.run(conformance::payload_store(&*memory.payloads, "memory"));
}

#[test]
fn routed_payload_stores_pass_the_laws_of_payload_stores() {
    let memory = Memory::new();
    let store = |name: &str| Arc::new(MemoryPayloads::named(name));
    let routed = RoutedPayloads::new(memory.payloads.clone()).small(store("small"), 4_072).expect("another name");
    let routed = routed.also(store("old")).expect("another name");
    memory.run(conformance::payload_store(&routed, "placed"));
}

#[test]
fn memory_passes_the_laws_of_queues() {
    let memory = Memory::with_queues(["laws"]);
    let queue = memory.queues.get("laws");
    memory.run(conformance::queue(&*queue, &*memory.clock, "memory"));
    assert!(queue.is_empty(), "the laws left {:?}", queue.messages());
}

#[test]
fn bounded_ports_pass_the_laws_of_their_ports() {
    let (memory, bound) = (Memory::with_queues(["bounded"]), Duration::from_secs(10));
    let store = Bounded::<dyn PartitionStore>::new(memory.store.clone(), memory.clock.clone(), bound);
    memory.run(conformance::partition_store(&store, "bounded"));
    let payloads = Bounded::<dyn PayloadStore>::new(memory.payloads.clone(), memory.clock.clone(), bound);
    memory.run(conformance::payload_store(&payloads, "bounded"));
    let records = Bounded::<dyn Records>::new(memory.store.clone(), memory.clock.clone(), bound);
    memory.run(conformance::records(&records, &store, "bounded-records"));
    let queues = Bounded::<dyn Queues>::new(memory.queues.clone(), memory.clock.clone(), bound);
    let queue: Arc<dyn Queue> = memory.run(queues.open("bounded")).expect("memory has the queue");
    memory.run(conformance::queue(&*queue, &*memory.clock, "bounded"));
    assert!(memory.queues.get("bounded").is_empty());
}

#[test]
fn memory_passes_the_laws_of_opening_queues() {
    let memory = Memory::with_queues(["laws"]);
    memory.run(conformance::queues(&*memory.queues, "laws", "memory"));
}

#[test]
fn laws_of_two_scopes_do_not_interfere() {
    let memory = Memory::new();
    memory.run(async {
        conformance::partition_store(&*memory.store, "one").await;
        conformance::partition_store(&*memory.store, "two").await;
        conformance::payload_store(&*memory.payloads, "one").await;
        conformance::payload_store(&*memory.payloads, "two").await;
    });
}

/// Runs `laws` and requires that they report `law` as broken.
fn must_break(law: &str, flaw: &dyn std::fmt::Debug, laws: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(laws)) else { panic!("{flaw:?} passes all laws") };
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.starts_with(&format!("law `{law}` is broken: ")), "{flaw:?} was reported as: {text}");
}

#[test]
fn every_flaw_of_a_partition_store_breaks_its_law() {
    for (flaw, law) in [
        (StoreFlaw::ReadsLate, "committed_state_and_record_are_read"),
        (StoreFlaw::LosesTheVersionOfTombstones, "every_commit_increases_the_version_by_one"),
        (StoreFlaw::IgnoresTheVersion, "a_tombstone_hides_the_state_and_keeps_the_version"),
        (StoreFlaw::IgnoresNewerVersions, "commit_on_another_version_conflicts"),
        (StoreFlaw::IgnoresTheRecord, "commit_of_a_message_with_a_record_conflicts"),
        (StoreFlaw::ClearsNothing, "a_cleared_record_does_not_conflict"),
        (StoreFlaw::AppliesRepeats, "a_repeated_commit_is_not_applied_twice"),
        (StoreFlaw::ChecksBeforeItWrites, "only_one_of_concurrent_commits_on_one_version_is_applied"),
        (StoreFlaw::FailsToClearNothing, "a_clear_can_be_repeated"),
        (StoreFlaw::MixesEndpoints, "endpoints_in_one_partition_are_independent"),
        (StoreFlaw::StoresClaimsAgain, "claims_are_stored_once"),
        (StoreFlaw::StoresClaimsWithoutRecord, "claims_are_not_stored_without_a_record"),
        (StoreFlaw::DropsEmbedded, "commit_keeps_the_embedded_records_that_it_is_given"),
        (StoreFlaw::ForgetsSeparateRecords, "commit_keeps_the_embedded_records_that_it_is_given"),
        (StoreFlaw::ReportsNoSeparateRecords, "separate_records_of_an_endpoint_are_reported"),
        (StoreFlaw::WritesTheFirstOfSeveral, "several_messages_are_committed_together"),
        (StoreFlaw::RetainsNothing, "only_an_existing_record_is_retained"),
        (StoreFlaw::NamesNoItem, "failed_item_condition_conflicts_and_names_the_item"),
        (StoreFlaw::WritesItemsOnConflict, "a_conflict_writes_nothing"),
        (StoreFlaw::RoundsNumbers, "every_type_of_attribute_is_read_unchanged"),
        (StoreFlaw::KeepsFailures, "failures_are_independent_of_state_and_record"),
        (StoreFlaw::ClearsRecordsForFailures, "failures_are_independent_of_state_and_record"),
        (StoreFlaw::IgnoresCase, "unusual_keys_are_distinct"),
        (StoreFlaw::CutsMessageIds, "long_keys_are_distinct"),
        (StoreFlaw::FailsOnTooLarge, "refusal_of_too_many_items_names_their_number"),
        (StoreFlaw::IgnoresOwners, "refusal_of_the_item_of_another_endpoint_names_both"),
        (StoreFlaw::NamesNoOwner, "refusal_of_the_item_of_another_endpoint_names_both"),
        (StoreFlaw::AcceptsEveryValue, "refusal_of_an_unsupported_value_names_its_path"),
        (StoreFlaw::AcceptsEmptyKeys, "empty_key_is_refused"),
    ] {
        let memory = Memory::new();
        let store = FlawedStore::new(&memory, flaw);
        must_break(law, &flaw, || memory.run(conformance::partition_store(&store, "flawed")));
    }
}

#[test]
fn every_flaw_in_finding_records_breaks_its_law() {
    for (flaw, law) in [
        (RecordsFlaw::LosesTheLastOfAPage, "every_record_is_found_once"),
        (RecordsFlaw::LosesASegment, "every_record_is_found_once"),
        (RecordsFlaw::IgnoresSegments, "every_record_is_found_once"),
        (RecordsFlaw::RestartsAtEveryPage, "every_record_is_found_once"),
        (RecordsFlaw::LosesMessages, "every_record_is_found_once"),
        (RecordsFlaw::HidesRecords, "all_items_of_a_partition_are_read"),
    ] {
        let memory = Memory::new();
        let records = FlawedRecords { flaw, store: memory.store.clone() };
        must_break(law, &flaw, || memory.run(conformance::records(&records, &*memory.store, "flawed")));
    }
}

#[test]
fn every_flaw_of_a_payload_store_breaks_its_law() {
    for (flaw, law) in [
        (PayloadFlaw::MissingIsAnError, "a_payload_never_checked_in_is_missing"),
        (PayloadFlaw::EmptyIsMissing, "a_payload_is_read_as_it_was_checked_in"),
        (PayloadFlaw::CutsPayloads, "mebibyte_payload_is_read_unchanged_or_refused"),
        (PayloadFlaw::ReadingDeletes, "reading_does_not_delete_the_payload"),
        (PayloadFlaw::DeletesNothing, "a_deleted_payload_is_missing"),
        (PayloadFlaw::FailsToDeleteNothing, "a_delete_can_be_repeated"),
        (PayloadFlaw::ForgetsEntries, "an_entry_is_absent_until_it_is_put"),
        (PayloadFlaw::FailsToPutAgain, "an_entry_can_be_put_again"),
        (PayloadFlaw::MixesEndpoints, "entries_belong_to_one_endpoint"),
        (PayloadFlaw::ReplacesPlus, "unusual_message_ids_are_distinct"),
        (PayloadFlaw::CutsIds, "long_message_ids_are_distinct"),
        (PayloadFlaw::RefusesTemporarily, "mebibyte_payload_is_read_unchanged_or_refused"),
        (PayloadFlaw::PlacesInAnUnknownStore, "payload_of_every_size_has_a_store"),
    ] {
        let memory = Memory::new();
        let store = FlawedPayloads::new(&memory, flaw);
        must_break(law, &flaw, || memory.run(conformance::payload_store(&store, "flawed")));
    }
}

#[test]
fn every_flaw_of_a_queue_breaks_its_law() {
    for (flaw, law) in [
        (QueueFlaw::EmptyIsAnError, "receive_from_an_empty_queue_returns_no_message"),
        (QueueFlaw::FailsToDoNothing, "call_without_entries_returns_no_results"),
        (QueueFlaw::DropsAttributes, "body_and_attributes_arrive_unchanged"),
        (QueueFlaw::LosesOne, "any_number_of_messages_can_be_sent"),
        (QueueFlaw::IgnoresMax, "receive_returns_at_most_the_requested_number"),
        (QueueFlaw::DeletesNothing, "deleted_message_is_not_received_again"),
        (QueueFlaw::FailsToDeleteAgain, "a_delete_can_be_repeated"),
        (QueueFlaw::AcceptsEveryReceipt, "unknown_receipt_fails_alone"),
        (QueueFlaw::FailsAllForOne, "unknown_receipt_fails_alone"),
        (QueueFlaw::DeletesOnReceive, "message_is_visible_again_after_its_visibility_timeout"),
        (QueueFlaw::HidesForever, "message_is_visible_again_after_its_visibility_timeout"),
        (QueueFlaw::ExtendsNothing, "visibility_timeout_of_zero_makes_the_message_visible"),
        (QueueFlaw::ExtendMakesVisible, "extended_visibility_timeout_hides_the_message"),
        (QueueFlaw::CountsNothing, "the_receive_count_grows"),
        (QueueFlaw::NumbersDeliveries, "a_message_keeps_its_id"),
        (QueueFlaw::IgnoresDelays, "delayed_message_is_not_received_early"),
        (QueueFlaw::PollsToTheEnd, "long_poll_ends_when_a_message_arrives"),
    ] {
        let memory = Memory::with_queues(["laws"]);
        let queue = FlawedQueue::new(&memory, flaw);
        must_break(law, &flaw, || memory.run(conformance::queue(&queue, &*memory.clock, "flawed")));
    }
}
