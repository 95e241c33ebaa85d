//! The backend in memory passes the laws of every port, and backends with a flaw do not.

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
fn several_stores_pass_the_laws_of_payload_stores() {
    let memory = Memory::new();
    let store = |name: &str| Arc::new(MemoryPayloads::named(name));
    let placed = RoutedPayloads::new(memory.payloads.clone()).small(store("small"), 4_072).expect("another name");
    let placed = placed.also(store("old")).expect("another name");
    memory.run(conformance::payload_store(&placed, "placed"));
}

#[test]
fn memory_passes_the_laws_of_queues() {
    let memory = Memory::with_queues(["laws"]);
    let queue = memory.queues.get("laws");
    memory.run(conformance::queue(&*queue, &*memory.clock, "memory"));
    assert!(queue.is_empty(), "the laws leave {:?}", queue.messages());
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
fn memory_passes_the_laws_of_queues_by_name() {
    let memory = Memory::with_queues(["laws"]);
    memory.run(conformance::queues(&*memory.queues, "laws", "memory"));
}

#[test]
fn laws_of_two_scopes_do_not_meet() {
    let memory = Memory::new();
    memory.run(async {
        conformance::partition_store(&*memory.store, "one").await;
        conformance::partition_store(&*memory.store, "two").await;
        conformance::payload_store(&*memory.payloads, "one").await;
        conformance::payload_store(&*memory.payloads, "two").await;
    });
}

/// Runs `laws` and demands that this one is found broken.
fn must_break(law: &str, flaw: &dyn std::fmt::Debug, laws: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(laws)) else { panic!("{flaw:?} passes all laws") };
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.starts_with(&format!("law `{law}` is broken: ")), "{flaw:?} was found as: {text}");
}

#[test]
fn a_flaw_of_a_partition_store_is_found() {
    for (flaw, law) in [
        (StoreFlaw::ReadsLate, "what_was_committed_is_read"),
        (StoreFlaw::LosesTheVersionOfTombstones, "every_commit_moves_the_version_by_one"),
        (StoreFlaw::IgnoresTheVersion, "a_tombstone_hides_the_state_and_keeps_the_version"),
        (StoreFlaw::IgnoresNewerVersions, "any_other_version_conflicts"),
        (StoreFlaw::IgnoresTheRecord, "a_record_conflicts_at_the_right_version"),
        (StoreFlaw::ClearsNothing, "a_cleared_record_does_not_conflict"),
        (StoreFlaw::AppliesRepeats, "a_repeated_commit_is_not_applied_twice"),
        (StoreFlaw::LooksBeforeItWrites, "of_concurrent_commits_on_one_version_one_is_applied"),
        (StoreFlaw::FailsToClearNothing, "a_clear_can_be_repeated"),
        (StoreFlaw::MixesEndpoints, "endpoints_in_one_partition_are_apart"),
        (StoreFlaw::StoresClaimsAgain, "claims_are_stored_once"),
        (StoreFlaw::StoresClaimsWithoutRecord, "claims_are_not_stored_without_a_record"),
        (StoreFlaw::DropsEmbedded, "embedded_records_are_kept_as_they_are_given"),
        (StoreFlaw::ForgetsWhatIsBeside, "embedded_records_are_kept_as_they_are_given"),
        (StoreFlaw::SeesNoRecordsBeside, "records_beside_the_state_are_known_to_be_there"),
        (StoreFlaw::WritesTheFirstOfSeveral, "several_messages_are_committed_together"),
        (StoreFlaw::RetainsNothing, "a_record_is_retained_where_there_is_one"),
        (StoreFlaw::NamesNoItem, "an_item_not_as_demanded_conflicts_by_name"),
        (StoreFlaw::WritesItemsOnConflict, "a_conflict_writes_nothing"),
        (StoreFlaw::RoundsNumbers, "every_type_of_attribute_survives"),
        (StoreFlaw::KeepsFailures, "failures_are_kept_apart_from_state_and_record"),
        (StoreFlaw::ClearsRecordsForFailures, "failures_are_kept_apart_from_state_and_record"),
        (StoreFlaw::IgnoresCase, "odd_keys_are_kept_apart"),
        (StoreFlaw::CutsMessageIds, "long_keys_are_kept_apart"),
        (StoreFlaw::FailsOnTooLarge, "too_many_items_are_refused_by_number"),
        (StoreFlaw::IgnoresOwners, "item_of_another_endpoint_is_refused_by_name"),
        (StoreFlaw::NamesNoOwner, "item_of_another_endpoint_is_refused_by_name"),
        (StoreFlaw::TakesEveryValue, "value_that_is_not_stored_is_refused_by_its_path"),
        (StoreFlaw::TakesEmptyKeys, "empty_key_is_refused"),
    ] {
        let memory = Memory::new();
        let store = FlawedStore::new(&memory, flaw);
        must_break(law, &flaw, || memory.run(conformance::partition_store(&store, "flawed")));
    }
}

#[test]
fn a_flaw_in_finding_records_is_found() {
    for (flaw, law) in [
        (RecordsFlaw::LosesTheLastOfAPage, "every_record_is_found_once"),
        (RecordsFlaw::LosesASegment, "every_record_is_found_once"),
        (RecordsFlaw::IgnoresSegments, "every_record_is_found_once"),
        (RecordsFlaw::BeginsAgain, "every_record_is_found_once"),
        (RecordsFlaw::LosesMessages, "every_record_is_found_once"),
        (RecordsFlaw::HidesRecords, "all_items_of_a_partition_are_read"),
    ] {
        let memory = Memory::new();
        let records = FlawedRecords { flaw, store: memory.store.clone() };
        must_break(law, &flaw, || memory.run(conformance::records(&records, &*memory.store, "flawed")));
    }
}

#[test]
fn a_flaw_of_a_payload_store_is_found() {
    for (flaw, law) in [
        (PayloadFlaw::MissingIsAnError, "a_payload_never_checked_in_is_missing"),
        (PayloadFlaw::NothingIsMissing, "a_payload_is_read_as_it_was_checked_in"),
        (PayloadFlaw::CutsPayloads, "a_mebibyte_is_read_as_it_was_checked_in_or_refused"),
        (PayloadFlaw::ReadingTakesAway, "reading_does_not_take_the_payload_away"),
        (PayloadFlaw::DeletesNothing, "a_deleted_payload_is_missing"),
        (PayloadFlaw::FailsToDeleteNothing, "a_delete_can_be_repeated"),
        (PayloadFlaw::ForgetsEntries, "an_entry_is_absent_until_it_is_put"),
        (PayloadFlaw::FailsToPutAgain, "an_entry_can_be_put_again"),
        (PayloadFlaw::MixesEndpoints, "entries_belong_to_one_endpoint"),
        (PayloadFlaw::DropsPlus, "odd_message_ids_are_kept_apart"),
        (PayloadFlaw::CutsIds, "long_message_ids_are_kept_apart"),
        (PayloadFlaw::RefusesForNow, "a_mebibyte_is_read_as_it_was_checked_in_or_refused"),
        (PayloadFlaw::PlacesElsewhere, "payloads_of_every_size_have_a_place"),
    ] {
        let memory = Memory::new();
        let store = FlawedPayloads::new(&memory, flaw);
        must_break(law, &flaw, || memory.run(conformance::payload_store(&store, "flawed")));
    }
}

#[test]
fn a_flaw_of_a_queue_is_found() {
    for (flaw, law) in [
        (QueueFlaw::EmptyIsAnError, "an_empty_queue_answers_with_nothing"),
        (QueueFlaw::FailsToDoNothing, "nothing_to_do_is_answered_with_nothing"),
        (QueueFlaw::DropsAttributes, "body_and_attributes_arrive_unchanged"),
        (QueueFlaw::LosesOne, "any_number_of_messages_can_be_sent"),
        (QueueFlaw::IgnoresMax, "no_more_is_received_than_was_asked_for"),
        (QueueFlaw::DeletesNothing, "a_deleted_message_does_not_return"),
        (QueueFlaw::FailsToDeleteAgain, "a_delete_can_be_repeated"),
        (QueueFlaw::AcceptsEveryReceipt, "a_receipt_that_was_never_given_fails_alone"),
        (QueueFlaw::FailsAllForOne, "a_receipt_that_was_never_given_fails_alone"),
        (QueueFlaw::DeletesOnReceive, "the_end_of_a_lease_gives_the_message_back"),
        (QueueFlaw::LeasesForEver, "the_end_of_a_lease_gives_the_message_back"),
        (QueueFlaw::ExtendsNothing, "visibility_of_nothing_gives_the_message_back"),
        (QueueFlaw::ExtendGivesBack, "visibility_holds_a_message_back"),
        (QueueFlaw::CountsNothing, "the_receive_count_grows"),
        (QueueFlaw::NumbersDeliveries, "a_message_keeps_its_id"),
        (QueueFlaw::IgnoresDelays, "a_delayed_message_is_held_back"),
        (QueueFlaw::PollsToTheEnd, "a_long_poll_ends_when_a_message_comes"),
    ] {
        let memory = Memory::with_queues(["laws"]);
        let queue = FlawedQueue::new(&memory, flaw);
        must_break(law, &flaw, || memory.run(conformance::queue(&queue, &*memory.clock, "flawed")));
    }
}
