//! What a message costs, in requests and units. The cost is part of the interface, so tests assert
//! it.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use cloakroom::{
    Endpoint, EndpointSettings, Handled, Message, MessageId, Outcome, Partition, Ports, Tx, Worker, WorkerSettings,
    format::{Claim, Envelope, derived_id},
    observe::{Consumed, Consumption, Counters, Counts, Event, Observer, Service, Used, prices::Prices},
    ports::{Placement, QueueMessage},
    protocol::Consistency,
    worker::Batch,
};
use cloakroom_aws::{Aws, AwsSettings};
use cloakroom_local::{Units, Usage};
use tokio::sync::Semaphore;

use crate::embedded::{Embedded, with_payload_table};

#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    player: u32,
    text: String,
}

impl Message for Ping {
    const TYPE: &'static str = "ping";
    fn partition(&self) -> Partition {
        Partition::new(format!("player#{}", self.player))
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pong {
    player: u32,
    text: String,
}

impl Message for Pong {
    const TYPE: &'static str = "pong";
    fn partition(&self) -> Partition {
        Partition::new(format!("player#{}", self.player))
    }
}

async fn ping(pings: &mut BTreeMap<String, u64>, Ping { player, text }: Ping, tx: &mut Tx) -> Handled {
    *pings.entry("pings".to_owned()).or_default() += 1;
    tx.send(Pong { player, text });
    Ok(())
}

/// The size of every payload.
const PAYLOAD_BYTES: usize = 1_000;

fn ping_of(player: u32) -> Ping {
    let bare = serde_json::to_vec(&Ping { player, text: String::new() }).expect("JSON");
    Ping { player, text: "x".repeat(PAYLOAD_BYTES - bare.len()) }
}

const MESSAGES: u32 = 400;

/// Puts messages with claims into the queue, as an endpoint does. Each message of a round is for
/// another entity. All rounds have the same entities.
async fn fill(ports: &Ports, messages: Range<u32>) {
    fill_partitions(ports, messages, MESSAGES).await;
}

async fn fill_partitions(ports: &Ports, messages: Range<u32>, partitions: u32) {
    let queue = ports.queues.open("pings").await.expect("the queue exists");
    let mut sent = Vec::new();
    for number in messages {
        let ping = ping_of(number % partitions);
        let payload = serde_json::to_vec(&ping).expect("JSON");
        let claim = Claim::from_random(ports.random.bits(), ports.payloads.place(payload.len()));
        ports.payloads.check_in(&claim, Bytes::from(payload)).await.expect("the store exists");
        let id = MessageId::new(derived_id(&[&number.to_string()]).to_string());
        let mut envelope = Envelope::new(id, "test", Ping::TYPE, ping.partition());
        envelope.dataref = Some(claim);
        sent.push(QueueMessage { body: envelope.encode(), ..QueueMessage::default() });
    }
    queue.send(sent).await.into_iter().for_each(|sent| sent.expect("sent"));
}

/// An observer that counts events, and the messages whose attempt has ended with or without
/// success.
#[derive(Debug)]
struct Recorder {
    counters: Counters,
    ended: Semaphore,
}

impl Recorder {
    fn new() -> Arc<Self> {
        Arc::new(Self { counters: Counters::default(), ended: Semaphore::new(0) })
    }

    async fn until_ended(&self, messages: u32) {
        self.ended.acquire_many(messages).await.expect("never closed").forget();
    }
}

impl Observer for Recorder {
    fn observe(&self, event: Event) {
        self.counters.observe(event);
        let ended =
            matches!(event, Event::Processed | Event::Resumed | Event::Duplicate | Event::Parked | Event::GivenBack);
        self.ended.add_permits(ended.into());
    }
}

/// The average cost of one message.
struct Cost {
    /// Requests to DynamoDB if each item has its own request.
    dynamodb: &'static [(&'static str, f64)],
    /// The maximum of requests to DynamoDB if items share requests.
    shared_dynamodb_max: f64,
    s3: &'static [(&'static str, f64)],
    write_units: f64,
    read_units: f64,
    /// The maximum price of a million messages at list prices, rounded to ten cents.
    dollars: f64,
}

/// With full batches a message takes 0.3 SQS requests: a tenth each to receive, to send and to
/// delete it. Some batches are not full.
const SQS_REQUESTS_MAX: f64 = 0.4;

/// Returns the usage as consumption, which has prices.
fn consumption(Usage { dynamodb, s3, sqs, .. }: &Usage) -> Consumption {
    let mut consumption = Consumption::default();
    let mut add = |service, operation, used| consumption.add(Consumed { service, operation, used });
    let Units { write: write_units, read: read_units } = dynamodb.units;
    add(Service::DynamoDb, "all", Used { write_units, read_units, ..Used::default() });
    add(Service::S3, "PutObject", Used { requests: s3.put_class, ..Used::default() });
    add(Service::S3, "GetObject", Used { requests: s3.get_class, ..Used::default() });
    add(Service::Sqs, "all", Used { requests: sqs.billed_requests, ..Used::default() });
    consumption
}

impl Cost {
    /// Asserts this cost for `messages`, with one request for each item.
    fn assert_exact(&self, usage: &Usage, messages: u32) {
        let each = |sum: f64| sum / f64::from(messages);
        let by_name = |requests: &BTreeMap<String, u64>| -> Vec<(String, f64)> {
            requests.iter().map(|(name, count)| (name.clone(), each(*count as f64))).collect()
        };
        let expected = |requests: &[(&str, f64)]| -> Vec<(String, f64)> {
            requests.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        assert_eq!(by_name(&usage.dynamodb.requests), expected(self.dynamodb));
        assert_eq!(by_name(&usage.s3.requests), expected(self.s3));
        self.assert_billed(usage, messages);
    }

    /// Asserts this cost for `messages`, with requests that items share.
    fn assert_shared(&self, usage: &Usage, messages: u32) {
        let requests = usage.dynamodb.requests.values().sum::<u64>() as f64 / f64::from(messages);
        let by_name = &usage.dynamodb.requests;
        assert!(requests <= self.shared_dynamodb_max, "{requests} requests to DynamoDB per message: {by_name:?}");
        self.assert_billed(usage, messages);
    }

    fn assert_billed(&self, usage: &Usage, messages: u32) {
        let each = |sum: f64| sum / f64::from(messages);
        let Usage { dynamodb, sqs, .. } = usage;
        let units = (each(dynamodb.units.write), each(dynamodb.units.read));
        assert_eq!(units, (self.write_units, self.read_units), "{:?}", dynamodb.units_by_operation);
        assert_eq!((sqs.messages_sent, sqs.messages_deleted), (u64::from(messages), u64::from(messages)));
        let requests = each(sqs.requests.values().sum::<u64>() as f64);
        assert!(requests <= SQS_REQUESTS_MAX, "{requests} SQS requests per message: {:?}", sqs.requests);
        let dollars = Prices::list(None).expect("a list").of(&consumption(usage)).per_million(messages.into()).total();
        println!("${dollars:.3} per million messages, {requests} SQS requests each");
        assert!((dollars * 10.0).round() / 10.0 <= self.dollars, "{dollars} dollars per million messages");
    }
}

fn endpoint(aws: &Aws, recorder: &Arc<Recorder>, settings: &EndpointSettings) -> Endpoint {
    // With a long `linger_ms`, batches are full even if the machine is slow.
    let settings = EndpointSettings { linger_ms: 100, ..settings.clone() };
    let endpoint = Endpoint::builder("pings").on(ping).route::<Pong>("pongs").settings(settings);
    endpoint.observer(recorder.clone()).build(aws.ports()).expect("an endpoint")
}

/// Runs a worker until the attempts on `messages` more have ended. Asserts that all were processed.
async fn work(endpoint: Endpoint, recorder: &Recorder, messages: u32) {
    // At its shutdown the worker waits for its long poll, so the poll is short.
    let settings = WorkerSettings { in_flight_max: 250, receive_wait_ms: 1_000, ..WorkerSettings::default() };
    let before = recorder.counters.counts();
    let worker = Worker::new(endpoint, "pings").settings(settings);
    worker.run(recorder.until_ended(messages)).await.expect("the worker ends without an error");
    let (processed, handled) = (u64::from(messages), u64::from(messages));
    assert_eq!(recorder.counters.counts() - before, Counts { processed, handled, ..Counts::default() });
}

/// Asserts the cost with and without shared requests. The units are the same in both cases.
async fn assert_cost(cost: Cost, aws_settings: AwsSettings, settings: EndpointSettings) {
    let world = Embedded::start_as(aws_settings.clone(), &["pings", "pongs"]).await;
    let alone = world.aws_with(AwsSettings { items_per_request_max: 1, ..aws_settings });
    // In round 0 another worker processes a message of each entity. The cost is measured in rounds
    // 1 and 2.
    measured(&world, &world.aws, &settings, 0).await;
    cost.assert_exact(&measured(&world, &alone, &settings, 1).await, MESSAGES);
    cost.assert_shared(&measured(&world, &world.aws, &settings, 2).await, MESSAGES);
}

/// Returns the usage of a worker for the messages of a round, one for each entity.
async fn measured(world: &Embedded, aws: &Aws, settings: &EndpointSettings, round: u32) -> Usage {
    let (local, recorder) = (&world.local, Recorder::new());
    fill(&world.aws.ports(), round * MESSAGES..(round + 1) * MESSAGES).await;
    // The calls that a worker makes once at its start are not part of the cost of a message.
    let before = local.usage();
    endpoint(aws, &recorder, settings).check(Some("pings")).await.expect("all resources exist");
    let start = local.usage().since(&before);
    let before = local.usage();
    work(endpoint(aws, &recorder, settings), &recorder, MESSAGES).await;
    local.usage().since(&before).since(&start)
}

/// Writes: two items in a transaction at double price, and the deletion of the record. Reads: the
/// state and the record.
#[tokio::test(flavor = "multi_thread")]
async fn cost_of_a_separate_record_and_payloads_in_the_bucket() {
    let cost = Cost {
        dynamodb: &[("DeleteItem", 1.0), ("GetItem", 2.0), ("TransactWriteItems", 1.0)],
        shared_dynamodb_max: 2.4,
        s3: &[("DeleteObject", 1.0), ("GetObject", 1.0), ("PutObject", 1.0)],
        write_units: 5.0,
        read_units: 2.0,
        dollars: 8.9,
    };
    assert_cost(cost, AwsSettings::new("things", "coats"), EndpointSettings::default()).await;
}

/// In addition to the cost above, one unit each to read, to write and to delete a payload.
#[tokio::test(flavor = "multi_thread")]
async fn cost_of_a_separate_record_and_payloads_in_a_table() {
    let cost = Cost {
        dynamodb: &[("DeleteItem", 2.0), ("GetItem", 3.0), ("PutItem", 1.0), ("TransactWriteItems", 1.0)],
        shared_dynamodb_max: 2.7,
        s3: &[],
        write_units: 7.0,
        read_units: 3.0,
        dollars: 4.9,
    };
    assert_cost(cost, with_payload_table(), EndpointSettings::default()).await;
}

fn embedding() -> EndpointSettings {
    EndpointSettings { placement: Placement::Embedded, ..EndpointSettings::default() }
}

/// One put replaces the transaction, and there is no record to clear. One more read shows whether
/// the embedded record that the other worker left is settled.
#[tokio::test(flavor = "multi_thread")]
async fn cost_of_an_embedded_record() {
    let cost = Cost {
        dynamodb: &[("DeleteItem", 1.0), ("GetItem", 3.0), ("PutItem", 2.0)],
        shared_dynamodb_max: 1.6,
        s3: &[],
        write_units: 3.0,
        read_units: 3.0,
        dollars: 2.4,
    };
    assert_cost(cost, with_payload_table(), embedding()).await;
}

/// As above, but the first read of the state is eventually consistent, which costs half.
#[tokio::test(flavor = "multi_thread")]
async fn cost_of_an_embedded_record_with_eventually_consistent_reads() {
    let cost = Cost {
        dynamodb: &[("DeleteItem", 1.0), ("GetItem", 3.0), ("PutItem", 2.0)],
        shared_dynamodb_max: 1.6,
        s3: &[],
        write_units: 3.0,
        read_units: 2.5,
        dollars: 2.4,
    };
    assert_cost(cost, with_payload_table(), EndpointSettings { state_reads: Consistency::Any, ..embedding() }).await;
}

const PARTITIONS: u32 = MESSAGES / 10;

/// Ten messages for each partition in one batch, as a Lambda function receives them. The endpoint
/// settled the records of the batch before, so it does not read their payloads.
#[tokio::test(flavor = "multi_thread")]
async fn cost_of_ten_messages_in_one_commit() {
    let cost = Cost {
        dynamodb: &[("DeleteItem", 1.0), ("GetItem", 1.1), ("PutItem", 1.1)],
        shared_dynamodb_max: 0.5,
        s3: &[],
        write_units: 2.2,
        read_units: 1.1,
        dollars: 1.7,
    };
    let alone = AwsSettings { items_per_request_max: 1, ..with_payload_table() };
    cost.assert_exact(&measured_by_tens(alone).await, MESSAGES);
    cost.assert_shared(&measured_by_tens(with_payload_table()).await, MESSAGES);
}

async fn measured_by_tens(aws_settings: AwsSettings) -> Usage {
    let Embedded { local, aws, .. } = Embedded::start_as(aws_settings, &["pings", "pongs"]).await;
    let (ports, recorder) = (aws.ports(), Recorder::new());
    let (endpoint, queue) =
        (endpoint(&aws, &recorder, &embedding()), ports.queues.open("pings").await.expect("a queue"));
    let mut before = local.usage();
    for round in 0..2 {
        let messages = round * MESSAGES..(round + 1) * MESSAGES;
        fill_partitions(&ports, messages, PARTITIONS).await;
        before = local.usage();
        let mut deliveries = Vec::new();
        while deliveries.len() < MESSAGES as usize {
            let (wait, visibility) = (Duration::from_secs(1), Duration::from_secs(600));
            deliveries.extend(queue.receive(10, wait, visibility).await.expect("received"));
        }
        let until = ports.clock.now().after(Duration::from_secs(600));
        let batch = Batch { queue: "pings", deliveries: &deliveries, in_flight_max: 50, until };
        for done in endpoint.process_batch(batch).await {
            assert_eq!(done.ok(), Some(Outcome::Processed));
        }
        queue.delete(deliveries.into_iter().map(|delivery| delivery.receipt).collect()).await;
    }
    local.usage().since(&before)
}
