//! The effects of calls whose responses are lost, and of calls that are throttled or conflict.

use std::time::Duration;

use bytes::Bytes;
use cloakroom::{
    MessageId, Partition, PortError,
    format::{Claim, Item, Record},
    ports::{Commit, Committed, Conflict, PartitionStore, Placement, QueueMessage, RecordKey, StateWrite},
    protocol::{Consistency, Version},
};
use cloakroom_local::Faults;

use crate::embedded::Embedded;

const ALL_LOST: Faults = Faults { lost_responses: 1.0, ..NONE };

pub(crate) const NONE: Faults = Faults {
    throttled: 0.0,
    transaction_conflicts: 0.0,
    server_errors: 0.0,
    lost_responses: 0.0,
    silences: 0.0,
    duplicate_deliveries: 0.0,
    late_deliveries: 0.0,
    late_delivery_ms_max: 0,
    seed: 7,
};

async fn commit(store: &dyn PartitionStore, token: &str) -> Result<Committed, PortError> {
    let (state, record) = (StateWrite::Put(Item::default()), Record::default());
    let commit = Commit {
        partition: &"p".into(),
        endpoint: "orders",
        expected: Version::ABSENT,
        state: &state,
        records: &[(&"m".into(), &record)],
        kept: &cloakroom::ports::Embedded::default(),
        embedded_bytes_max: 0,
        items: &[],
        token,
    };
    store.commit(commit).await
}

async fn version(store: &dyn PartitionStore) -> u64 {
    store.read_state(&"p".into(), "orders", Consistency::Strong).await.unwrap().version.number()
}

#[tokio::test]
async fn check_in_whose_response_is_lost_was_sent_once() {
    let world = Embedded::start(&[]).await;
    let payloads = world.aws.ports().payloads;
    let claims: Vec<Claim> = (0..6).map(|bits| Claim::from_random(bits, "coats")).collect();
    world.local.set_faults(ALL_LOST).unwrap();
    let before = world.local.usage();
    for claim in &claims {
        let error = payloads.check_in(claim, Bytes::from_static(b"{}")).await.unwrap_err();
        assert!(error.may_have_happened() && error.may_be_repeated(), "{error}");
    }
    assert_eq!(world.local.usage().since(&before).s3.requests["PutObject"], 6, "one request for each claim");
    world.local.set_faults(NONE).unwrap();
    for claim in &claims {
        assert!(payloads.read(claim).await.unwrap().is_some(), "the write had happened");
    }
}

#[tokio::test]
async fn commit_whose_response_is_lost_was_sent_once_and_can_be_repeated() {
    let world = Embedded::start(&[]).await;
    let store = world.aws.ports().store;
    world.local.set_faults(ALL_LOST).unwrap();
    let before = world.local.usage();
    let error = commit(&*store, "token").await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    assert_eq!(world.local.usage().since(&before).dynamodb.requests["TransactWriteItems"], 1);
    world.local.set_faults(NONE).unwrap();
    assert_eq!(version(&*store).await, 1);
    assert_eq!(
        commit(&*store, "token").await.unwrap(),
        Committed::Applied(Placement::Separate),
        "DynamoDB recognises the token"
    );
    assert_eq!(commit(&*store, "other").await.unwrap(), Committed::Conflict(Conflict::Overtaken));
    assert_eq!(version(&*store).await, 1);
}

#[tokio::test]
async fn transaction_conflict_is_not_reported_as_a_failed_condition() {
    let world = Embedded::start(&[]).await;
    let store = world.aws.ports().store;
    world.local.set_faults(Faults { transaction_conflicts: 1.0, ..NONE }).unwrap();
    let error = commit(&*store, "token").await.unwrap_err();
    assert!(!error.may_have_happened() && error.may_be_repeated(), "{error}");
    assert!(error.to_string().contains("TransactionConflict"), "{error}");
    world.local.set_faults(NONE).unwrap();
    assert_eq!(version(&*store).await, 0);
    assert_eq!(commit(&*store, "token").await.unwrap(), Committed::Applied(Placement::Separate));
}

#[tokio::test]
async fn throttled_calls_that_are_not_retried_have_no_effect() {
    let world = Embedded::start(&["stock"]).await;
    let ports = world.aws.ports();
    let queue = ports.queues.open("stock").await.unwrap();
    world.local.set_faults(Faults { throttled: 1.0, ..NONE }).unwrap();
    let message = QueueMessage { body: "{}".to_owned(), ..QueueMessage::default() };
    for error in [
        commit(&*ports.store, "token").await.unwrap_err(),
        ports.payloads.check_in(&Claim::from_random(1, "coats"), Bytes::new()).await.unwrap_err(),
        queue.send(vec![message]).await.remove(0).unwrap_err(),
    ] {
        assert!(!error.may_have_happened() && error.may_be_repeated(), "{error}");
    }
}

#[tokio::test]
async fn messages_whose_send_response_is_lost_were_sent_once() {
    let world = Embedded::start(&["stock"]).await;
    let queue = world.aws.ports().queues.open("stock").await.unwrap();
    let message = QueueMessage { body: "{}".to_owned(), ..QueueMessage::default() };
    world.local.set_faults(ALL_LOST).unwrap();
    let results = queue.send(vec![message; 3]).await;
    assert!(results.iter().all(|result| result.as_ref().is_err_and(PortError::may_have_happened)), "{results:?}");
    world.local.set_faults(NONE).unwrap();
    let received = queue.receive(10, Duration::ZERO, Duration::from_secs(60)).await.unwrap();
    assert_eq!(received.len(), 3, "each message was sent once");
}

#[tokio::test]
async fn idempotent_calls_are_retried_after_a_lost_response() {
    let world = Embedded::start(&[]).await;
    let ports = world.aws.ports();
    commit(&*ports.store, "token").await.unwrap();
    let (partition, message) = (Partition::from("p"), MessageId::from("m"));
    let key = RecordKey { partition: &partition, endpoint: "orders", message: &message };
    // One response in five is lost. With this seed, the responses of three tries in a row are never
    // lost.
    world.local.set_faults(Faults { lost_responses: 0.2, ..NONE }).unwrap();
    for _ in 0..10 {
        ports.store.clear(key).await.unwrap();
        ports.payloads.put_entry("orders", &message).await.unwrap();
    }
    world.local.set_faults(NONE).unwrap();
    assert_eq!(ports.store.read_record(key).await.unwrap(), None);
    assert!(ports.payloads.has_entry("orders", &message).await.unwrap());
}
