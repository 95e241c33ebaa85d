//! Each fault, from the view of a client.

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
    let response = dynamodb(&aws.dynamodb_url(), "Scan", scan).await.expect("a response");
    response.json()["Count"].as_u64().expect("a count")
}

#[tokio::test]
async fn throttling_returns_the_error_of_each_service() {
    let aws = start().await;
    create_table(&aws.dynamodb_url(), "orders").await;
    aws.set_faults(Faults { throttled: 1.0, ..Faults::default() }).expect("valid");

    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let response = dynamodb(&aws.dynamodb_url(), "PutItem", put("a")).await.expect("a response");
        assert_eq!(response.status, 400);
        seen.insert(response.error());
    }
    let expected = ["ProvisionedThroughputExceededException", "ThrottlingException"];
    assert_eq!(seen, expected.map(str::to_owned).into());

    let response = s3(&aws.s3_url(), "PUT", "/bucket", b"").await.expect("a response");
    assert_eq!(response.status, 503);
    assert!(response.text().contains("<Code>SlowDown</Code>"), "{}", response.text());

    let response = sqs(&aws.sqs_url(), "ListQueues", json!({})).await.expect("a response");
    assert_eq!((response.status, response.error().as_str()), (403, "RequestThrottled"));
    assert!(response.head.contains("x-amzn-query-error: requestthrottled;sender"), "{}", response.head);

    let usage = aws.usage();
    assert_eq!(usage.faults.throttled, 22);
    assert_eq!(usage.dynamodb.requests["PutItem"], 20, "rejected requests are counted");
    assert_eq!((usage.s3.requests["CreateBucket"], usage.sqs.billed_requests), (1, 1));
    aws.set_faults(Faults::default()).expect("valid");
    assert_eq!(items(&aws).await, 0);
}

/// The performed part and the unprocessed rest together are the batch.
#[tokio::test]
async fn throttled_batch_returns_a_part_as_unprocessed() {
    let aws = start().await;
    create_table(&aws.dynamodb_url(), "orders").await;
    let throttle = |rate| aws.set_faults(Faults { throttled: rate, ..Faults::default() }).expect("valid");
    let request = |entry: &dyn Fn(&str) -> Value| ["a", "b", "c"].map(entry).to_vec();

    throttle(1.0);
    let writes = request(&|key| json!({ "PutRequest": { "Item": { "pk": { "S": key } } } }));
    let batch = json!({ "RequestItems": { "orders": writes } });
    let response = dynamodb(&aws.dynamodb_url(), "BatchWriteItem", batch).await.expect("a response");
    let left = response.json()["UnprocessedItems"]["orders"].as_array().map_or(0, Vec::len) as u64;
    throttle(0.0);
    assert!((1..3).contains(&left), "{}", response.text());
    assert_eq!(items(&aws).await, 3 - left);

    throttle(1.0);
    let keys = request(&|key| json!({ "pk": { "S": key } }));
    let batch = json!({ "RequestItems": { "orders": { "Keys": keys, "ConsistentRead": true } } });
    let response = dynamodb(&aws.dynamodb_url(), "BatchGetItem", batch).await.expect("a response");
    let left = &response.json()["UnprocessedKeys"]["orders"];
    assert_eq!(left["ConsistentRead"], true, "the rest can be sent unchanged");
    assert!((1..3).contains(&left["Keys"].as_array().map_or(0, Vec::len)), "{}", response.text());
    assert_eq!(aws.usage().faults.throttled, 2);
}

#[tokio::test]
async fn requests_with_injected_server_errors_are_not_performed() {
    let aws = start().await;
    create_table(&aws.dynamodb_url(), "orders").await;
    aws.set_faults(Faults { server_errors: 1.0, ..Faults::default() }).expect("valid");
    for key in ["a", "b", "c"] {
        let response = dynamodb(&aws.dynamodb_url(), "PutItem", put(key)).await.expect("a response");
        assert!(matches!(response.status, 500 | 503), "{}", response.status);
    }
    aws.set_faults(Faults::default()).expect("valid");
    assert_eq!((items(&aws).await, aws.usage().faults.server_errors), (0, 3));
}

#[tokio::test]
async fn requests_with_lost_responses_are_performed() {
    let aws = start().await;
    create_table(&aws.dynamodb_url(), "orders").await;
    aws.set_faults(Faults { lost_responses: 1.0, ..Faults::default() }).expect("valid");
    let (mut replaced, mut dropped) = (0, 0);
    for key in 0..20 {
        match dynamodb(&aws.dynamodb_url(), "PutItem", put(&key.to_string())).await {
            Ok(response) => {
                assert_eq!(response.status, 500);
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
async fn injected_transaction_conflicts_have_the_errors_of_dynamodb() {
    let aws = start().await;
    create_table(&aws.dynamodb_url(), "orders").await;
    aws.set_faults(Faults { transaction_conflicts: 1.0, ..Faults::default() }).expect("valid");
    let url = aws.dynamodb_url();
    let transaction = json!({ "TransactItems": [{ "Put": put("a") }, { "Put": put("b") }] });
    let response = dynamodb(&url, "TransactWriteItems", transaction).await.expect("a response");
    assert_eq!((response.status, response.error().as_str()), (400, "TransactionCanceledException"));
    let reasons = &response.json()["CancellationReasons"];
    let mut codes: Vec<_> = (0..2).map(|item| reasons[item]["Code"].as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some("None"), Some("TransactionConflict")]);

    let response = dynamodb(&url, "PutItem", put("a")).await.expect("a response");
    assert_eq!(response.error(), "TransactionConflictException");
    assert_eq!(items(&aws).await, 0, "a scan does not conflict");
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
        sqs(&url, "SendMessage", message).await.expect("a response");
    }
    let mut ids: Vec<String> = Vec::new();
    while ids.len() < 20 {
        let poll = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 5 });
        let response = sqs(&url, "ReceiveMessage", poll).await.expect("a response").json();
        let messages = response["Messages"].as_array().expect("two deliveries of each message").clone();
        for message in messages {
            ids.push(message["MessageId"].to_string());
            let delete = json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"] });
            sqs(&url, "DeleteMessage", delete).await.expect("a response");
        }
    }
    ids.sort();
    assert!(ids.chunks(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    ids.dedup();
    assert_eq!((ids.len(), aws.usage().faults.duplicate_deliveries), (10, 10));
}

#[tokio::test]
async fn late_messages_are_delayed_but_not_lost() {
    let aws = start().await;
    let url = aws.sqs_url();
    let queue = create_queue(&url, "orders", json!({})).await;
    let faults = Faults { late_deliveries: 1.0, late_delivery_ms_max: 600_000, ..Faults::default() };
    aws.set_faults(faults).expect("valid");
    for body in 0..10 {
        let message = json!({ "QueueUrl": queue, "MessageBody": body.to_string() });
        sqs(&url, "SendMessage", message).await.expect("a response");
    }
    assert!(receive(&url, &queue).await.len() < 10);
    let request = json!({ "QueueUrl": queue, "AttributeNames": ["All"] });
    let response = sqs(&url, "GetQueueAttributes", request).await.expect("a response").json();
    let count = |name: &str| -> u64 {
        let text = response["Attributes"][name].as_str().expect("an attribute");
        text.parse().expect("a number")
    };
    let waiting = count("ApproximateNumberOfMessagesDelayed");
    let received = count("ApproximateNumberOfMessagesNotVisible");
    assert!(waiting > 0);
    assert_eq!(waiting + received + count("ApproximateNumberOfMessages"), 10);
    assert_eq!(aws.usage().faults.late_deliveries, 10);
}

#[tokio::test]
async fn invalid_faults_are_rejected_and_change_nothing() {
    let aws = start().await;
    let valid = Faults { throttled: 0.5, ..Faults::default() };
    aws.set_faults(valid.clone()).expect("valid");
    let error = aws.set_faults(Faults { server_errors: -0.1, ..Faults::default() });
    assert!(error.expect_err("negative").to_string().contains("`server_errors`"));
    assert_eq!(aws.faults(), valid);
}
