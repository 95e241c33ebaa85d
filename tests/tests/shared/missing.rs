//! A missing resource is reported by its name. It is never mistaken for a missing item, payload or
//! entry.

use cloakroom::{PortError, format::Claim};
use cloakroom_aws::Aws;

fn assert_names(error: &PortError, kind: &str, name: &str) {
    assert!(!error.may_have_happened() && !error.may_be_repeated(), "{error}");
    let (text, target) = (error.to_string(), format!("{kind} `{name}` does not exist here"));
    assert!(text.contains(&target) && text.contains("cloakroom provision"), "{text}");
}

pub(crate) async fn missing_table_is_an_error_that_names_it(aws: &Aws) {
    let error = aws
        .ports()
        .store
        .read_state(&"p".into(), "orders", cloakroom::protocol::Consistency::Strong)
        .await
        .unwrap_err();
    assert_names(&error, "table", &aws.settings().table);
}

pub(crate) async fn a_missing_bucket_is_neither_a_missing_payload_nor_a_missing_entry(aws: &Aws) {
    let bucket = &aws.settings().bucket;
    let (payloads, claim) = (aws.ports().payloads, Claim::from_random(1, bucket));
    assert_names(&payloads.read(&claim).await.unwrap_err(), "bucket", bucket);
    assert_names(&payloads.has_entry("orders", &"m".into()).await.unwrap_err(), "bucket", bucket);
    assert_names(&payloads.check_in(&claim, "{}".into()).await.unwrap_err(), "bucket", bucket);
    assert_names(&payloads.put_entry("orders", &"m".into()).await.unwrap_err(), "bucket", bucket);
    assert_names(&payloads.delete(&claim).await.unwrap_err(), "bucket", bucket);
}

pub(crate) async fn a_missing_queue_is_named(aws: &Aws) {
    let error = aws.ports().queues.open("stock").await.unwrap_err();
    assert_names(&error, "queue", &aws.settings().queues.full_name("stock"));
}
