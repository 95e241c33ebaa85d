//! What AWS refuses is refused here, too, with the errors of AWS.

mod support;

use cloakroom_local::LocalAws;
use serde_json::{Value, json};
use support::{create_queue, receive, s3, s3_with, sqs};

async fn start() -> LocalAws {
    LocalAws::start().await.expect("started")
}

/// The error of a request to SQS, or nothing if it succeeds.
async fn error(aws: &LocalAws, operation: &str, request: Value) -> String {
    let answer = sqs(&aws.sqs_url(), operation, request).await.expect("an answer");
    answer.error()
}

fn policy(target: &str) -> String {
    let arn = format!("arn:aws:sqs:us-east-1:000000000000:{target}");
    json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 3 }).to_string()
}

#[tokio::test]
async fn a_dead_letter_queue_has_to_exist_to_be_of_the_same_kind_and_to_allow_it() {
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
async fn attributes_that_do_not_exist_cannot_be_asked_for() {
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
async fn message_attributes_that_aws_refuses_are_refused() {
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
async fn a_queue_rests_for_a_minute_after_a_purge_and_after_its_deletion() {
    for cooldowns in [true, false] {
        let aws = LocalAws::builder().queue_cooldowns(cooldowns).start().await.expect("started");
        let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
        let url = json!({ "QueueUrl": queue });
        let refused = |code: &'static str| if cooldowns { code } else { "" };
        assert_eq!(error(&aws, "PurgeQueue", url.clone()).await, "");
        assert_eq!(error(&aws, "PurgeQueue", url.clone()).await, refused("PurgeQueueInProgress"));
        assert_eq!(error(&aws, "DeleteQueue", url).await, "");
        let create = json!({ "QueueName": "orders" });
        assert_eq!(error(&aws, "CreateQueue", create).await, refused("QueueDeletedRecently"));
        assert_eq!(error(&aws, "CreateQueue", json!({ "QueueName": "others" })).await, "");
    }
}

#[tokio::test]
async fn pages_and_rates_out_of_range_are_refused() {
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
async fn a_message_is_hidden_for_twelve_hours_at_most() {
    let aws = start().await;
    let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
    sqs(&aws.sqs_url(), "SendMessage", json!({ "QueueUrl": queue, "MessageBody": "x" })).await.expect("an answer");
    let handle = receive(&aws.sqs_url(), &queue).await[0]["ReceiptHandle"].clone();
    for (seconds, expected) in [(43_201, "InvalidParameterValueException"), (43_200, "")] {
        let change = json!({ "QueueUrl": queue, "ReceiptHandle": handle, "VisibilityTimeout": seconds });
        assert_eq!(error(&aws, "ChangeMessageVisibility", change).await, expected, "{seconds}");
    }
}

/// The code and the message of an error of S3.
fn of_s3(answer: &support::Answer) -> (String, String) {
    let text = answer.text();
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
    s3(&url, "PUT", "/bucket", b"").await.expect("an answer");
    s3(&url, "PUT", "/bucket/key", b"hello").await.expect("an answer");
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
        let answer = s3(&url, method, path, b"anyone").await.expect("an answer");
        let (told, message) = of_s3(&answer);
        assert_eq!((answer.status, told.as_str()), (status, code), "{method} {path}: {}", answer.text());
        assert!(!message.is_empty(), "{method} {path}: {}", answer.text());
    }
    let range = [("range", "bytes=9-".to_owned())];
    let answer = s3_with(&url, "GET", "/bucket/key", &range, b"").await.expect("an answer");
    assert_eq!(answer.status, 416);
    let expected = ("InvalidRange".to_owned(), "The requested range is not satisfiable".to_owned());
    assert_eq!(of_s3(&answer), expected, "{}", answer.text());
}

#[tokio::test]
async fn no_more_than_a_thousand_objects_are_deleted_at_once() {
    let aws = start().await;
    let url = aws.s3_url();
    s3(&url, "PUT", "/bucket", b"").await.expect("an answer");
    for (count, status) in [(0, 400), (1, 200), (1_000, 200), (1_001, 400)] {
        let object = |number: u32| format!("<Object><Key>{number}</Key></Object>");
        let objects: String = (0..count).map(object).collect();
        let body = format!("<Delete>{objects}</Delete>");
        let answer = s3(&url, "POST", "/bucket?delete", body.as_bytes()).await.expect("an answer");
        assert_eq!(answer.status, status, "{count}: {}", answer.text());
        if status == 400 {
            assert_eq!(of_s3(&answer).0, "MalformedXML");
        }
    }
}

#[tokio::test]
async fn tags_and_metadata_out_of_range_are_refused() {
    let aws = start().await;
    let url = aws.s3_url();
    s3(&url, "PUT", "/bucket", b"").await.expect("an answer");
    let tags: Vec<String> = (0..11).map(|number| format!("{number}=v")).collect();
    for (header, value, code) in [
        ("x-amz-tagging", tags.join("&"), "BadRequest"),
        ("x-amz-tagging", "a=1&a=2".to_owned(), "InvalidTag"),
        ("x-amz-meta-long", "x".repeat(2_048), "MetadataTooLarge"),
    ] {
        let answer = s3_with(&url, "PUT", "/bucket/key", &[(header, value)], b"").await.expect("an answer");
        assert_eq!((answer.status, of_s3(&answer).0.as_str()), (400, code), "{}", answer.text());
    }
}
