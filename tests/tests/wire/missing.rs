//! What is not there is told by name, and never taken for something else.

use cloakroom::{Claim, PortError};

use crate::embedded::Embedded;

fn must_name(error: &PortError, target: &str) {
    assert!(!error.may_have_happened() && !error.may_be_repeated(), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("{target} does not exist here")) && text.contains("cloakroom provision"), "{text}");
}

#[tokio::test]
async fn a_missing_table_is_named() {
    let world = Embedded::empty().await;
    let error = world.aws.ports().store.read_state(&"p".into(), "orders").await.unwrap_err();
    must_name(&error, "table `things`");
}

#[tokio::test]
async fn a_missing_bucket_is_neither_a_missing_payload_nor_a_missing_entry() {
    let world = Embedded::empty().await;
    let (payloads, claim) = (world.aws.ports().payloads, Claim::from_random(1, "coats"));
    must_name(&payloads.read(&claim).await.unwrap_err(), "bucket `coats`");
    must_name(&payloads.has_entry("orders", &"m".into()).await.unwrap_err(), "bucket `coats`");
    must_name(&payloads.check_in(&claim, "{}".into()).await.unwrap_err(), "bucket `coats`");
    must_name(&payloads.put_entry("orders", &"m".into()).await.unwrap_err(), "bucket `coats`");
    must_name(&payloads.delete(&claim).await.unwrap_err(), "bucket `coats`");
}

#[tokio::test]
async fn a_missing_queue_is_named() {
    let world = Embedded::empty().await;
    must_name(&world.aws.ports().queues.open("stock").await.unwrap_err(), "queue `stock`");
}
