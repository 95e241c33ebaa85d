//! Properties of SQS queues that the conformance laws do not cover.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::{primitives::Blob, types::MessageAttributeValue};
use cloakroom::{
    Delivery,
    ports::{Queue, QueueMessage},
};
use cloakroom_aws::{Aws, QueueSettings, SqsQueue};

const VISIBILITY: Duration = Duration::from_secs(60);

async fn open(aws: &Aws, name: &str) -> Arc<dyn Queue> {
    aws.ports().queues.open(name).await.unwrap()
}

fn message(body: impl Into<String>) -> QueueMessage {
    let body = body.into();
    QueueMessage {
        group: Some("order 1".to_owned()),
        deduplication: Some(body.clone()),
        body,
        ..QueueMessage::default()
    }
}

async fn send(queue: &dyn Queue, messages: Vec<QueueMessage>) {
    for result in queue.send(messages).await {
        result.unwrap();
    }
}

async fn receive_and_delete(queue: &dyn Queue) -> Vec<Delivery> {
    let deliveries = queue.receive(10, Duration::from_secs(1), VISIBILITY).await.unwrap();
    for result in queue.delete(deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()).await {
        result.unwrap();
    }
    deliveries
}

/// Receives and deletes until `count` messages were received. Panics if a receive returns none
/// before.
async fn receive_all(queue: &dyn Queue, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < count {
        let deliveries = receive_and_delete(queue).await;
        assert!(!deliveries.is_empty(), "only {} messages were received", received.len());
        received.extend(deliveries);
    }
    received
}

/// Needs queue `audit.fifo`.
pub(crate) async fn a_fifo_queue_keeps_order_and_drops_copies(aws: &Aws) {
    let queue = open(aws, "audit.fifo").await;
    let messages: Vec<QueueMessage> = (0..25).map(|number| message(number.to_string())).collect();
    send(&*queue, messages.clone()).await;
    send(&*queue, messages.clone()).await;
    let received = receive_all(&*queue, 25).await;
    let bodies: Vec<&str> = received.iter().map(|delivery| &*delivery.body).collect();
    assert_eq!(bodies, messages.iter().map(|message| &*message.body).collect::<Vec<_>>());
    let group = received[0].group.clone().unwrap();
    assert!(received.iter().all(|delivery| delivery.group.as_ref() == Some(&group)));
    assert!(receive_and_delete(&*queue).await.is_empty(), "a copy was delivered");
    // A parked message keeps the message group that it was received with.
    send(&*queue, vec![QueueMessage { group: Some(group.clone()), ..message("parked") }]).await;
    assert_eq!(receive_and_delete(&*queue).await[0].group, Some(group));
}

/// Needs queue `stock`.
pub(crate) async fn only_fair_queues_carry_the_group(aws: &Aws, sqs: &aws_sdk_sqs::Client) {
    for fair in [false, true] {
        let settings = QueueSettings { fair, ..aws.settings().queues.clone() };
        let queue = SqsQueue::open(sqs.clone(), "stock", &settings).await.unwrap();
        send(&queue, vec![QueueMessage { group: Some("g".to_owned()), ..message("{}") }]).await;
        assert_eq!(receive_all(&queue, 1).await[0].group, fair.then(|| "g".to_owned()));
    }
}

/// Needs queue `stock`.
pub(crate) async fn attributes_of_other_producers_survive_parking(aws: &Aws, sqs: &aws_sdk_sqs::Client) {
    let url = async |name: &str| {
        let name = aws.settings().queues.full_name(name);
        sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap()
    };
    let attribute = |data_type: &str| MessageAttributeValue::builder().data_type(data_type);
    let attributes = [
        ("trace", attribute("String").string_value("grün").build().unwrap()),
        ("size", attribute("Number").string_value("1e3").build().unwrap()),
        ("seal", attribute("Binary.der").binary_value(Blob::new([0, 255])).build().unwrap()),
    ];
    let mut produce = sqs.send_message().queue_url(url("stock").await).message_body("{}");
    for (name, value) in attributes.clone() {
        produce = produce.message_attributes(name, value);
    }
    produce.send().await.unwrap();
    let (queue, parking) = (open(aws, "stock").await, open(aws, "stock-dead").await);
    let Delivery { body, attributes: carried, .. } = receive_all(&*queue, 1).await.remove(0);
    send(&*parking, vec![QueueMessage { body, attributes: carried, ..QueueMessage::default() }]).await;
    let look = sqs.receive_message().queue_url(url("stock-dead").await).message_attribute_names("All");
    let parked =
        look.wait_time_seconds(5).send().await.unwrap().messages.unwrap().remove(0).message_attributes.unwrap();
    assert_eq!(parked, attributes.map(|(name, value)| (name.to_owned(), value)).into());
}

/// Needs queue `stock`.
pub(crate) async fn large_messages_are_delivered_and_too_large_ones_are_refused(aws: &Aws) {
    let queue = open(aws, "stock").await;
    let bodies = ["a", "b", "c", "d", "e"].map(|letter| letter.repeat(400 * 1024));
    send(&*queue, bodies.clone().map(message).into()).await;
    let mut received: Vec<String> = receive_all(&*queue, 5).await.into_iter().map(|delivery| delivery.body).collect();
    received.sort();
    assert!(received == bodies, "the received bodies are not the sent ones");
    let largest = message("x".repeat(1024 * 1024 + 1));
    let error = queue.send(vec![largest]).await.remove(0).unwrap_err();
    assert!(!error.may_have_happened() && !error.may_be_repeated(), "{error}");
}

/// Needs queue `stock` in both, with different prefixes.
pub(crate) async fn queues_with_different_prefixes_are_different_queues(one: &Aws, other: &Aws) {
    let (here, there) = (open(one, "stock").await, open(other, "stock").await);
    send(&*there, vec![message("{}")]).await;
    assert!(receive_and_delete(&*here).await.is_empty());
    assert_eq!(receive_all(&*there, 1).await.len(), 1);
    assert_eq!((here.name(), there.name()), ("stock", "stock"));
}
