//! Missing resources.

use crate::{embedded::Embedded, shared::missing};

#[tokio::test]
async fn missing_table_is_an_error_that_names_it() {
    missing::missing_table_is_an_error_that_names_it(&Embedded::empty().await.aws).await;
}

#[tokio::test]
async fn a_missing_bucket_is_neither_a_missing_payload_nor_a_missing_entry() {
    missing::a_missing_bucket_is_neither_a_missing_payload_nor_a_missing_entry(&Embedded::empty().await.aws).await;
}

#[tokio::test]
async fn a_missing_queue_is_named() {
    missing::a_missing_queue_is_named(&Embedded::empty().await.aws).await;
}
