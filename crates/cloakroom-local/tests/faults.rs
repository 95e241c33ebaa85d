//! Each fault, as a client sees it.

mod support;

use cloakroom_local::{Faults, LocalAws};
use serde_json::{Value, json};
use support::{create_queue, create_table, dynamodb, receive, s3, sqs};

async fn start() -> LocalAws {
    LocalAws::start().await.expect("started")
}

fn put(key: &str) -> Value {
    json!({ "TableName": "orders", "Item": { "pk": { "S": key } } })
}

async fn items(aws: &LocalAws) -> u64 {
    let scan = json!({ "TableName": "orders", "Select": "COUNT" });
    let answer = dynamodb(&aws.dynamodb_url(), "Scan", scan).await.expect("an answer");
    answer.json()["Count"].as_u64().expect("a count")
}

#[tokio::test]
async fn throttling_takes_the_form_of_each_service() {
    let aws = start().await;
    create_table(&aws.dynamodb_url(), "orders").await;
    aws.set_faults(Faults { throttled: 1.0, ..Faults::default() }).expect("valid");

    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = dynamodb(&aws.dynamodb_url(), "PutItem", put("a")).await.expect("an answer");
        assert_eq!(answer.status, 400);
        seen.insert(answer.error());
    }
    let expected = ["ProvisionedThroughputExceededException", "ThrottlingException"];
    assert_eq!(seen, expected.map(str::to_owned).into());

    let answer = s3(&aws.s3_url(), "PUT", "/bucket", b"").await.expect("an answer");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("<Code>SlowDown</Code>"), "{}", answer.text());

    let answer = sqs(&aws.sqs_url(), "ListQueues", json!({})).await.expect("an answer");
    assert_eq!((answer.status, answer.error().as_str()), (403, "RequestThrottled"));
    assert!(answer.head.contains("x-amzn-query-error: requestthrottled;sender"), "{}", answer.head);

    let usage = aws.usage();
    assert_eq!(usage.faults.throttled, 22);
    assert_eq!(usage.dynamodb.requests["PutItem"], 20, "refused requests count");
    assert_eq!((usage.s3.requests["CreateBucket"], usage.sqs.billed_requests), (1, 1));
    aws.set_faults(Faults::default()).expect("valid");
    assert_eq!(items(&aws).await, 0);
}

/// Some of a batch is done, and what is not is given back: together they are the batch.
#[tokio::test]
async fn of_a_throttled_batch_a_part_is_given_back() {
    let aws = start().await;
    create_table(&aws.dynamodb_url(), "orders").await;
    let throttle = |rate| aws.set_faults(Faults { throttled: rate, ..Faults::default() }).expect("valid");
    let request = |entry: &dyn Fn(&str) -> Value| ["a", "b", "c"].map(entry).to_vec();

    throttle(1.0);
    let writes = request(&|key| json!({ "PutRequest": { "Item": { "pk": { "S": key } } } }));
    let batch = json!({ "RequestItems": { "orders": writes } });
    let answer = dynamodb(&aws.dynamodb_url(), "BatchWriteItem", batch).await.expect("an answer");
    let left = answer.json()["UnprocessedItems"]["orders"].as_array().map_or(0, Vec::len) as u64;
    throttle(0.0);
    assert!((1..3).contains(&left), "{}", answer.text());
    assert_eq!(items(&aws).await, 3 - left);

    throttle(1.0);
    let keys = request(&|key| json!({ "pk": { "S": key } }));
    let batch = json!({ "RequestItems": { "orders": { "Keys": keys, "ConsistentRead": true } } });
    let answer = dynamodb(&aws.dynamodb_url(), "BatchGetItem", batch).await.expect("an answer");
    let left = &answer.json()["UnprocessedKeys"]["orders"];
    assert_eq!(left["ConsistentRead"], true, "it can be sent as it is");
    assert!((1..3).contains(&left["Keys"].as_array().map_or(0, Vec::len)), "{}", answer.text());
    assert_eq!(aws.usage().faults.throttled, 2);
}

#[tokio::test]
async fn server_errors_leave_requests_undone() {
    let aws = start().await;
    create_table(&aws.dynamodb_url(), "orders").await;
    aws.set_faults(Faults { server_errors: 1.0, ..Faults::default() }).expect("valid");
    for key in ["a", "b", "c"] {
        let answer = dynamodb(&aws.dynamodb_url(), "PutItem", put(key)).await.expect("an answer");
        assert!(matches!(answer.status, 500 | 503), "{}", answer.status);
    }
    aws.set_faults(Faults::default()).expect("valid");
    assert_eq!((items(&aws).await, aws.usage().faults.server_errors), (0, 3));
}

#[tokio::test]
async fn lost_responses_are_those_of_requests_that_were_done() {
    let aws = start().await;
    create_table(&aws.dynamodb_url(), "orders").await;
    aws.set_faults(Faults { lost_responses: 1.0, ..Faults::default() }).expect("valid");
    let (mut replaced, mut dropped) = (0, 0);
    for key in 0..20 {
        match dynamodb(&aws.dynamodb_url(), "PutItem", put(&key.to_string())).await {
            Ok(answer) => {
                assert_eq!(answer.status, 500);
                replaced += 1;
            }
            Err(_) => dropped += 1,
        }
    }
    assert!(replaced > 0 && dropped > 0, "{replaced} replaced, {dropped} dropped");
    aws.set_faults(Faults::default()).expect("valid");
    assert_eq!(items(&aws).await, 20);
    assert_eq!(aws.usage().faults.lost_responses, 20);
}

#[tokio::test]
async fn transactions_conflict() {
    let aws = start().await;
    create_table(&aws.dynamodb_url(), "orders").await;
    aws.set_faults(Faults { transaction_conflicts: 1.0, ..Faults::default() }).expect("valid");
    let url = aws.dynamodb_url();
    let transaction = json!({ "TransactItems": [{ "Put": put("a") }, { "Put": put("b") }] });
    let answer = dynamodb(&url, "TransactWriteItems", transaction).await.expect("an answer");
    assert_eq!((answer.status, answer.error().as_str()), (400, "TransactionCanceledException"));
    let reasons = &answer.json()["CancellationReasons"];
    let mut codes: Vec<_> = (0..2).map(|item| reasons[item]["Code"].as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some("None"), Some("TransactionConflict")]);

    let answer = dynamodb(&url, "PutItem", put("a")).await.expect("an answer");
    assert_eq!(answer.error(), "TransactionConflictException");
    assert_eq!(items(&aws).await, 0, "scans do not conflict");
    assert_eq!(aws.usage().faults.transaction_conflicts, 2);
}

#[tokio::test]
async fn duplicates_have_the_id_of_the_original() {
    let aws = start().await;
    let url = aws.sqs_url();
    let queue = create_queue(&url, "orders", json!({})).await;
    aws.set_faults(Faults { duplicate_deliveries: 1.0, ..Faults::default() }).expect("valid");
    for body in 0..10 {
        let message = json!({ "QueueUrl": queue, "MessageBody": body.to_string() });
        sqs(&url, "SendMessage", message).await.expect("an answer");
    }
    let mut ids: Vec<String> = Vec::new();
    while ids.len() < 20 {
        let poll = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 5 });
        let answer = sqs(&url, "ReceiveMessage", poll).await.expect("an answer").json();
        let messages = answer["Messages"].as_array().expect("a second delivery of each").clone();
        for message in messages {
            ids.push(message["MessageId"].to_string());
            let delete = json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"] });
            sqs(&url, "DeleteMessage", delete).await.expect("an answer");
        }
    }
    ids.sort();
    assert!(ids.chunks(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    ids.dedup();
    assert_eq!((ids.len(), aws.usage().faults.duplicate_deliveries), (10, 10));
}

#[tokio::test]
async fn late_messages_are_late_but_not_lost() {
    let aws = start().await;
    let url = aws.sqs_url();
    let queue = create_queue(&url, "orders", json!({})).await;
    let faults = Faults { late_deliveries: 1.0, late_delivery_ms_max: 600_000, ..Faults::default() };
    aws.set_faults(faults).expect("valid");
    for body in 0..10 {
        let message = json!({ "QueueUrl": queue, "MessageBody": body.to_string() });
        sqs(&url, "SendMessage", message).await.expect("an answer");
    }
    assert!(receive(&url, &queue).await.len() < 10);
    let request = json!({ "QueueUrl": queue, "AttributeNames": ["All"] });
    let answer = sqs(&url, "GetQueueAttributes", request).await.expect("an answer").json();
    let count = |name: &str| -> u64 {
        let text = answer["Attributes"][name].as_str().expect("an attribute");
        text.parse().expect("a number")
    };
    let waiting = count("ApproximateNumberOfMessagesDelayed");
    let received = count("ApproximateNumberOfMessagesNotVisible");
    assert!(waiting > 0);
    assert_eq!(waiting + received + count("ApproximateNumberOfMessages"), 10);
    assert_eq!(aws.usage().faults.late_deliveries, 10);
}

#[tokio::test]
async fn senseless_faults_are_refused_and_change_nothing() {
    let aws = start().await;
    let sensible = Faults { throttled: 0.5, ..Faults::default() };
    aws.set_faults(sensible.clone()).expect("valid");
    let error = aws.set_faults(Faults { server_errors: -0.1, ..Faults::default() });
    assert!(error.expect_err("negative").to_string().contains("`server_errors`"));
    assert_eq!(aws.faults(), sensible);
}
