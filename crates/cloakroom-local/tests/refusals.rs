//! Requests that AWS rejects are rejected with the same errors.

mod support;

use cloakroom_local::LocalAws;
use serde_json::{Value, json};
use support::{create_queue, receive, s3, s3_with, sqs};

async fn start() -> LocalAws {
    LocalAws::start().await.expect("started")
}

/// Returns the error of a request to SQS. Empty if the request succeeds.
async fn error(aws: &LocalAws, operation: &str, request: Value) -> String {
    let response = sqs(&aws.sqs_url(), operation, request).await.expect("a response");
    response.error()
}

fn policy(target: &str) -> String {
    let arn = format!("arn:aws:sqs:us-east-1:000000000000:{target}");
    json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 3 }).to_string()
}

#[tokio::test]
async fn dead_letter_queue_must_exist_and_have_the_same_type_and_allow_the_source() {
    let aws = start().await;
    create_queue(&aws.sqs_url(), "dead", json!({})).await;
    create_queue(&aws.sqs_url(), "dead.fifo", json!({ "FifoQueue": "true" })).await;
    let orders = create_queue(&aws.sqs_url(), "orders", json!({})).await;
    let invalid = "InvalidParameterValueException";
    let elsewhere = policy("dead").replace("us-east-1", "us-east-2");
    for (refused, why) in [(policy("none"), "missing"), (policy("dead.fifo"), "kind"), (elsewhere, "region")] {
        let create = json!({ "QueueName": "new", "Attributes": { "RedrivePolicy": refused } });
        assert_eq!(error(&aws, "CreateQueue", create).await, invalid, "{why}");
        let set = json!({ "QueueUrl": orders, "Attributes": { "RedrivePolicy": refused } });
        assert_eq!(error(&aws, "SetQueueAttributes", set).await, invalid, "{why}");
    }
    let fifo = json!({ "FifoQueue": "true", "RedrivePolicy": policy("dead") });
    let create = json!({ "QueueName": "new.fifo", "Attributes": fifo });
    assert_eq!(error(&aws, "CreateQueue", create).await, invalid, "a standard queue for a FIFO queue");

    let dead = json!({ "QueueUrl": format!("{}/000000000000/dead", aws.sqs_url()) });
    let set = json!({ "QueueUrl": orders, "Attributes": { "RedrivePolicy": policy("dead") } });
    let source = "arn:aws:sqs:us-east-1:000000000000:orders";
    for (allow, expected) in [
        (json!({ "redrivePermission": "denyAll" }), invalid),
        (json!({ "redrivePermission": "byQueue", "sourceQueueArns": [format!("{source}2")] }), invalid),
        (json!({ "redrivePermission": "byQueue", "sourceQueueArns": [source] }), ""),
        (json!({ "redrivePermission": "allowAll" }), ""),
    ] {
        let mut request = dead.clone();
        request["Attributes"] = json!({ "RedriveAllowPolicy": allow.to_string() });
        assert_eq!(error(&aws, "SetQueueAttributes", request).await, "");
        assert_eq!(error(&aws, "SetQueueAttributes", set.clone()).await, expected, "{allow}");
    }
}

#[tokio::test]
async fn requests_for_unknown_attributes_are_rejected() {
    let aws = start().await;
    let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
    let invalid = "InvalidAttributeName";
    let get = |name: &str| json!({ "QueueUrl": queue, "AttributeNames": ["QueueArn", name] });
    for name in ["All", "Policy", "RedrivePolicy", "FifoThroughputLimit", "CreatedTimestamp"] {
        assert_eq!(error(&aws, "GetQueueAttributes", get(name)).await, "", "{name}");
    }
    for name in ["Colour", "all", "", "SenderId"] {
        assert_eq!(error(&aws, "GetQueueAttributes", get(name)).await, invalid, "{name}");
        for field in ["AttributeNames", "MessageSystemAttributeNames"] {
            let mut poll = json!({ "QueueUrl": queue });
            poll[field] = json!([name.replace("SenderId", "QueueArn")]);
            assert_eq!(error(&aws, "ReceiveMessage", poll).await, invalid, "{name}");
        }
    }
    let set = json!({ "QueueUrl": queue, "Attributes": { "QueueArn": "arn" } });
    assert_eq!(error(&aws, "SetQueueAttributes", set).await, invalid);
}

#[tokio::test]
async fn message_attributes_that_aws_rejects_are_rejected() {
    let aws = start().await;
    let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
    let send = |name: &str, kind: &str, value: &str| {
        let attributes = json!({ name: { "DataType": kind, "StringValue": value } });
        json!({ "QueueUrl": queue, "MessageBody": "x", "MessageAttributes": attributes })
    };
    assert_eq!(error(&aws, "SendMessage", send("a.b", "Number", "-1.5e3")).await, "");
    for (name, kind, value) in
        [("AWS.x", "String", "v"), (".a", "String", "v"), ("a..b", "String", "v"), ("n", "Number", "NaN")]
    {
        let refused = error(&aws, "SendMessage", send(name, kind, value)).await;
        assert_eq!(refused, "InvalidParameterValueException", "{name}");
    }
    let mut system = send("a", "String", "v");
    system["MessageSystemAttributes"] = json!({ "Priority": { "DataType": "String", "StringValue": "1" } });
    assert_eq!(error(&aws, "SendMessage", system).await, "InvalidParameterValueException");
}

#[tokio::test]
async fn queue_cannot_be_purged_or_created_again_within_a_minute() {
    for cooldowns in [true, false] {
        let aws = LocalAws::builder().queue_cooldowns(cooldowns).start().await.expect("started");
        let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
        let url = json!({ "QueueUrl": queue });
        let expected = |code: &'static str| if cooldowns { code } else { "" };
        assert_eq!(error(&aws, "PurgeQueue", url.clone()).await, "");
        assert_eq!(error(&aws, "PurgeQueue", url.clone()).await, expected("PurgeQueueInProgress"));
        assert_eq!(error(&aws, "DeleteQueue", url).await, "");
        let create = json!({ "QueueName": "orders" });
        assert_eq!(error(&aws, "CreateQueue", create).await, expected("QueueDeletedRecently"));
        assert_eq!(error(&aws, "CreateQueue", json!({ "QueueName": "others" })).await, "");
    }
}

#[tokio::test]
async fn page_sizes_and_rates_out_of_range_are_rejected() {
    let aws = start().await;
    create_queue(&aws.sqs_url(), "dead", json!({})).await;
    create_queue(&aws.sqs_url(), "orders", json!({ "RedrivePolicy": policy("dead") })).await;
    create_queue(&aws.sqs_url(), "orders.fifo", json!({ "FifoQueue": "true" })).await;
    let arn = |name: &str| format!("arn:aws:sqs:us-east-1:000000000000:{name}");
    for (operation, request) in [
        ("ListQueues", json!({ "MaxResults": 0 })),
        ("ListQueues", json!({ "MaxResults": 1001 })),
        ("ListMessageMoveTasks", json!({ "SourceArn": arn("dead"), "MaxResults": 11 })),
        ("ListMessageMoveTasks", json!({ "SourceArn": arn("dead"), "MaxResults": -1 })),
        ("StartMessageMoveTask", json!({ "SourceArn": arn("dead"), "MaxNumberOfMessagesPerSecond": 501 })),
        ("StartMessageMoveTask", json!({ "SourceArn": arn("dead"), "MaxNumberOfMessagesPerSecond": 0 })),
        ("StartMessageMoveTask", json!({ "SourceArn": arn("dead"), "DestinationArn": arn("orders.fifo") })),
    ] {
        let refused = error(&aws, operation, request.clone()).await;
        assert_eq!(refused, "InvalidParameterValueException", "{operation} {request}");
    }
}

#[tokio::test]
async fn message_is_hidden_for_at_most_twelve_hours() {
    let aws = start().await;
    let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
    sqs(&aws.sqs_url(), "SendMessage", json!({ "QueueUrl": queue, "MessageBody": "x" })).await.expect("a response");
    let handle = receive(&aws.sqs_url(), &queue).await[0]["ReceiptHandle"].clone();
    for (seconds, expected) in [(43_201, "InvalidParameterValueException"), (43_200, "")] {
        let change = json!({ "QueueUrl": queue, "ReceiptHandle": handle, "VisibilityTimeout": seconds });
        assert_eq!(error(&aws, "ChangeMessageVisibility", change).await, expected, "{seconds}");
    }
}

/// Returns the code and the message of an error of S3.
fn s3_error(response: &support::Response) -> (String, String) {
    let text = response.text();
    let part = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(part, _)| part.to_owned())
    };
    (part("Code").unwrap_or_default(), part("Message").unwrap_or_default())
}

#[tokio::test]
async fn every_error_of_s3_has_a_message() {
    let aws = start().await;
    let url = aws.s3_url();
    s3(&url, "PUT", "/bucket", b"").await.expect("a response");
    s3(&url, "PUT", "/bucket/key", b"hello").await.expect("a response");
    let too_long = format!("/bucket/{}", "k".repeat(1_025));
    for (method, path, status, code) in [
        ("PUT", too_long.as_str(), 400, "KeyTooLongError"),
        ("PUT", "/B", 400, "InvalidBucketName"),
        ("GET", "/bucket?lifecycle", 404, "NoSuchLifecycleConfiguration"),
        ("GET", "/bucket?ownershipControls", 404, "OwnershipControlsNotFoundError"),
        ("GET", "/bucket?policy", 404, "NoSuchBucketPolicy"),
        ("GET", "/bucket?tagging", 404, "NoSuchTagSet"),
        ("GET", "/bucket?list-type=2&max-keys=-1", 400, "InvalidArgument"),
        ("GET", "/bucket?list-type=2&max-keys=many", 400, "InvalidArgument"),
        ("GET", "/?max-buckets=0", 400, "InvalidArgument"),
        ("GET", "/bucket?cors", 501, "NotImplemented"),
        ("PUT", "/bucket?policy", 400, "MalformedPolicy"),
    ] {
        let response = s3(&url, method, path, b"anyone").await.expect("a response");
        let (actual, message) = s3_error(&response);
        assert_eq!((response.status, actual.as_str()), (status, code), "{method} {path}: {}", response.text());
        assert!(!message.is_empty(), "{method} {path}: {}", response.text());
    }
    let range = [("range", "bytes=9-".to_owned())];
    let response = s3_with(&url, "GET", "/bucket/key", &range, b"").await.expect("a response");
    assert_eq!(response.status, 416);
    let expected = ("InvalidRange".to_owned(), "The requested range is not satisfiable".to_owned());
    assert_eq!(s3_error(&response), expected, "{}", response.text());
}

#[tokio::test]
async fn one_request_deletes_at_most_a_thousand_objects() {
    let aws = start().await;
    let url = aws.s3_url();
    s3(&url, "PUT", "/bucket", b"").await.expect("a response");
    for (count, status) in [(0, 400), (1, 200), (1_000, 200), (1_001, 400)] {
        let object = |number: u32| format!("<Object><Key>{number}</Key></Object>");
        let objects: String = (0..count).map(object).collect();
        let body = format!("<Delete>{objects}</Delete>");
        let response = s3(&url, "POST", "/bucket?delete", body.as_bytes()).await.expect("a response");
        assert_eq!(response.status, status, "{count}: {}", response.text());
        if status == 400 {
            assert_eq!(s3_error(&response).0, "MalformedXML");
        }
    }
}

#[tokio::test]
async fn s3_rejects_tags_and_metadata_out_of_range() {
    let aws = start().await;
    let url = aws.s3_url();
    s3(&url, "PUT", "/bucket", b"").await.expect("a response");
    let tags: Vec<String> = (0..11).map(|number| format!("{number}=v")).collect();
    for (header, value, code) in [
        ("x-amz-tagging", tags.join("&"), "BadRequest"),
        ("x-amz-tagging", "a=1&a=2".to_owned(), "InvalidTag"),
        ("x-amz-meta-long", "x".repeat(2_048), "MetadataTooLarge"),
    ] {
        let response = s3_with(&url, "PUT", "/bucket/key", &[(header, value)], b"").await.expect("a response");
        assert_eq!((response.status, s3_error(&response).0.as_str()), (400, code), "{}", response.text());
    }
}
