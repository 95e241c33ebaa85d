//! The three services over HTTP, without faults.

mod support;

use std::time::Duration;

use cloakroom_local::{LocalAws, StartError};
use serde_json::json;
use support::{create_queue, create_table, dynamodb, receive, s3, s3_with, send, sqs};
use tokio::time::Instant;

#[tokio::test]
async fn sqs_serves_its_json_protocol() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.sqs_url();
    let queue = create_queue(&url, "orders", json!({})).await;
    assert_eq!(queue, format!("{url}/000000000000/orders"));

    let sent = sqs(&url, "SendMessage", json!({ "QueueUrl": queue, "MessageBody": "hello" })).await;
    let sent = sent.expect("a response").json();
    assert_eq!(sent["MD5OfMessageBody"], "5d41402abc4b2a76b9719d911017c592");

    let received = receive(&url, &queue).await;
    assert_eq!((received.len(), &received[0]["Body"]), (1, &json!("hello")));
    assert_eq!(received[0]["MessageId"], sent["MessageId"]);
    let handle = &received[0]["ReceiptHandle"];
    for _ in 0..2 {
        let delete = json!({ "QueueUrl": queue, "ReceiptHandle": handle });
        assert_eq!(sqs(&url, "DeleteMessage", delete).await.expect("a response").status, 200);
    }
}

#[tokio::test]
async fn sqs_errors_have_the_code_of_the_query_protocol() {
    let aws = LocalAws::start().await.expect("started");
    let response = sqs(&aws.sqs_url(), "GetQueueUrl", json!({ "QueueName": "none" })).await.expect("a response");
    assert_eq!((response.status, response.error().as_str()), (400, "QueueDoesNotExist"));
    let code = "x-amzn-query-error: aws.simplequeueservice.nonexistentqueue;sender";
    assert!(response.head.contains(code), "{}", response.head);

    let response = sqs(&aws.sqs_url(), "AddPermission", json!({})).await.expect("a response");
    assert_eq!(response.error(), "UnknownOperationException");
    assert!(response.text().contains("AddPermission"), "{}", response.text());
}

/// Waits until a long poll waits for messages. The service counts the poll when it has arrived. By
/// then it also waits, because a test has one thread, and the service yields it only when it waits.
async fn until_a_poll_waits(aws: &LocalAws) {
    while !aws.usage().sqs.requests.contains_key("ReceiveMessage") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_long_poll_ends_when_a_message_arrives() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.sqs_url();
    let queue = create_queue(&url, "orders", json!({})).await;
    let started = Instant::now();
    let poll = json!({ "QueueUrl": queue, "WaitTimeSeconds": 20 });
    let poll = sqs(&url, "ReceiveMessage", poll);
    let send = async {
        until_a_poll_waits(&aws).await;
        sqs(&url, "SendMessage", json!({ "QueueUrl": queue, "MessageBody": "x" })).await
    };
    let (polled, _) = tokio::join!(poll, send);
    assert_eq!(polled.expect("a response").json()["Messages"][0]["Body"], "x");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn shutdown_does_not_wait_for_long_polls() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.sqs_url();
    let queue = create_queue(&url, "orders", json!({})).await;
    let poll = json!({ "QueueUrl": queue, "WaitTimeSeconds": 20 });
    let poll = tokio::spawn(async move { sqs(&url, "ReceiveMessage", poll).await });
    until_a_poll_waits(&aws).await;
    let shutdown = tokio::time::timeout(Duration::from_secs(10), aws.shutdown());
    shutdown.await.expect("the poll has a response");
    assert_eq!(poll.await.expect("no panic").expect("a response").status, 200);
}

#[tokio::test]
async fn request_is_counted_although_its_client_disconnects() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.sqs_url();
    let queue = create_queue(&url, "orders", json!({})).await;
    let before = aws.usage();
    let poll = json!({ "QueueUrl": queue, "WaitTimeSeconds": 20 });
    tokio::select! {
        _ = sqs(&url, "ReceiveMessage", poll) => panic!("there is nothing to receive"),
        () = until_a_poll_waits(&aws) => {}
    }
    let usage = aws.usage().since(&before).sqs;
    assert_eq!((usage.requests["ReceiveMessage"], usage.billed_requests), (1, 1));
}

#[tokio::test]
async fn large_messages_are_billed_by_their_size() {
    let aws = LocalAws::start().await.expect("started");
    let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
    let before = aws.usage();
    let message = json!({ "QueueUrl": queue, "MessageBody": "x".repeat(64 * 1024 + 1) });
    sqs(&aws.sqs_url(), "SendMessage", message).await.expect("a response");
    let sent = aws.usage();
    assert_eq!(sent.since(&before).sqs.billed_requests, 2);
    receive(&aws.sqs_url(), &queue).await;
    assert_eq!(aws.usage().since(&sent).sqs.billed_requests, 2);
}

#[tokio::test]
async fn expired_receipt_of_a_fifo_queue_is_rejected() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.sqs_url();
    let queue = create_queue(&url, "orders.fifo", json!({ "FifoQueue": "true" })).await;
    let message =
        json!({ "QueueUrl": queue, "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d" });
    sqs(&url, "SendMessage", message).await.expect("a response");
    let received = receive(&url, &queue).await;
    let handle = &received[0]["ReceiptHandle"];
    let show = json!({ "QueueUrl": queue, "ReceiptHandle": handle, "VisibilityTimeout": 0 });
    assert_eq!(sqs(&url, "ChangeMessageVisibility", show).await.expect("a response").status, 200);
    let delete = json!({ "QueueUrl": queue, "ReceiptHandle": handle });
    let response = sqs(&url, "DeleteMessage", delete).await.expect("a response");
    assert_eq!((response.status, response.error().as_str()), (400, "InvalidParameterValueException"));
    assert!(response.text().contains("The receipt handle has expired"), "{}", response.text());
}

#[tokio::test]
async fn batch_entries_succeed_and_fail_individually() {
    let aws = LocalAws::start().await.expect("started");
    let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
    let entries = json!([
        { "Id": "good", "MessageBody": "x" },
        { "Id": "late", "MessageBody": "x", "DelaySeconds": 901 },
        { "Id": "garbled", "MessageBody": "\u{2}" },
    ]);
    let batch = json!({ "QueueUrl": queue, "Entries": entries });
    let response = sqs(&aws.sqs_url(), "SendMessageBatch", batch).await.expect("a response").json();
    assert_eq!(response["Successful"][0]["Id"], "good");
    let failed: Vec<_> = response["Failed"].as_array().expect("a list").iter().map(|f| f["Code"].as_str()).collect();
    assert_eq!(failed, [Some("InvalidParameterValue"), Some("InvalidMessageContents")]);
    assert_eq!(receive(&aws.sqs_url(), &queue).await.len(), 1);
}

#[tokio::test]
async fn capacity_is_counted_but_returned_only_on_request() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.dynamodb_url();
    create_table(&url, "orders").await;
    let before = aws.usage();
    let item = json!({ "pk": { "S": "a" }, "data": { "S": "x".repeat(1_500) } });
    let put = json!({ "TableName": "orders", "Item": item });
    let response = dynamodb(&url, "PutItem", put.clone()).await.expect("a response");
    assert_eq!(response.text(), "{}");
    let transaction = json!({ "TransactItems": [{ "Put": put }], "ReturnConsumedCapacity": "TOTAL" });
    let response = dynamodb(&url, "TransactWriteItems", transaction).await.expect("a response");
    assert_eq!(response.json()["ConsumedCapacity"][0]["CapacityUnits"], 4.0);
    let get = json!({ "TableName": "orders", "Key": { "pk": { "S": "a" } } });
    let response = dynamodb(&url, "GetItem", get).await.expect("a response");
    assert!(response.json().get("ConsumedCapacity").is_none());

    let used = aws.usage().since(&before).dynamodb;
    assert_eq!((used.units.write, used.units.read), (6.0, 0.5));
    assert_eq!(used.units_by_operation["TransactWriteItems"].write, 4.0);
    assert_eq!(used.requests["PutItem"], 1);
}

#[tokio::test]
async fn transaction_with_the_same_token_is_performed_once() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.dynamodb_url();
    create_table(&url, "orders").await;
    let add = |amount: &str| {
        let update = json!({
            "TableName": "orders",
            "Key": { "pk": { "S": "a" } },
            "UpdateExpression": "ADD amounts :amount",
            "ExpressionAttributeValues": { ":amount": { "N": amount } },
        });
        json!({ "ClientRequestToken": "token", "TransactItems": [{ "Update": update }] })
    };
    for _ in 0..3 {
        let response = dynamodb(&url, "TransactWriteItems", add("5")).await.expect("a response");
        assert_eq!(response.text(), "{}");
    }
    let response = dynamodb(&url, "TransactWriteItems", add("6")).await.expect("a response");
    assert_eq!(response.error(), "IdempotentParameterMismatchException");

    let get = json!({ "TableName": "orders", "Key": { "pk": { "S": "a" } }, "ConsistentRead": true });
    let response = dynamodb(&url, "GetItem", get).await.expect("a response");
    assert_eq!(response.json()["Item"]["amounts"]["N"], "5");
    let units = aws.usage().dynamodb.units_by_operation["TransactWriteItems"];
    assert_eq!((units.write, units.read), (2.0, 4.0), "repetitions consume read units");
}

#[tokio::test]
async fn failed_condition_is_billed() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.dynamodb_url();
    create_table(&url, "orders").await;
    let before = aws.usage();
    let put = json!({
        "TableName": "orders",
        "Item": { "pk": { "S": "a" } },
        "ConditionExpression": "attribute_exists(pk)",
    });
    let response = dynamodb(&url, "PutItem", put).await.expect("a response");
    assert_eq!((response.status, response.error().as_str()), (400, "ConditionalCheckFailedException"));
    assert_eq!(aws.usage().since(&before).dynamodb.units.write, 1.0);
}

#[tokio::test]
async fn s3_accepts_only_signed_requests() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.s3_url();
    let anonymous = send(&url, "PUT", "/bucket", &[], b"").await.expect("a response");
    assert_eq!(anonymous.status, 403, "{}", anonymous.text());
    assert_eq!(s3(&url, "PUT", "/bucket", b"").await.expect("a response").status, 200);
    assert_eq!(s3(&url, "PUT", "/bucket/key", b"hello").await.expect("a response").status, 200);
    let response = s3(&url, "GET", "/bucket/key", b"").await.expect("a response");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));

    let head = s3(&url, "HEAD", "/bucket/key", b"").await.expect("a response");
    assert!(head.head.contains("content-length: 5"), "{}", head.head);
    assert!(head.head.contains("etag: \"5d41402abc4b2a76b9719d911017c592\""), "{}", head.head);
    let missing = s3(&url, "GET", "/bucket/none", b"").await.expect("a response");
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("<Code>NoSuchKey</Code>"), "{}", missing.text());

    let usage = aws.usage().s3;
    assert_eq!((usage.put_class, usage.get_class), (3, 3));
    assert_eq!((usage.bytes_in, usage.requests["PutObject"]), (5, 1));
}

#[tokio::test]
async fn s3_puts_an_object_only_once_with_if_none_match() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.s3_url();
    s3(&url, "PUT", "/bucket", b"").await.expect("a response");
    let once = [("if-none-match", "*".to_owned())];
    let statuses = [b"1", b"2"].map(|body| s3_with(&url, "PUT", "/bucket/key", &once, body));
    let mut outcomes = Vec::new();
    for status in statuses {
        outcomes.push(status.await.expect("a response").status);
    }
    assert_eq!(outcomes, [200, 412]);
    assert_eq!(s3(&url, "GET", "/bucket/key", b"").await.expect("a response").text(), "1");
}

#[tokio::test]
async fn start_error_names_the_port_in_use() {
    let first = LocalAws::start().await.expect("started");
    let port = first.s3_url().rsplit(':').next().and_then(|port| port.parse().ok());
    let taken = LocalAws::builder().s3_port(port.expect("a port")).start().await;
    let error = taken.expect_err("taken");
    assert!(matches!(error, StartError::Port { service: "S3", .. }), "{error:?}");
    assert!(error.to_string().contains("choose another port"), "{error}");
}

#[tokio::test]
async fn environment_contains_the_urls_and_credentials() {
    let aws = LocalAws::builder().credentials("key", "secret").start().await.expect("started");
    let environment: std::collections::HashMap<_, _> = aws.environment().into_iter().collect();
    assert_eq!(environment["AWS_ENDPOINT_URL_SQS"], aws.sqs_url());
    assert_eq!(environment["AWS_ENDPOINT_URL_DYNAMODB"], aws.dynamodb_url());
    assert_eq!(environment["AWS_ENDPOINT_URL_S3"], aws.s3_url());
    assert_eq!(environment["AWS_REGION"], "us-east-1");
    assert_eq!(environment["AWS_ACCESS_KEY_ID"], "key");
    assert_eq!(environment["AWS_SECRET_ACCESS_KEY"], "secret");
}

#[tokio::test]
async fn point_in_time_recovery_is_kept_for_existing_tables() {
    let aws = LocalAws::start().await.expect("started");
    let url = aws.dynamodb_url();
    create_table(&url, "things").await;
    let status = async |table: &str| {
        let response = dynamodb(&url, "DescribeContinuousBackups", json!({ "TableName": table })).await;
        let response = response.expect("a response").json();
        response["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"].clone()
    };
    assert_eq!(status("things").await, "DISABLED");
    for (on, expected) in [(true, "ENABLED"), (false, "DISABLED")] {
        let wanted = json!({ "PointInTimeRecoveryEnabled": on });
        let update = json!({ "TableName": "things", "PointInTimeRecoverySpecification": wanted });
        assert_eq!(dynamodb(&url, "UpdateContinuousBackups", update).await.expect("a response").status, 200);
        assert_eq!(status("things").await, expected);
    }
    let response = dynamodb(&url, "DescribeContinuousBackups", json!({ "TableName": "none" })).await;
    assert_eq!(response.expect("a response").error(), "ResourceNotFoundException");
}
