//! Properties of SQS queues that the conformance laws do not cover.

use cloakroom_aws::{Aws, AwsSettings, QueueSettings};

use crate::{embedded::Embedded, shared::queues};

#[tokio::test]
async fn a_fifo_queue_keeps_order_and_drops_copies() {
    queues::a_fifo_queue_keeps_order_and_drops_copies(&Embedded::start(&["audit.fifo"]).await.aws).await;
}

#[tokio::test]
async fn only_fair_queues_carry_the_group() {
    let world = Embedded::start(&["stock"]).await;
    queues::only_fair_queues_carry_the_group(&world.aws, &world.sqs).await;
}

#[tokio::test]
async fn attributes_of_other_producers_survive_parking() {
    let world = Embedded::start(&["stock"]).await;
    queues::attributes_of_other_producers_survive_parking(&world.aws, &world.sqs).await;
}

#[tokio::test]
async fn large_messages_are_sent_in_batches_within_the_sqs_limit() {
    let world = Embedded::start(&["stock"]).await;
    let before = world.local.usage();
    queues::large_messages_are_delivered_and_too_large_ones_are_refused(&world.aws).await;
    assert_eq!(world.local.usage().since(&before).sqs.requests["SendMessageBatch"], 3);
}

#[tokio::test]
async fn queues_with_different_prefixes_are_different_queues() {
    let world = Embedded::start(&["stock"]).await;
    world.sqs.create_queue().queue_name("test-stock").send().await.unwrap();
    let queues = QueueSettings { prefix: "test-".to_owned(), ..QueueSettings::default() };
    let settings = AwsSettings { queues, ..world.aws.settings().clone() };
    let prefixed = Aws::new(world.dynamodb.clone(), world.s3.clone(), world.sqs.clone(), settings).unwrap();
    queues::queues_with_different_prefixes_are_different_queues(&world.aws, &prefixed).await;
}
