//! What is special about queues of SQS, and so not in the laws.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::{primitives::Blob, types::MessageAttributeValue};
use cloakroom::{Delivery, Queue, QueueMessage, Queues as _};
use cloakroom_aws::{QueueSettings, SqsQueue, SqsQueues};

use crate::embedded::Embedded;

const LEASE: Duration = Duration::from_secs(60);

async fn open(world: &Embedded, name: &str) -> Arc<dyn Queue> {
    world.aws.ports().queues.open(name).await.unwrap()
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
    for answer in queue.send(messages).await {
        answer.unwrap();
    }
}

async fn receive_and_delete(queue: &dyn Queue) -> Vec<Delivery> {
    let deliveries = queue.receive(10, Duration::ZERO, LEASE).await.unwrap();
    for answer in queue.delete(deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()).await {
        answer.unwrap();
    }
    deliveries
}

#[tokio::test]
async fn a_fifo_queue_keeps_order_and_drops_copies() {
    let world = Embedded::start(&["audit.fifo"]).await;
    let queue = open(&world, "audit.fifo").await;
    let messages: Vec<QueueMessage> = (0..25).map(|number| message(number.to_string())).collect();
    send(&*queue, messages.clone()).await;
    send(&*queue, messages.clone()).await;
    let mut received = Vec::new();
    while received.len() < 25 {
        let deliveries = receive_and_delete(&*queue).await;
        assert!(!deliveries.is_empty(), "only {} came", received.len());
        received.extend(deliveries);
    }
    let bodies: Vec<&str> = received.iter().map(|delivery| &*delivery.body).collect();
    assert_eq!(bodies, messages.iter().map(|message| &*message.body).collect::<Vec<_>>());
    let group = received[0].group.clone().unwrap();
    assert!(received.iter().all(|delivery| delivery.group.as_ref() == Some(&group)));
    assert!(receive_and_delete(&*queue).await.is_empty(), "a copy came");
    // A parked message goes with the group that it came with.
    send(&*queue, vec![QueueMessage { group: Some(group.clone()), ..message("parked") }]).await;
    assert_eq!(receive_and_delete(&*queue).await[0].group, Some(group));
}

#[tokio::test]
async fn only_fair_queues_carry_the_group() {
    let world = Embedded::start(&["stock"]).await;
    for fair in [false, true] {
        let settings = QueueSettings { fair, ..QueueSettings::default() };
        let queue = SqsQueue::open(world.sqs.clone(), "stock", &settings).await.unwrap();
        send(&queue, vec![QueueMessage { group: Some("g".to_owned()), ..message("{}") }]).await;
        let deliveries = receive_and_delete(&queue).await;
        assert_eq!(deliveries[0].group, fair.then(|| "g".to_owned()));
    }
}

#[tokio::test]
async fn attributes_of_other_producers_survive_parking() {
    let world = Embedded::start(&["stock"]).await;
    let url = SqsQueue::open(world.sqs.clone(), "stock", &QueueSettings::default()).await.unwrap().url().to_owned();
    let attribute = |data_type: &str| MessageAttributeValue::builder().data_type(data_type);
    let attributes = [
        ("trace", attribute("String").string_value("grün").build().unwrap()),
        ("size", attribute("Number").string_value("1e3").build().unwrap()),
        ("seal", attribute("Binary.der").binary_value(Blob::new([0, 255])).build().unwrap()),
    ];
    let mut produce = world.sqs.send_message().queue_url(&url).message_body("{}");
    for (name, value) in attributes.clone() {
        produce = produce.message_attributes(name, value);
    }
    produce.send().await.unwrap();
    let (queue, parking) = (open(&world, "stock").await, open(&world, "stock-dead").await);
    let Delivery { body, attributes: carried, .. } = receive_and_delete(&*queue).await.remove(0);
    send(&*parking, vec![QueueMessage { body, attributes: carried, ..QueueMessage::default() }]).await;
    let look = world.sqs.receive_message().queue_url(format!("{url}-dead")).message_attribute_names("All");
    let parked = look.send().await.unwrap().messages.unwrap().remove(0).message_attributes.unwrap();
    assert_eq!(parked, attributes.map(|(name, value)| (name.to_owned(), value)).into());
}

#[tokio::test]
async fn large_messages_are_sent_in_batches_that_sqs_takes() {
    let world = Embedded::start(&["stock"]).await;
    let queue = open(&world, "stock").await;
    let before = world.local.usage();
    send(&*queue, ["a", "b", "c", "d", "e"].map(|letter| message(letter.repeat(400 * 1024))).into()).await;
    assert_eq!(world.local.usage().since(&before).sqs.requests["SendMessageBatch"], 3);
    let largest = message("x".repeat(1024 * 1024 + 1));
    let error = queue.send(vec![largest]).await.remove(0).unwrap_err();
    assert!(!error.may_have_happened() && !error.may_be_repeated(), "{error}");
}

#[tokio::test]
async fn queues_with_a_prefix_are_others() {
    let world = Embedded::start(&["stock"]).await;
    world.sqs.create_queue().queue_name("test-stock").send().await.unwrap();
    let settings = QueueSettings { prefix: "test-".to_owned(), ..QueueSettings::default() };
    let prefixed = SqsQueues::new(world.sqs.clone(), settings).unwrap().open("stock").await.unwrap();
    send(&*prefixed, vec![message("{}")]).await;
    assert!(receive_and_delete(&*open(&world, "stock").await).await.is_empty());
    assert_eq!(receive_and_delete(&*prefixed).await.len(), 1);
    assert_eq!(prefixed.name(), "stock");
}
