//! Messages of foreign producers, and queues with a small maximum of the message size.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use cloakroom::{
    Delivery, Endpoint, Error, ErrorKind, Handled, Message, Outcome, Partition, Producer, Submission, Tx,
    engine::{intake, parking},
    format::Envelope,
    ports::Limits,
};
use cloakroom_aws::{Aws, AwsSettings};
use serde::{Deserialize, Serialize};

use crate::embedded::Embedded;

#[derive(Serialize, Deserialize)]
struct Count {
    what: String,
}

impl Message for Count {
    const TYPE: &'static str = "count";
    fn partition(&self) -> Partition {
        Partition::new(&*self.what)
    }
}

/// The message that the handler of [`Count`] sends.
#[derive(Serialize, Deserialize)]
struct Counted {
    what: String,
}

impl Message for Counted {
    const TYPE: &'static str = "counted";
    fn partition(&self) -> Partition {
        Partition::new(&*self.what)
    }
}

async fn count(counts: &mut BTreeMap<String, u32>, message: Count, tx: &mut Tx) -> Handled {
    *counts.entry("count".to_owned()).or_default() += 1;
    tx.send(Counted { what: message.what });
    Ok(())
}

fn endpoint(aws: &Aws) -> Endpoint {
    let builder = Endpoint::builder::<BTreeMap<String, u32>>("counters").on(count).route::<Counted>("counted");
    builder.plain::<Count>().build(aws.ports()).unwrap()
}

async fn url(world: &Embedded, queue: &str) -> String {
    world.sqs.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap()
}

/// Receives one message, with a visibility timeout longer than the test.
async fn receive(world: &Embedded, queue: &str) -> Option<Delivery> {
    let queue = world.aws.ports().queues.open(queue).await.unwrap();
    queue.receive(1, Duration::ZERO, Duration::from_secs(600)).await.unwrap().pop()
}

#[tokio::test]
async fn plain_messages_are_deduplicated_by_their_ids() {
    let world = Embedded::start(&["counters", "counted"]).await;
    let (endpoint, to) = (endpoint(&world.aws), url(&world, "counters").await);
    let plain = || world.sqs.send_message().queue_url(&to).message_body(r#"{"what":"sheep"}"#);
    let attribute =
        |text: &str| MessageAttributeValue::builder().data_type("String").string_value(text).build().unwrap();
    // Two plain messages with different ids, and one that is sent twice with one explicit id.
    plain().send().await.unwrap();
    plain().message_attributes("color", attribute("white")).send().await.unwrap();
    for _ in 0..2 {
        let named = plain()
            .message_attributes(intake::ID, attribute("black"))
            .message_attributes(intake::TYPE, attribute("count"));
        named.send().await.unwrap();
    }
    let mut outcomes = Vec::new();
    while let Some(delivery) = receive(&world, "counters").await {
        assert!(!delivery.id.is_empty());
        outcomes.push(endpoint.process(&delivery).await.unwrap());
        let redelivered = Delivery { receive_count: 2, ..delivery };
        assert_eq!(endpoint.process(&redelivered).await.unwrap(), Outcome::Duplicate);
    }
    outcomes.sort();
    assert_eq!(outcomes, [Outcome::Processed, Outcome::Processed, Outcome::Processed, Outcome::Duplicate]);
}

#[tokio::test]
async fn dead_letter_keeps_its_id_until_it_is_sent_again() {
    let world = Embedded::start(&["counters", "counted"]).await;
    let (endpoint, to) = (endpoint(&world.aws), url(&world, "counters").await);
    world.sqs.send_message().queue_url(&to).message_body(r#"{"what":"sheep"}"#).send().await.unwrap();
    let queue = world.aws.ports().queues.open("counters").await.unwrap();
    let mut last = None;
    while let Some(delivery) = queue.receive(1, Duration::ZERO, Duration::ZERO).await.unwrap().pop() {
        last = Some(delivery);
    }
    let dead = receive(&world, "counters-dead").await.unwrap();
    assert_eq!(dead.id, last.unwrap().id);
    assert_eq!(endpoint.process(&dead).await.unwrap(), Outcome::Processed);
    queue.send(vec![parking::put_back(&dead)]).await.remove(0).unwrap();
    let redelivered = receive(&world, "counters").await.unwrap();
    assert_ne!(redelivered.id, dead.id);
    assert_eq!(endpoint.process(&redelivered).await.unwrap(), Outcome::Duplicate);
}

/// Sets the maximum message size of a queue.
async fn set_maximum(world: &Embedded, queue: &str, bytes: usize) {
    let set = world.sqs.set_queue_attributes().queue_url(url(world, queue).await);
    set.attributes(QueueAttributeName::MaximumMessageSize, bytes.to_string()).send().await.unwrap();
}

/// Returns a message whose outgoing message is larger than 256 KiB because of its envelope, not its
/// payload.
fn with_large_envelope() -> Delivery {
    let mut envelope = Envelope::new("m".into(), "test", Count::TYPE, "sheep".into());
    envelope.correlationid = Some("x".repeat(300_000));
    envelope.data = Some(serde_json::json!({ "what": "sheep" }));
    Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
}

#[track_caller]
fn assert_advice(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::FixConfiguration);
    let text = error.to_string();
    for part in ["queue `counted`", "262144", "`MaximumMessageSize`", "`limits.message_bytes_max`"] {
        assert!(text.contains(part), "`{text}` does not contain `{part}`");
    }
}

#[tokio::test]
async fn message_too_large_for_its_queue_is_kept_until_the_queue_accepts_it() {
    let world = Embedded::start(&["counters", "counted"]).await;
    let endpoint = endpoint(&world.aws);
    set_maximum(&world, "counted", 256 * 1024).await;
    for _ in 0..2 {
        let before = world.local.usage();
        assert_advice(&endpoint.process(&with_large_envelope()).await.unwrap_err());
        assert_eq!(
            world.local.usage().since(&before).sqs.requests["SendMessageBatch"],
            1,
            "a refused send is not retried"
        );
    }
    set_maximum(&world, "counted", 1024 * 1024).await;
    assert_eq!(endpoint.process(&with_large_envelope()).await.unwrap(), Outcome::Resumed);
    assert!(receive(&world, "counted").await.is_some());
}

#[tokio::test]
async fn message_over_a_configured_limit_is_refused_before_the_commit() {
    let world = Embedded::start(&["counters", "counted"]).await;
    set_maximum(&world, "counted", 256 * 1024).await;
    let limits = Limits { message_bytes_max: 256 * 1024, ..Limits::default() };
    let settings = AwsSettings { limits, ..AwsSettings::new("things", "coats") };
    let aws = Aws::new(world.dynamodb.clone(), world.s3.clone(), world.sqs.clone(), settings).unwrap();
    // The message is larger than this limit itself, so it cannot be parked, either. It stays as it
    // is.
    let error = endpoint(&aws).process(&with_large_envelope()).await.unwrap_err();
    assert!(error.to_string().contains("at most 262144 are possible (`limits.message_bytes_max`)"), "{error}");
    let read = aws
        .ports()
        .store
        .read_state(&"sheep".into(), "counters", cloakroom::protocol::Consistency::Strong)
        .await
        .unwrap();
    assert_eq!(read.version.number(), 0, "nothing was committed");
}

#[tokio::test]
async fn message_that_its_queue_refuses_does_not_affect_its_batch() {
    let world = Embedded::start(&["counted"]).await;
    set_maximum(&world, "counted", 256 * 1024).await;
    let producer = Producer::new(world.aws.ports(), "test").unwrap();
    let counted = |key: &str, length: usize| Submission::new(key, &Counted { what: "x".repeat(length) });
    let large = Submission::new("large", &Large { text: "x".repeat(300_000) });
    let results = producer.submit_all("counted", vec![counted("1", 10), large, counted("3", 10)]).await;
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    let error = results[1].as_ref().unwrap_err();
    assert!(!error.may_have_happened() && !error.may_be_repeated(), "{error}");
    assert!(error.to_string().contains("`MaximumMessageSize`"), "{error}");
}

#[derive(Serialize, Deserialize)]
struct Large {
    text: String,
}

impl Message for Large {
    const TYPE: &'static str = "large";
    fn partition(&self) -> Partition {
        "p".into()
    }
}
