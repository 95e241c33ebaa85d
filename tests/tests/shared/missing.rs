//! What is not there is told by name, and never taken for something else.

use cloakroom::{PortError, format::Claim};
use cloakroom_aws::Aws;

fn must_name(error: &PortError, what: &str, name: &str) {
    assert!(!error.may_have_happened() && !error.may_be_repeated(), "{error}");
    let (text, target) = (error.to_string(), format!("{what} `{name}` does not exist here"));
    assert!(text.contains(&target) && text.contains("cloakroom provision"), "{text}");
}

pub(crate) async fn a_missing_table_is_named(aws: &Aws) {
    let error = aws
        .ports()
        .store
        .read_state(&"p".into(), "orders", cloakroom::protocol::Consistency::Strong)
        .await
        .unwrap_err();
    must_name(&error, "table", &aws.settings().table);
}

pub(crate) async fn a_missing_bucket_is_neither_a_missing_payload_nor_a_missing_entry(aws: &Aws) {
    let bucket = &aws.settings().bucket;
    let (payloads, claim) = (aws.ports().payloads, Claim::from_random(1, bucket));
    must_name(&payloads.read(&claim).await.unwrap_err(), "bucket", bucket);
    must_name(&payloads.has_entry("orders", &"m".into()).await.unwrap_err(), "bucket", bucket);
    must_name(&payloads.check_in(&claim, "{}".into()).await.unwrap_err(), "bucket", bucket);
    must_name(&payloads.put_entry("orders", &"m".into()).await.unwrap_err(), "bucket", bucket);
    must_name(&payloads.delete(&claim).await.unwrap_err(), "bucket", bucket);
}

pub(crate) async fn a_missing_queue_is_named(aws: &Aws) {
    let error = aws.ports().queues.open("stock").await.unwrap_err();
    must_name(&error, "queue", &aws.settings().queues.full_name("stock"));
}
