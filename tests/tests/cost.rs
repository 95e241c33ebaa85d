//! What a message costs, in requests and units: part of the interface, so that it cannot drift.

mod embedded;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use cloakroom::{
    Claim, Counters, Counts, Endpoint, EndpointSettings, Envelope, Event, Handled, Message, Observer, Partition, Ports,
    QueueMessage, Tx, Worker, WorkerSettings,
};
use embedded::Embedded;
use tokio::sync::Semaphore;

#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    player: u32,
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
}

impl Message for Pong {
    const TYPE: &'static str = "pong";
    fn partition(&self) -> Partition {
        Partition::new(format!("player#{}", self.player))
    }
}

async fn ping(pings: &mut BTreeMap<String, u64>, Ping { player }: Ping, tx: &mut Tx) -> Handled {
    *pings.entry("pings".to_owned()).or_default() += 1;
    tx.send(Pong { player });
    Ok(())
}

const MESSAGES: u32 = 500;

/// Puts messages with claims into a queue, as an endpoint would.
async fn fill(ports: &Ports, messages: u32) {
    let queue = ports.queues.open("pings").await.expect("the queue exists");
    let mut sent = Vec::new();
    for player in 0..messages {
        let claim = Claim::from_random(ports.random.bits(), ports.payloads.name());
        let payload = serde_json::to_vec(&Ping { player }).expect("JSON");
        ports.payloads.check_in(&claim, Bytes::from(payload)).await.expect("the bucket exists");
        let id = format!("m-{player}").into();
        let mut envelope = Envelope::new(id, "test", Ping::TYPE, Ping { player }.partition());
        envelope.dataref = Some(claim);
        sent.push(QueueMessage { body: envelope.encode(), ..QueueMessage::default() });
    }
    queue.send(sent).await.into_iter().for_each(|sent| sent.expect("sent"));
}

/// Counts, and knows when the messages have come to an end, whether good or bad.
#[derive(Debug)]
struct Watch {
    counters: Counters,
    ends: Semaphore,
}

impl Watch {
    fn new() -> Arc<Self> {
        Arc::new(Self { counters: Counters::default(), ends: Semaphore::new(0) })
    }

    async fn until_ended(&self, messages: u32) {
        self.ends.acquire_many(messages).await.expect("never closed").forget();
    }
}

impl Observer for Watch {
    fn observe(&self, event: Event) {
        self.counters.observe(event);
        let ends =
            matches!(event, Event::Processed | Event::Resumed | Event::Duplicate | Event::Parked | Event::GivenBack);
        self.ends.add_permits(ends.into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_one_outgoing_message() {
    let Embedded { local, aws, .. } = Embedded::start(&["pings", "pongs"]).await;
    let ports = aws.ports();
    fill(&ports, MESSAGES).await;
    let watch = Watch::new();
    // Batches fill up when there is work enough; how long they wait for it is the setting that buys that.
    let settings = EndpointSettings { linger_ms: 100, ..EndpointSettings::default() };
    let endpoint = Endpoint::builder("pings").on(ping).route::<Pong>("pongs").settings(settings);
    let endpoint = endpoint.observer(watch.clone()).build(ports).expect("an endpoint");

    let before = local.usage();
    let settings = WorkerSettings { in_flight_max: 250, ..WorkerSettings::default() };
    let worker = Worker::new(endpoint, "pings").settings(settings);
    worker.run(watch.until_ended(MESSAGES)).await.expect("the worker ends well");
    let usage = local.usage().since(&before);

    let all = u64::from(MESSAGES);
    let counts = watch.counters.counts();
    assert_eq!(counts, Counts { processed: all, handled: all, ..Counts::default() });
    let exactly = |times: u64| times * all;
    let expected = BTreeMap::from([
        ("GetItem".to_owned(), exactly(2)),
        ("TransactWriteItems".to_owned(), exactly(1)),
        ("DeleteItem".to_owned(), exactly(1)),
    ]);
    assert_eq!(usage.dynamodb.requests, expected);
    let expected = BTreeMap::from([
        ("GetObject".to_owned(), exactly(1)),
        ("PutObject".to_owned(), exactly(1)),
        ("DeleteObject".to_owned(), exactly(1)),
    ]);
    assert_eq!(usage.s3.requests, expected);
    // Two items in a transaction at twice the price, and the record's deletion; two reads.
    assert_eq!((usage.dynamodb.units.write, usage.dynamodb.units.read), (5.0 * all as f64, 2.0 * all as f64));
    assert_eq!(usage.sqs.messages_sent, all);
    assert_eq!(usage.sqs.messages_deleted, all);
    let requests: u64 = usage.sqs.requests.values().sum();
    let each = requests as f64 / all as f64;
    assert!(each <= 0.4, "{each} SQS requests per message: {:?}", usage.sqs.requests);
}
