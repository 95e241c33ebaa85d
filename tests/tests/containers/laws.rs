//! The conformance laws of the ports.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use cloakroom::{conformance, ports::Queue};
use cloakroom_aws::TokioClock;
use futures::FutureExt as _;

use crate::{
    altered::{Alteration, Altered},
    site::Site,
};

pub(crate) async fn partitions_obey_the_laws(site: Arc<Site>) {
    let aws = site.provisioned("partitions", &[]).await;
    conformance::partition_store(&*aws.ports().store, "containers").await;
}

pub(crate) async fn records_obey_the_laws(site: Arc<Site>) {
    let aws = site.provisioned("records", &[]).await;
    conformance::records(&aws.records(), &*aws.ports().store, "containers").await;
}

pub(crate) async fn payloads_obey_the_laws(site: Arc<Site>) {
    let aws = site.provisioned("payloads", &[]).await;
    conformance::payload_store(&*aws.ports().payloads, "containers").await;
}

pub(crate) async fn payloads_in_table_and_bucket_obey_the_laws(site: Arc<Site>) {
    let aws = site.provisioned_with_payload_table("placed").await;
    conformance::payload_store(&*aws.ports().payloads, "containers").await;
}

pub(crate) async fn queues_obey_the_laws(site: Arc<Site>) {
    queue_obeys_the_laws(&*laws_queue(&site, "queues").await).await;
}

/// In ministack a second delete of a message is an error, and in SQS a success. This test asserts
/// that only this law is broken: with a corrected delete, all laws hold. When ministack is fixed,
/// this test fails and can be removed.
pub(crate) async fn queues_obey_the_laws_except_repeated_deletes(site: Arc<Site>) {
    let (one, other) = futures::join!(laws_queue(&site, "deviating"), laws_queue(&site, "corrected"));
    let corrected = Altered::new(other, Alteration::DeletesRepeat(Default::default()));
    let deviation = AssertUnwindSafe(queue_obeys_the_laws(&*one)).catch_unwind();
    let (broken, ()) = futures::join!(deviation, queue_obeys_the_laws(&corrected));
    let text = broken.err().map_or_else(|| "nothing".to_owned(), |panic| text(&*panic));
    assert!(
        text.contains("law `a_delete_can_be_repeated` is broken"),
        "expected law `a_delete_can_be_repeated` to be broken, but the result was: {text}"
    );
    println!("known deviation: law `a_delete_can_be_repeated` is broken, as expected");
}

async fn laws_queue(site: &Site, name: &str) -> Arc<dyn Queue> {
    site.provisioned(name, &["laws"]).await.ports().queues.open("laws").await.unwrap()
}

async fn queue_obeys_the_laws(queue: &dyn Queue) {
    conformance::queue(queue, &TokioClock, "containers").await;
}

fn text(panic: &dyn Any) -> String {
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without a text".to_owned())
}
