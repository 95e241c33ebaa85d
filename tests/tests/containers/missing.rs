//! Missing resources.

use std::sync::Arc;

use crate::{shared::missing, site::Site};

pub(crate) async fn missing_table_is_an_error_that_names_it(site: Arc<Site>) {
    missing::missing_table_is_an_error_that_names_it(&site.aws("nowhere")).await;
}

pub(crate) async fn a_missing_bucket_is_neither_a_missing_payload_nor_a_missing_entry(site: Arc<Site>) {
    missing::a_missing_bucket_is_neither_a_missing_payload_nor_a_missing_entry(&site.aws("nowhere")).await;
}

pub(crate) async fn a_missing_queue_is_named(site: Arc<Site>) {
    missing::a_missing_queue_is_named(&site.aws("nowhere")).await;
}
