//! Silent connections, and clients that disconnect.

mod support;

use std::time::Duration;

use cloakroom_local::{AwsService, Faults, LocalAws, Usage};
use serde_json::{Value, json};
use support::{OpenConnection, create_queue, create_table, dynamodb, receive, s3, sqs};

/// The services, with a table, a bucket and a queue.
struct TestServices {
    aws: LocalAws,
    queue: String,
}

impl TestServices {
    async fn start() -> Self {
        let aws = LocalAws::start().await.expect("started");
        create_table(&aws.dynamodb_url(), "orders").await;
        assert_eq!(s3(&aws.s3_url(), "PUT", "/bucket", b"").await.expect("a response").status, 200);
        let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
        Self { aws, queue }
    }

    fn url(&self, service: AwsService) -> String {
        match service {
            AwsService::DynamoDb => self.aws.dynamodb_url(),
            AwsService::S3 => self.aws.s3_url(),
            AwsService::Sqs => self.aws.sqs_url(),
        }
    }

    /// Sends a write to this service on a connection.
    async fn write(&self, service: AwsService, connection: &mut OpenConnection) {
        match service {
            AwsService::DynamoDb => connection.call("DynamoDB_20120810.PutItem", &put("a")).await,
            AwsService::S3 => connection.s3("PUT", "/bucket/key", b"hello").await,
            AwsService::Sqs => {
                let message = json!({ "QueueUrl": self.queue, "MessageBody": "hello" });
                connection.call("AmazonSQS.SendMessage", &message).await;
            }
        }
    }

    /// Performs requests on new connections. Because the test has one thread, the services have by
    /// then also read the earlier requests on other connections.
    async fn wait_until_earlier_requests_are_read(&self) {
        for _ in 0..20 {
            dynamodb(&self.aws.dynamodb_url(), "ListTables", json!({})).await.expect("a response");
        }
    }
}

fn put(key: &str) -> Value {
    json!({ "TableName": "orders", "Item": { "pk": { "S": key } } })
}

/// Returns the number of writes that this service has received.
fn writes(usage: &Usage, service: AwsService) -> u64 {
    let (requests, operation) = match service {
        AwsService::DynamoDb => (&usage.dynamodb.requests, "PutItem"),
        AwsService::S3 => (&usage.s3.requests, "PutObject"),
        AwsService::Sqs => (&usage.sqs.requests, "SendMessage"),
    };
    requests.get(operation).copied().unwrap_or_default()
}

#[tokio::test]
async fn silenced_connections_stay_silent_and_new_connections_work() {
    let test = TestServices::start().await;
    for service in AwsService::ALL {
        let before = test.aws.usage();
        let mut open = OpenConnection::to(&test.url(service)).await;
        test.write(service, &mut open).await;
        assert_eq!(open.status().await, 200);

        assert_eq!(test.aws.silence_connections(service), 1, "{service:?}");
        test.write(service, &mut open).await;
        let mut new = OpenConnection::to(&test.url(service)).await;
        test.write(service, &mut new).await;
        assert_eq!(new.status().await, 200);
        test.wait_until_earlier_requests_are_read().await;
        assert!(open.is_silent(), "{service:?}: neither a response nor the end of the connection");
        let usage = test.aws.usage().since(&before);
        assert_eq!(
            (writes(&usage, service), usage.faults.silences),
            (2, 1),
            "the write on the silent connection is not performed"
        );
        assert_eq!(test.aws.silence_connections(service), 1, "only the new connection; the other is silent already");
    }
}

#[tokio::test]
async fn connections_opened_during_a_silence_stay_silent_and_later_ones_work() {
    let test = TestServices::start().await;
    for service in AwsService::ALL {
        let before = test.aws.usage();
        let mut open = OpenConnection::to(&test.url(service)).await;
        test.write(service, &mut open).await;
        assert_eq!(open.status().await, 200);

        assert_eq!(test.aws.silence_service(service, Duration::from_secs(3_600)), 1, "{service:?}");
        let mut during = OpenConnection::to(&test.url(service)).await;
        for connection in [&mut open, &mut during] {
            test.write(service, connection).await;
        }
        while test.aws.usage().since(&before).faults.silences < 2 {
            tokio::task::yield_now().await;
        }
        test.aws.silence_service(service, Duration::ZERO);
        let mut later = OpenConnection::to(&test.url(service)).await;
        test.write(service, &mut later).await;
        assert_eq!(later.status().await, 200);
        test.wait_until_earlier_requests_are_read().await;
        assert!(open.is_silent() && during.is_silent(), "{service:?}: the connections stay silent");
        assert_eq!(writes(&test.aws.usage().since(&before), service), 2, "{service:?}");
    }
}

#[tokio::test]
async fn request_that_arrived_before_the_silence_is_performed_without_a_response() {
    let test = TestServices::start().await;
    let mut open = OpenConnection::to(&test.aws.sqs_url()).await;
    open.call("AmazonSQS.ReceiveMessage", &json!({ "QueueUrl": test.queue, "WaitTimeSeconds": 20 })).await;
    until(&test.aws, |usage| usage.sqs.requests.contains_key("ReceiveMessage")).await;
    test.aws.silence_connections(AwsService::Sqs);
    test.write(AwsService::Sqs, &mut OpenConnection::to(&test.aws.sqs_url()).await).await;
    until(&test.aws, |usage| usage.sqs.messages_received == 1).await;
    test.wait_until_earlier_requests_are_read().await;
    assert!(open.is_silent());
    assert!(receive(&test.aws.sqs_url(), &test.queue).await.is_empty(), "the message is in flight");
}

async fn until(aws: &LocalAws, condition: impl Fn(&Usage) -> bool) {
    while !condition(&aws.usage()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn about_half_of_the_requests_with_injected_silences_are_performed() {
    let test = TestServices::start().await;
    test.aws.set_faults(Faults { silences: 1.0, ..Faults::default() }).expect("valid");
    let mut silent = Vec::new();
    for number in 1..=20 {
        let mut connection = OpenConnection::to(&test.aws.dynamodb_url()).await;
        connection.call("DynamoDB_20120810.PutItem", &put(&number.to_string())).await;
        until(&test.aws, |usage| usage.faults.silences == number).await;
        silent.push(connection);
    }
    test.aws.set_faults(Faults::default()).expect("valid");
    let scan = json!({ "TableName": "orders", "Select": "COUNT" });
    let response = dynamodb(&test.aws.dynamodb_url(), "Scan", scan).await.expect("a response").json();
    let done = response["Count"].as_u64().expect("a count");
    assert!((1..20).contains(&done), "{done}");
    assert!(silent.iter().all(OpenConnection::is_silent));
}

#[tokio::test]
async fn shutdown_does_not_wait_for_silent_connections() {
    let test = TestServices::start().await;
    let mut open = Vec::new();
    for service in AwsService::ALL {
        let mut connection = OpenConnection::to(&test.url(service)).await;
        test.write(service, &mut connection).await;
        assert_eq!(connection.status().await, 200);
        test.aws.silence_connections(service);
        test.write(service, &mut connection).await;
        open.push(connection);
    }
    let shutdown = tokio::time::timeout(Duration::from_secs(10), test.aws.shutdown());
    shutdown.await.expect("the services end although no client closes its connection");
}

/// Starts a long poll, and disconnects when it waits. The poll may receive messages that are sent
/// later.
async fn abandon_a_poll(test: &TestServices, visibility_timeout: u64) {
    let mut client = OpenConnection::to(&test.aws.sqs_url()).await;
    let before = test.aws.usage();
    let poll = json!({ "QueueUrl": test.queue, "WaitTimeSeconds": 20, "VisibilityTimeout": visibility_timeout });
    client.call("AmazonSQS.ReceiveMessage", &poll).await;
    until(&test.aws, |usage| usage.since(&before).sqs.requests.contains_key("ReceiveMessage")).await;
    drop(client);
    test.wait_until_earlier_requests_are_read().await;
}

#[tokio::test]
async fn poll_of_a_disconnected_client_still_receives_messages() {
    let test = TestServices::start().await;
    abandon_a_poll(&test, 1).await;
    test.write(AwsService::Sqs, &mut OpenConnection::to(&test.aws.sqs_url()).await).await;
    until(&test.aws, |usage| usage.sqs.messages_received == 1).await;
    assert!(receive(&test.aws.sqs_url(), &test.queue).await.is_empty(), "the message is in flight");
    let poll = json!({
        "QueueUrl": test.queue,
        "WaitTimeSeconds": 20,
        "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
    });
    let again = sqs(&test.aws.sqs_url(), "ReceiveMessage", poll).await.expect("a response").json();
    assert_eq!(again["Messages"][0]["Attributes"]["ApproximateReceiveCount"], "2", "{again}");
}

#[tokio::test]
async fn shutdown_does_not_wait_for_abandoned_polls() {
    let test = TestServices::start().await;
    abandon_a_poll(&test, 30).await;
    let shutdown = tokio::time::timeout(Duration::from_secs(10), test.aws.shutdown());
    shutdown.await.expect("polls end when the services end");
}

#[tokio::test]
async fn folder_can_be_reused_immediately_although_a_long_poll_is_running() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = async || LocalAws::builder().folder(folder.path()).start().await;
    let aws = start().await.expect("started");
    create_table(&aws.dynamodb_url(), "orders").await;
    let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
    let test = TestServices { aws, queue };
    abandon_a_poll(&test, 30).await;
    drop(test);
    start().await.expect("the folder is free");
}
