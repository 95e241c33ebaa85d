//! Properties of SQS queues that the conformance laws do not cover.

use std::sync::Arc;

use crate::{shared::queues, site::Site};

pub(crate) async fn a_fifo_queue_keeps_order_and_drops_copies(site: Arc<Site>) {
    let aws = site.provisioned("fifo", &["audit.fifo"]).await;
    queues::a_fifo_queue_keeps_order_and_drops_copies(&aws).await;
}

pub(crate) async fn attributes_of_other_producers_survive_parking(site: Arc<Site>) {
    let aws = site.provisioned("attributes", &["stock"]).await;
    queues::attributes_of_other_producers_survive_parking(&aws, &site.sqs).await;
}

pub(crate) async fn only_fair_queues_carry_the_group(site: Arc<Site>) {
    let aws = site.provisioned("fair", &["stock"]).await;
    queues::only_fair_queues_carry_the_group(&aws, &site.sqs).await;
}

pub(crate) async fn large_messages_are_delivered_and_too_large_ones_are_refused(site: Arc<Site>) {
    let aws = site.provisioned("large", &["stock"]).await;
    queues::large_messages_are_delivered_and_too_large_ones_are_refused(&aws).await;
}

pub(crate) async fn queues_with_different_prefixes_are_different_queues(site: Arc<Site>) {
    let (one, other) = futures::join!(site.provisioned("one", &["stock"]), site.provisioned("other", &["stock"]));
    queues::queues_with_different_prefixes_are_different_queues(&one, &other).await;
}
