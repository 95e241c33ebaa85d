//! Functions that a queue triggers, through the Runtime API over HTTP.

mod support;

use cloakroom_local::{Function, FunctionSettings, LocalAws, StartError};
use serde_json::{Value, json};
use support::{Response, create_queue, receive, send, sqs};

/// An account with one queue and a function that it triggers.
struct TestFunction {
    aws: LocalAws,
    queue: String,
    function: Function,
}

/// An invocation as a function's process receives it.
struct Invocation {
    id: String,
    head: String,
    records: Vec<Value>,
}

impl Invocation {
    fn bodies(&self) -> Vec<&str> {
        self.records.iter().filter_map(|record| record["body"].as_str()).collect()
    }
}

/// Returns settings with a timeout of one second, so that tests can wait for it.
fn one_second_timeout() -> FunctionSettings {
    FunctionSettings { timeout_s: 1, ..FunctionSettings::default() }
}

impl TestFunction {
    async fn start(queue: &str, settings: FunctionSettings) -> Self {
        let aws = LocalAws::start().await.expect("started");
        // The minimum that AWS allows. With a window, the first messages must not be received again
        // before the window ends.
        let visibility = if settings.batch_window_s > 0 { 30 } else { settings.timeout_s };
        let mut attributes = json!({ "VisibilityTimeout": visibility.to_string() });
        if queue.ends_with(".fifo") {
            attributes["FifoQueue"] = "true".into();
            attributes["ContentBasedDeduplication"] = "true".into();
        }
        let url = create_queue(&aws.sqs_url(), queue, attributes).await;
        let function = aws.function(queue, settings).await.expect("a function");
        Self { aws, queue: url, function }
    }

    async fn send(&self, message: Value) {
        let mut request = message;
        request["QueueUrl"] = self.queue.clone().into();
        let response = sqs(&self.aws.sqs_url(), "SendMessage", request).await.expect("a response");
        assert_eq!(response.status, 200, "{}", response.text());
    }

    async fn send_bodies(&self, bodies: &[&str]) {
        for body in bodies {
            self.send(json!({ "MessageBody": body })).await;
        }
    }

    async fn request(&self, method: &str, path: &str, body: &str) -> Response {
        let url = format!("http://{}", self.function.runtime_api());
        send(&url, method, &format!("/2018-06-01/runtime/{path}"), &[], body.as_bytes()).await.expect("a response")
    }

    async fn next(&self) -> Invocation {
        let response = self.request("GET", "invocation/next", "").await;
        assert_eq!(response.status, 200, "{}", response.text());
        let id = header(&response.head, "lambda-runtime-aws-request-id").to_owned();
        let records = response.json()["Records"].as_array().expect("records").clone();
        Invocation { id, head: response.head, records }
    }

    async fn respond(&self, invocation: &Invocation, response: Value) -> Response {
        self.request("POST", &format!("invocation/{}/response", invocation.id), &response.to_string()).await
    }

    /// Returns the number of messages in the queue, visible or not.
    async fn messages(&self) -> u64 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let request = json!({ "QueueUrl": self.queue, "AttributeNames": names });
        let response = sqs(&self.aws.sqs_url(), "GetQueueAttributes", request).await.expect("a response").json();
        names
            .iter()
            .map(|name| response["Attributes"][name].as_str().expect("a number").parse::<u64>().expect("digits"))
            .sum()
    }
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)).expect("the header");
    line.trim_start_matches(": ")
}

fn failed(records: &[&Value]) -> Value {
    let failures: Vec<_> = records.iter().map(|record| json!({ "itemIdentifier": record["messageId"] })).collect();
    json!({ "batchItemFailures": failures })
}

#[tokio::test]
async fn invocation_has_the_headers_and_records_of_the_runtime_api() {
    let test = TestFunction::start("orders", FunctionSettings::default()).await;
    let attribute = json!({ "DataType": "Binary", "BinaryValue": "AP8=" });
    test.send(json!({ "MessageBody": "hello", "MessageAttributes": { "seal": attribute } })).await;
    let invocation = test.next().await;
    let deadline: u128 = header(&invocation.head, "lambda-runtime-deadline-ms").parse().expect("milliseconds");
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    assert!(deadline > now && deadline <= now + 3_000, "{deadline} at {now}");
    let arn = header(&invocation.head, "lambda-runtime-invoked-function-arn");
    assert_eq!(arn, "arn:aws:lambda:us-east-1:000000000000:function:function");
    assert!(header(&invocation.head, "lambda-runtime-trace-id").starts_with("root=1-"));
    let record = &invocation.records[0];
    assert_eq!(record["body"], "hello");
    assert_eq!(record["md5OfBody"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:000000000000:orders");
    assert_eq!(record["awsRegion"], "us-east-1");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    let shown = json!({ "dataType": "Binary", "binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [] });
    assert_eq!(record["messageAttributes"], json!({ "seal": shown }));
    let variables = test.function.environment();
    assert!(variables.contains(&("AWS_LAMBDA_RUNTIME_API", test.function.runtime_api())));
}

#[tokio::test]
async fn reported_failures_are_received_again_and_other_messages_are_deleted() {
    let test = TestFunction::start("orders", one_second_timeout()).await;
    test.send_bodies(&["a", "b", "c"]).await;
    let first = test.next().await;
    assert_eq!(first.bodies(), ["a", "b", "c"]);
    assert_eq!(test.respond(&first, failed(&[&first.records[1]])).await.status, 202);
    assert_eq!(test.messages().await, 1);
    let second = test.next().await;
    assert_eq!(second.bodies(), ["b"]);
    assert_eq!(second.records[0]["attributes"]["ApproximateReceiveCount"], "2");
    assert_eq!(test.respond(&second, Value::Null).await.status, 202);
    assert_eq!(test.messages().await, 0);
    let stats = test.function.stats();
    assert_eq!((stats.invocations, stats.succeeded, stats.under_way), (2, 2, 0));
    assert_eq!((stats.messages_given, stats.messages_deleted, stats.messages_failed), (4, 3, 1));
}

#[tokio::test]
async fn response_with_an_unknown_message_id_deletes_no_message() {
    let test = TestFunction::start("orders", one_second_timeout()).await;
    test.send_bodies(&["a", "b"]).await;
    for response in [json!({ "batchItemFailures": [{ "itemIdentifier": "c" }] }), json!({ "batchItemFailures": 1 })] {
        let invocation = test.next().await;
        assert_eq!(invocation.bodies(), ["a", "b"]);
        assert_eq!(test.respond(&invocation, response).await.status, 202);
        assert_eq!(test.messages().await, 2);
    }
    assert_eq!(test.function.stats().failed, 2);
}

#[tokio::test]
async fn every_response_is_a_success_if_failures_are_not_reported() {
    let test =
        TestFunction::start("orders", FunctionSettings { reports_failures: false, ..one_second_timeout() }).await;
    test.send_bodies(&["a", "b"]).await;
    let invocation = test.next().await;
    test.respond(&invocation, failed(&[&invocation.records[0]])).await;
    assert_eq!(test.messages().await, 0);
}

#[tokio::test]
async fn all_messages_are_received_again_after_a_function_error() {
    let test = TestFunction::start("orders", one_second_timeout()).await;
    test.send_bodies(&["a", "b"]).await;
    let first = test.next().await;
    let error = json!({ "errorType": "Panic", "errorMessage": "panicked" }).to_string();
    assert_eq!(test.request("POST", &format!("invocation/{}/error", first.id), &error).await.status, 202);
    assert_eq!(test.next().await.bodies(), ["a", "b"]);
    assert_eq!(test.function.stats().failed, 1);
    assert_eq!(test.request("POST", "init/error", &error).await.status, 202);
    assert_eq!(test.function.stats().init_errors, 1);
}

#[tokio::test]
async fn response_after_the_deadline_is_rejected() {
    let test = TestFunction::start("orders", one_second_timeout()).await;
    test.send_bodies(&["a"]).await;
    let late = test.next().await;
    let stats = test.function.until(|stats| stats.timed_out == 1).await;
    assert_eq!((stats.under_way, stats.succeeded), (0, 0));
    let refused = test.respond(&late, Value::Null).await;
    assert_eq!((refused.status, &refused.json()["errorType"]), (400, &json!("InvalidRequestID")));
    let again = test.next().await;
    assert_eq!(again.bodies(), ["a"]);
    assert_eq!(test.respond(&again, Value::Null).await.status, 202);
    assert_eq!(test.respond(&again, Value::Null).await.status, 400, "it has a response already");
    assert_eq!(test.request("POST", "invocation/none/response", "").await.status, 400);
    assert_eq!(test.request("GET", "invocation/last", "").await.status, 404);
}

#[tokio::test]
async fn message_group_is_in_one_invocation_at_a_time() {
    let test =
        TestFunction::start("orders.fifo", FunctionSettings { batch_size: 2, timeout_s: 1, ..Default::default() })
            .await;
    for (body, group) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")] {
        test.send(json!({ "MessageBody": body, "MessageGroupId": group })).await;
    }
    let one = test.next().await;
    assert_eq!(one.bodies(), ["a1", "a2"]);
    assert_eq!(one.records[0]["attributes"]["MessageGroupId"], "a");
    let other = test.next().await;
    assert_eq!(other.bodies(), ["b1"], "the rest of `a` waits");
    test.respond(&one, failed(&[&one.records[1]])).await;
    test.respond(&other, json!({})).await;
    assert_eq!(test.next().await.bodies(), ["a2", "a3"]);
}

#[tokio::test]
async fn batch_window_collects_messages_of_several_receives() {
    let settings = FunctionSettings { batch_size: 25, batch_window_s: 1, timeout_s: 1, ..Default::default() };
    let test = TestFunction::start("orders", settings).await;
    let bodies: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    test.send_bodies(&bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (one, other) = tokio::join!(test.next(), test.next());
    assert_eq!(one.records.len() + other.records.len(), 30, "two processes share the messages");
    assert!(one.records.len() <= 25 && other.records.len() <= 25);
    assert!(one.records.len() > 10 || other.records.len() > 10);
}

#[tokio::test]
async fn stopped_function_finishes_running_invocations_and_starts_no_new_one() {
    let test =
        TestFunction::start("orders", FunctionSettings { batch_size: 1, timeout_s: 1, ..Default::default() }).await;
    test.send_bodies(&["a", "b"]).await;
    let invocation = test.next().await;
    let TestFunction { aws, queue, function } = test;
    let url = format!("http://{}", function.runtime_api());
    let stop = tokio::spawn(function.stop());
    let path = |rest: &str| format!("/2018-06-01/runtime/invocation/{rest}");
    let next = tokio::spawn({
        let (url, path) = (url.clone(), path("next"));
        async move { send(&url, "GET", &path, &[], b"").await }
    });
    let response = send(&url, "POST", &path(&format!("{}/response", invocation.id)), &[], b"null").await;
    assert_eq!(response.expect("a response").status, 202);
    stop.await.expect("stopped");
    assert!(next.await.expect("no panic").is_err(), "a request for the next invocation gets no response");
    assert_eq!(receive(&aws.sqs_url(), &queue).await.len(), 1);
    aws.shutdown().await;
}

#[tokio::test]
async fn function_triggers_that_aws_rejects_are_rejected() {
    let aws = LocalAws::start().await.expect("started");
    create_queue(&aws.sqs_url(), "short", json!({ "VisibilityTimeout": "2" })).await;
    let rejection = async |queue: &str, settings| match aws.function(queue, settings).await {
        Err(error @ StartError::Function { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(rejection("none", one_second_timeout()).await.contains("does not exist: none"));
    assert!(rejection("short", FunctionSettings::default()).await.contains("visibility timeout of the queue short"));
    let settings = FunctionSettings { batch_size: 0, ..one_second_timeout() };
    assert!(rejection("short", settings).await.contains("`batch_size` is 0"));
}
