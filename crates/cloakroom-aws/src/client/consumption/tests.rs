use cloakroom::{
    format::{Claim, Item, Record},
    observe::Counters,
    ports::{Clock as _, Commit, Embedded, QueueMessage, StateWrite},
    protocol::{Consistency, Version},
};
use serde_json::json;

use crate::{
    aws::Aws,
    aws::settings::AwsSettings,
    scripted::{Reply, Script, dynamodb, refusal, reply, run, s3, sqs},
};

use super::*;

/// All services on one script, observed.
fn observed(replies: Vec<Reply>) -> (Aws, Arc<Counters>, Script) {
    let (script, counters) = (Script::new(replies), Arc::new(Counters::default()));
    let aws = Aws::new(dynamodb(&script), s3(&script), sqs(&script), AwsSettings::new("orders", "orders-payloads"));
    (aws.unwrap().observed_by(counters.clone()), counters, script)
}

fn charged(units: f64) -> serde_json::Value {
    json!({ "TableName": "orders", "CapacityUnits": units })
}

fn units(used: Used) -> (u64, f64, f64) {
    (used.requests, used.read_units, used.write_units)
}

#[test]
fn dynamodb_requests_ask_for_the_consumed_capacity() {
    let replies = vec![reply(200, json!({ "ConsumedCapacity": charged(1.5) }))];
    let (aws, counters, script) = observed(replies);
    run(aws.ports().store.read_state(&"order#1".into(), "orders", Consistency::Strong)).unwrap();
    assert_eq!(script.seen()[0].json()["ReturnConsumedCapacity"], "TOTAL");
    assert_eq!(units(counters.consumption().of(Service::DynamoDb, "GetItem")), (1, 1.5, 0.0));
    assert!(counters.consumption().of(Service::DynamoDb, "GetItem").bytes > 50);
}

fn commit(aws: &Aws) {
    let (state, record) = (StateWrite::Put(Item::default()), Record::default());
    let _ = run(aws.ports().store.commit(Commit {
        partition: &"order#1".into(),
        endpoint: "orders",
        expected: Version::ABSENT,
        state: &state,
        records: &[(&"m".into(), &record)],
        kept: &Embedded::default(),
        embedded_bytes_max: 0,
        items: &[],
        token: "t",
    }));
}

#[test]
fn lost_commit_is_charged_its_minimum_units() {
    let cancelled = |codes: [&str; 2]| {
        let reasons = codes.map(|code| json!({ "Code": code }));
        let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
        reply(400, json!({ "__type": kind, "CancellationReasons": reasons }))
    };
    let used = |answer| {
        let (aws, counters, _) = observed(vec![answer]);
        commit(&aws);
        units(counters.consumption().of(Service::DynamoDb, "TransactWriteItems"))
    };
    assert_eq!(used(reply(200, json!({ "ConsumedCapacity": [charged(6.0)] }))), (1, 0.0, 6.0));
    assert_eq!(used(cancelled(["ConditionalCheckFailed", "None"])), (1, 0.0, 4.0), "two for each item");
    assert_eq!(used(cancelled(["TransactionConflict", "None"])), (1, 0.0, 0.0));
}

#[test]
fn client_retries_are_counted_as_requests() {
    let (aws, counters, _) = observed(vec![refusal(400, "ThrottlingException"), Reply::Broken, reply(200, "{}")]);
    run(aws.ports().store.read_state(&"order#1".into(), "orders", Consistency::Strong)).unwrap();
    assert_eq!(counters.consumption().of(Service::DynamoDb, "GetItem").requests, 3);
}

#[test]
fn sqs_is_counted_in_chunks_of_64_kb() {
    let opened = || reply(200, json!({ "QueueUrl": "http://sqs.test/q" }));
    let sent = |bodies: &[usize]| {
        let done = |number: usize| json!({ "Id": number.to_string(), "MessageId": "m", "MD5OfMessageBody": "" });
        let done: Vec<_> = (0..bodies.len()).map(done).collect();
        let replies = vec![opened(), reply(200, json!({ "Successful": done, "Failed": [] }))];
        let (aws, counters, _) = observed(replies);
        let queue = run(aws.ports().queues.open("q")).unwrap();
        let message = |bytes: &usize| QueueMessage { body: "x".repeat(*bytes), ..QueueMessage::default() };
        run(queue.send(bodies.iter().map(message).collect()));
        assert_eq!(counters.consumption().of(Service::Sqs, "GetQueueUrl").requests, 1);
        counters.consumption().of(Service::Sqs, "SendMessageBatch").requests
    };
    assert_eq!(sent(&[1]), 1);
    assert_eq!(sent(&[40 * 1024, 24 * 1024]), 1);
    assert_eq!(sent(&[40 * 1024, 24 * 1024 + 1]), 2);
}

#[test]
fn only_accepted_messages_are_counted() {
    let done = |ids: &[&str]| {
        let done = ids.iter().map(|id| json!({ "Id": id, "MessageId": "m", "MD5OfMessageBody": "" }));
        json!({ "Successful": done.collect::<Vec<_>>(), "Failed": [] })
    };
    let refused = json!({ "Id": "2", "Code": "InternalError", "SenderFault": false });
    let mut partly = done(&["0", "1"]);
    partly["Failed"] = json!([refused]);
    let message = |id: &str| json!({ "MessageId": id, "ReceiptHandle": id, "Body": "b" });
    let (aws, counters, _) = observed(vec![
        reply(200, json!({ "QueueUrl": "http://sqs.test/q" })),
        reply(200, partly),
        reply(200, json!({ "Messages": [message("a"), message("b")] })),
        reply(200, "{}"),
        reply(200, done(&["0", "1"])),
    ]);
    let queue = run(aws.ports().queues.open("q")).unwrap();
    let sent = run(queue.send(vec![QueueMessage { body: "b".to_owned(), ..QueueMessage::default() }; 3]));
    assert_eq!(sent.iter().filter(|sent| sent.is_ok()).count(), 2);
    let receive = || run(queue.receive(10, std::time::Duration::ZERO, std::time::Duration::from_secs(30))).unwrap();
    assert_eq!((receive().len(), receive().len()), (2, 0));
    run(queue.delete(vec!["a".into(), "b".into()]));
    let consumption = counters.consumption();
    let fill = |operation| consumption.fill(operation);
    assert_eq!(fill("SendMessageBatch"), Some(2.0), "the third message was refused");
    assert_eq!(fill("ReceiveMessage"), Some(1.0), "one call returned two messages, the other none");
    assert_eq!(fill("DeleteMessageBatch"), Some(2.0));
}

#[test]
fn fifo_queues_and_directory_buckets_are_counted_separately() {
    let (aws, counters, _) =
        observed(vec![reply(200, json!({ "QueueUrl": "http://sqs.test/q.fifo" })), reply(200, "{}")]);
    let queue = run(aws.ports().queues.open("q.fifo")).unwrap();
    run(queue.receive(10, std::time::Duration::ZERO, std::time::Duration::from_secs(30))).unwrap();
    assert_eq!(counters.consumption().of(Service::SqsFifo, "ReceiveMessage").requests, 1);
    assert_eq!(counters.consumption().total(Service::Sqs).requests, 1, "the request for its URL");
    // The name decides. A call would need a session first.
    let input = |bucket: &str| Input::erase(s3::get_object::GetObjectInput::builder().bucket(bucket).build().unwrap());
    assert_eq!(asked(Service::S3, &input("coats--use1-az4--x-s3")).service, Service::S3Express);
    assert_eq!(asked(Service::S3, &input("coats")).service, Service::S3);
}

#[test]
fn s3_requests_are_counted_by_operation() {
    let (aws, counters, _) = observed(vec![reply(200, ""), reply(200, "{}"), reply(204, "")]);
    let (payloads, claim) = (aws.ports().payloads, Claim::new("c.orders-payloads"));
    run(payloads.check_in(&claim, "{}".into())).unwrap();
    run(payloads.read(&claim)).unwrap();
    run(payloads.delete(&claim)).unwrap();
    for operation in ["PutObject", "GetObject", "DeleteObject"] {
        assert_eq!(counters.consumption().of(Service::S3, operation).requests, 1, "{operation}");
    }
}

#[test]
fn monotonic_clock_does_not_go_backwards() {
    let clock = crate::clock::TokioClock;
    let (first, second) = (clock.monotonic(), clock.monotonic());
    assert!(second >= first);
}
