//! Functions that a queue triggers, over the Runtime API as it is on the wire.

mod support;

use cloakroom_local::{Function, FunctionSettings, LocalAws, StartError};
use serde_json::{Value, json};
use support::{Answer, create_queue, receive, send, sqs};

/// An account with one queue and a function that it triggers.
struct World {
    aws: LocalAws,
    queue: String,
    function: Function,
}

/// An invocation, as a function's process gets it.
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

/// Short enough to be waited for.
fn in_a_second() -> FunctionSettings {
    FunctionSettings { timeout_s: 1, ..FunctionSettings::default() }
}

impl World {
    async fn start(queue: &str, settings: FunctionSettings) -> Self {
        let aws = LocalAws::start().await.expect("started");
        // As short as AWS allows; but what is collected first must not come again before the window ends.
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
        let answer = sqs(&self.aws.sqs_url(), "SendMessage", request).await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    async fn send_bodies(&self, bodies: &[&str]) {
        for body in bodies {
            self.send(json!({ "MessageBody": body })).await;
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let url = format!("http://{}", self.function.runtime_api());
        send(&url, method, &format!("/2018-06-01/runtime/{path}"), &[], body.as_bytes()).await.expect("an answer")
    }

    async fn next(&self) -> Invocation {
        let answer = self.ask("GET", "invocation/next", "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = header(&answer.head, "lambda-runtime-aws-request-id").to_owned();
        let records = answer.json()["Records"].as_array().expect("records").clone();
        Invocation { id, head: answer.head, records }
    }

    async fn respond(&self, invocation: &Invocation, response: Value) -> Answer {
        self.ask("POST", &format!("invocation/{}/response", invocation.id), &response.to_string()).await
    }

    /// How many messages the queue holds, visible or not.
    async fn messages(&self) -> u64 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let request = json!({ "QueueUrl": self.queue, "AttributeNames": names });
        let answer = sqs(&self.aws.sqs_url(), "GetQueueAttributes", request).await.expect("an answer").json();
        names
            .iter()
            .map(|name| answer["Attributes"][name].as_str().expect("a number").parse::<u64>().expect("digits"))
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
async fn an_invocation_has_what_the_runtime_api_says() {
    let world = World::start("orders", FunctionSettings::default()).await;
    let attribute = json!({ "DataType": "Binary", "BinaryValue": "AP8=" });
    world.send(json!({ "MessageBody": "hello", "MessageAttributes": { "seal": attribute } })).await;
    let invocation = world.next().await;
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
    let variables = world.function.environment();
    assert!(variables.contains(&("AWS_LAMBDA_RUNTIME_API", world.function.runtime_api())));
}

#[tokio::test]
async fn what_is_reported_comes_again_and_the_rest_is_deleted() {
    let world = World::start("orders", in_a_second()).await;
    world.send_bodies(&["a", "b", "c"]).await;
    let first = world.next().await;
    assert_eq!(first.bodies(), ["a", "b", "c"]);
    assert_eq!(world.respond(&first, failed(&[&first.records[1]])).await.status, 202);
    assert_eq!(world.messages().await, 1);
    let second = world.next().await;
    assert_eq!(second.bodies(), ["b"]);
    assert_eq!(second.records[0]["attributes"]["ApproximateReceiveCount"], "2");
    assert_eq!(world.respond(&second, Value::Null).await.status, 202);
    assert_eq!(world.messages().await, 0);
    let stats = world.function.stats();
    assert_eq!((stats.invocations, stats.succeeded, stats.under_way), (2, 2, 0));
    assert_eq!((stats.messages_given, stats.messages_deleted, stats.messages_failed), (4, 3, 1));
}

#[tokio::test]
async fn nothing_is_deleted_after_an_answer_that_names_a_stranger() {
    let world = World::start("orders", in_a_second()).await;
    world.send_bodies(&["a", "b"]).await;
    for response in [json!({ "batchItemFailures": [{ "itemIdentifier": "c" }] }), json!({ "batchItemFailures": 1 })] {
        let invocation = world.next().await;
        assert_eq!(invocation.bodies(), ["a", "b"]);
        assert_eq!(world.respond(&invocation, response).await.status, 202);
        assert_eq!(world.messages().await, 2);
    }
    assert_eq!(world.function.stats().failed, 2);
}

#[tokio::test]
async fn without_reports_every_answer_is_a_success() {
    let world = World::start("orders", FunctionSettings { reports_failures: false, ..in_a_second() }).await;
    world.send_bodies(&["a", "b"]).await;
    let invocation = world.next().await;
    world.respond(&invocation, failed(&[&invocation.records[0]])).await;
    assert_eq!(world.messages().await, 0);
}

#[tokio::test]
async fn after_an_error_everything_comes_again() {
    let world = World::start("orders", in_a_second()).await;
    world.send_bodies(&["a", "b"]).await;
    let first = world.next().await;
    let told = json!({ "errorType": "Panic", "errorMessage": "oh" }).to_string();
    assert_eq!(world.ask("POST", &format!("invocation/{}/error", first.id), &told).await.status, 202);
    assert_eq!(world.next().await.bodies(), ["a", "b"]);
    assert_eq!(world.function.stats().failed, 1);
    assert_eq!(world.ask("POST", "init/error", &told).await.status, 202);
    assert_eq!(world.function.stats().init_errors, 1);
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_refused() {
    let world = World::start("orders", in_a_second()).await;
    world.send_bodies(&["a"]).await;
    let late = world.next().await;
    let stats = world.function.until(|stats| stats.timed_out == 1).await;
    assert_eq!((stats.under_way, stats.succeeded), (0, 0));
    let refused = world.respond(&late, Value::Null).await;
    assert_eq!((refused.status, &refused.json()["errorType"]), (400, &json!("InvalidRequestID")));
    let again = world.next().await;
    assert_eq!(again.bodies(), ["a"]);
    assert_eq!(world.respond(&again, Value::Null).await.status, 202);
    assert_eq!(world.respond(&again, Value::Null).await.status, 400, "it was answered already");
    assert_eq!(world.ask("POST", "invocation/none/response", "").await.status, 400);
    assert_eq!(world.ask("GET", "invocation/last", "").await.status, 404);
}

#[tokio::test]
async fn a_group_of_a_fifo_queue_is_in_one_invocation_at_a_time() {
    let world =
        World::start("orders.fifo", FunctionSettings { batch_size: 2, timeout_s: 1, ..Default::default() }).await;
    for (body, group) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")] {
        world.send(json!({ "MessageBody": body, "MessageGroupId": group })).await;
    }
    let one = world.next().await;
    assert_eq!(one.bodies(), ["a1", "a2"]);
    assert_eq!(one.records[0]["attributes"]["MessageGroupId"], "a");
    let other = world.next().await;
    assert_eq!(other.bodies(), ["b1"], "the rest of `a` waits");
    world.respond(&one, failed(&[&one.records[1]])).await;
    world.respond(&other, json!({})).await;
    assert_eq!(world.next().await.bodies(), ["a2", "a3"]);
}

#[tokio::test]
async fn a_window_collects_more_than_one_receive() {
    let settings = FunctionSettings { batch_size: 25, batch_window_s: 1, timeout_s: 1, ..Default::default() };
    let world = World::start("orders", settings).await;
    let bodies: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    world.send_bodies(&bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (one, other) = tokio::join!(world.next(), world.next());
    assert_eq!(one.records.len() + other.records.len(), 30, "two processes share what there is");
    assert!(one.records.len() <= 25 && other.records.len() <= 25);
    assert!(one.records.len() > 10 || other.records.len() > 10);
}

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way_and_takes_nothing_new() {
    let world = World::start("orders", FunctionSettings { batch_size: 1, timeout_s: 1, ..Default::default() }).await;
    world.send_bodies(&["a", "b"]).await;
    let invocation = world.next().await;
    let World { aws, queue, function } = world;
    let url = format!("http://{}", function.runtime_api());
    let stop = tokio::spawn(function.stop());
    let path = |rest: &str| format!("/2018-06-01/runtime/invocation/{rest}");
    let next = tokio::spawn({
        let (url, path) = (url.clone(), path("next"));
        async move { send(&url, "GET", &path, &[], b"").await }
    });
    let answer = send(&url, "POST", &path(&format!("{}/response", invocation.id)), &[], b"null").await;
    assert_eq!(answer.expect("an answer").status, 202);
    stop.await.expect("stopped");
    assert!(next.await.expect("no panic").is_err(), "whoever asks for more gets no answer");
    assert_eq!(receive(&aws.sqs_url(), &queue).await.len(), 1);
    aws.shutdown().await;
}

#[tokio::test]
async fn what_aws_would_refuse_is_refused() {
    let aws = LocalAws::start().await.expect("started");
    create_queue(&aws.sqs_url(), "short", json!({ "VisibilityTimeout": "2" })).await;
    let complaint = async |queue: &str, settings| match aws.function(queue, settings).await {
        Err(error @ StartError::Function { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(complaint("none", in_a_second()).await.contains("does not exist: none"));
    assert!(complaint("short", FunctionSettings::default()).await.contains("visibility timeout of the queue short"));
    let settings = FunctionSettings { batch_size: 0, ..in_a_second() };
    assert!(complaint("short", settings).await.contains("`batch_size` is 0"));
}
