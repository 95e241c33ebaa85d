//! Connections that go silent, and clients that go away.

mod support;

use std::time::Duration;

use cloakroom_local::{AwsService, Faults, LocalAws, Usage};
use serde_json::{Value, json};
use support::{KeptOpen, create_queue, create_table, dynamodb, receive, s3, sqs};

/// Embedded AWS with a table, a bucket and a queue.
struct World {
    aws: LocalAws,
    queue: String,
}

impl World {
    async fn start() -> Self {
        let aws = LocalAws::start().await.expect("started");
        create_table(&aws.dynamodb_url(), "orders").await;
        assert_eq!(s3(&aws.s3_url(), "PUT", "/bucket", b"").await.expect("an answer").status, 200);
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

    /// Sends a write of this service on a connection.
    async fn write(&self, service: AwsService, connection: &mut KeptOpen) {
        match service {
            AwsService::DynamoDb => connection.call("DynamoDB_20120810.PutItem", &put("a")).await,
            AwsService::S3 => connection.s3("PUT", "/bucket/key", b"hello").await,
            AwsService::Sqs => {
                let message = json!({ "QueueUrl": self.queue, "MessageBody": "hello" });
                connection.call("AmazonSQS.SendMessage", &message).await;
            }
        }
    }

    /// Answers requests on new connections. By then the services have also read what came before on
    /// other connections: the test has one thread.
    async fn settle(&self) {
        for _ in 0..20 {
            dynamodb(&self.aws.dynamodb_url(), "ListTables", json!({})).await.expect("an answer");
        }
    }
}

fn put(key: &str) -> Value {
    json!({ "TableName": "orders", "Item": { "pk": { "S": key } } })
}

/// How many writes of this service were asked for.
fn writes(usage: &Usage, service: AwsService) -> u64 {
    let (requests, operation) = match service {
        AwsService::DynamoDb => (&usage.dynamodb.requests, "PutItem"),
        AwsService::S3 => (&usage.s3.requests, "PutObject"),
        AwsService::Sqs => (&usage.sqs.requests, "SendMessage"),
    };
    requests.get(operation).copied().unwrap_or_default()
}

#[tokio::test]
async fn open_connections_go_silent_and_new_connections_work() {
    let world = World::start().await;
    for service in AwsService::ALL {
        let before = world.aws.usage();
        let mut open = KeptOpen::to(&world.url(service)).await;
        world.write(service, &mut open).await;
        assert_eq!(open.status().await, 200);

        assert_eq!(world.aws.silence_connections(service), 1, "{service:?}");
        world.write(service, &mut open).await;
        let mut new = KeptOpen::to(&world.url(service)).await;
        world.write(service, &mut new).await;
        assert_eq!(new.status().await, 200);
        world.settle().await;
        assert!(open.is_silent(), "{service:?}: neither answered nor closed");
        let usage = world.aws.usage().since(&before);
        assert_eq!((writes(&usage, service), usage.faults.silences), (2, 1), "the swallowed write is not done");
        assert_eq!(world.aws.silence_connections(service), 1, "the new connection; the other is silent already");
    }
}

#[tokio::test]
async fn a_silent_service_swallows_new_connections_until_its_silence_is_over() {
    let world = World::start().await;
    for service in AwsService::ALL {
        let before = world.aws.usage();
        let mut open = KeptOpen::to(&world.url(service)).await;
        world.write(service, &mut open).await;
        assert_eq!(open.status().await, 200);

        assert_eq!(world.aws.silence_service(service, Duration::from_secs(3_600)), 1, "{service:?}");
        let mut meanwhile = KeptOpen::to(&world.url(service)).await;
        for connection in [&mut open, &mut meanwhile] {
            world.write(service, connection).await;
        }
        while world.aws.usage().since(&before).faults.silences < 2 {
            tokio::task::yield_now().await;
        }
        world.aws.silence_service(service, Duration::ZERO);
        let mut later = KeptOpen::to(&world.url(service)).await;
        world.write(service, &mut later).await;
        assert_eq!(later.status().await, 200);
        world.settle().await;
        assert!(open.is_silent() && meanwhile.is_silent(), "{service:?}: they stay silent");
        assert_eq!(writes(&world.aws.usage().since(&before), service), 2, "{service:?}");
    }
}

#[tokio::test]
async fn a_request_that_arrived_before_the_silence_is_done_and_not_answered() {
    let world = World::start().await;
    let mut open = KeptOpen::to(&world.aws.sqs_url()).await;
    open.call("AmazonSQS.ReceiveMessage", &json!({ "QueueUrl": world.queue, "WaitTimeSeconds": 20 })).await;
    until(&world.aws, |usage| usage.sqs.requests.contains_key("ReceiveMessage")).await;
    world.aws.silence_connections(AwsService::Sqs);
    world.write(AwsService::Sqs, &mut KeptOpen::to(&world.aws.sqs_url()).await).await;
    until(&world.aws, |usage| usage.sqs.messages_received == 1).await;
    world.settle().await;
    assert!(open.is_silent());
    assert!(receive(&world.aws.sqs_url(), &world.queue).await.is_empty(), "it is in flight");
}

async fn until(aws: &LocalAws, is_so: impl Fn(&Usage) -> bool) {
    while !is_so(&aws.usage()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn requests_meet_silences_at_a_rate_and_half_of_them_are_done() {
    let world = World::start().await;
    world.aws.set_faults(Faults { silences: 1.0, ..Faults::default() }).expect("valid");
    let mut silent = Vec::new();
    for number in 1..=20 {
        let mut connection = KeptOpen::to(&world.aws.dynamodb_url()).await;
        connection.call("DynamoDB_20120810.PutItem", &put(&number.to_string())).await;
        until(&world.aws, |usage| usage.faults.silences == number).await;
        silent.push(connection);
    }
    world.aws.set_faults(Faults::default()).expect("valid");
    let scan = json!({ "TableName": "orders", "Select": "COUNT" });
    let answer = dynamodb(&world.aws.dynamodb_url(), "Scan", scan).await.expect("an answer").json();
    let done = answer["Count"].as_u64().expect("a count");
    assert!((1..20).contains(&done), "{done}");
    assert!(silent.iter().all(KeptOpen::is_silent));
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_silent_connections() {
    let world = World::start().await;
    let mut open = Vec::new();
    for service in AwsService::ALL {
        let mut connection = KeptOpen::to(&world.url(service)).await;
        world.write(service, &mut connection).await;
        assert_eq!(connection.status().await, 200);
        world.aws.silence_connections(service);
        world.write(service, &mut connection).await;
        open.push(connection);
    }
    let shutdown = tokio::time::timeout(Duration::from_secs(10), world.aws.shutdown());
    shutdown.await.expect("no client closes its connection, but the services end");
}

/// Starts a long poll, and hangs up when it waits. It may take what is sent from then on.
async fn abandon_a_poll(world: &World, visibility_timeout: u64) {
    let mut client = KeptOpen::to(&world.aws.sqs_url()).await;
    let before = world.aws.usage();
    let poll = json!({ "QueueUrl": world.queue, "WaitTimeSeconds": 20, "VisibilityTimeout": visibility_timeout });
    client.call("AmazonSQS.ReceiveMessage", &poll).await;
    until(&world.aws, |usage| usage.since(&before).sqs.requests.contains_key("ReceiveMessage")).await;
    drop(client);
    world.settle().await;
}

#[tokio::test]
async fn a_poll_whose_client_hung_up_still_takes_messages() {
    let world = World::start().await;
    abandon_a_poll(&world, 1).await;
    world.write(AwsService::Sqs, &mut KeptOpen::to(&world.aws.sqs_url()).await).await;
    until(&world.aws, |usage| usage.sqs.messages_received == 1).await;
    assert!(receive(&world.aws.sqs_url(), &world.queue).await.is_empty(), "it is in flight");
    let poll = json!({
        "QueueUrl": world.queue,
        "WaitTimeSeconds": 20,
        "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
    });
    let again = sqs(&world.aws.sqs_url(), "ReceiveMessage", poll).await.expect("an answer").json();
    assert_eq!(again["Messages"][0]["Attributes"]["ApproximateReceiveCount"], "2", "{again}");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_abandoned_polls() {
    let world = World::start().await;
    abandon_a_poll(&world, 30).await;
    let shutdown = tokio::time::timeout(Duration::from_secs(10), world.aws.shutdown());
    shutdown.await.expect("polls end when the services do");
}

#[tokio::test]
async fn a_folder_can_be_used_again_at_once_although_a_poll_is_under_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = async || LocalAws::builder().folder(folder.path()).start().await;
    let aws = start().await.expect("started");
    create_table(&aws.dynamodb_url(), "orders").await;
    let queue = create_queue(&aws.sqs_url(), "orders", json!({})).await;
    let world = World { aws, queue };
    abandon_a_poll(&world, 30).await;
    drop(world);
    start().await.expect("the folder is free");
}
