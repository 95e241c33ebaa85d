//! What the real code asks of AWS when it runs, as the meter of the embedded AWS saw it, is what was read from its
//! source: neither is the reading blind to a call, nor is a call allowed that no work needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use cloakroom::{
    Condition, Endpoint, EndpointSettings, Handled, HandlerError, Message, Partition, Ports, Tx, Worker,
    format::{Claim, Envelope},
    observe::{Event, Observer},
    ports::{Placement, QueueMessage},
    protocol::{CheckIn, Consistency, Version},
};
use cloakroom_aws::{Aws, ProvisioningSettings};
use cloakroom_local::Usage;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::{
    embedded::{Embedded, with_payload_table},
    policy::operations,
    roles::ROLES,
};

#[derive(Serialize, Deserialize)]
struct Ask {
    number: u32,
}

impl Message for Ask {
    const TYPE: &'static str = "ask";
    fn partition(&self) -> Partition {
        Partition::new(format!("asker#{}", self.number))
    }
}

#[derive(Serialize, Deserialize)]
struct Told {
    number: u32,
}

impl Message for Told {
    const TYPE: &'static str = "told";
    fn partition(&self) -> Partition {
        Partition::new(format!("asker#{}", self.number))
    }
}

const REJECTED: u32 = 1;
const FAILED: u32 = 2;

/// Every kind of write, and every way to end.
async fn ask(asked: &mut BTreeMap<String, u64>, Ask { number }: Ask, tx: &mut Tx) -> Handled {
    match number {
        REJECTED => return Err(HandlerError::reject("not this one")),
        FAILED => return Err(HandlerError::retry("not now")),
        _ => {}
    }
    *asked.entry("times".to_owned()).or_default() += 1;
    tx.put("answer", &BTreeMap::from([("number", number)]), Condition::Any);
    tx.delete("question", Condition::Any);
    tx.check("veto", Condition::Absent);
    tx.send(Told { number });
    Ok(())
}

/// Knows when messages have come to an end, whether good or bad.
#[derive(Debug)]
struct Ends(Semaphore);

impl Observer for Ends {
    fn observe(&self, event: Event) {
        if matches!(event, Event::Processed | Event::Parked | Event::GivenBack) {
            self.0.add_permits(1);
        }
    }
}

/// Sends messages: with a claim, as endpoints do, and with an id only, as others do.
async fn fill(ports: &Ports, queue: &str, numbers: &[u32]) {
    let mut messages = Vec::new();
    for &number in numbers {
        let body = serde_json::to_value(Ask { number }).expect("JSON");
        let id = format!("{queue}-{number}");
        let mut claimed = Envelope::new(id.clone().into(), "test", Ask::TYPE, Ask { number }.partition());
        let claim = Claim::from_random(ports.random.bits(), ports.payloads.name());
        ports.payloads.check_in(&claim, Bytes::from(body.to_string())).await.expect("the bucket exists");
        claimed.dataref = Some(claim);
        let partition = Partition::new(format!("stranger#{number}"));
        let mut plain = Envelope::new(format!("{id}-plain").into(), "test", Ask::TYPE, partition);
        plain.data = Some(body);
        messages.extend([claimed, plain].map(|it| QueueMessage { body: it.encode(), ..QueueMessage::default() }));
    }
    send(ports, queue, messages).await;
}

async fn send(ports: &Ports, queue: &str, messages: Vec<QueueMessage>) {
    let queue = ports.queues.open(queue).await.expect("the queue exists");
    queue.send(messages).await.into_iter().for_each(|sent| sent.expect("sent"));
}

/// A second pair of eyes, which has opened no queue yet.
fn anew(world: &Embedded) -> Aws {
    let Embedded { dynamodb, s3, sqs, .. } = world;
    let settings = world.aws.settings().clone();
    Aws::new(dynamodb.clone(), s3.clone(), sqs.clone(), settings).expect("settings that AWS takes")
}

/// The embedded AWS has no backups, so that nobody can ask for them there.
const NOT_EMBEDDED: [&str; 2] = ["DescribeContinuousBackups", "UpdateContinuousBackups"];

/// Demands that the meter saw what this role's source calls.
fn must_be_calls_of(policy: &str, used: impl IntoIterator<Item = Usage>) {
    let requests = |usage: Usage| [usage.dynamodb.requests, usage.s3.requests, usage.sqs.requests];
    let seen: BTreeSet<String> = used.into_iter().flat_map(requests).flatten().map(|(name, _)| name).collect();
    let role = ROLES.iter().find(|role| role.policy == policy).expect("a role");
    let read = operations(role).into_keys().filter(|name| !NOT_EMBEDDED.contains(&name.as_str()));
    // On the wire, a transaction is one operation, whatever is in it.
    let read: BTreeSet<String> = read.map(|name| name.split('.').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(seen, read, "{policy}: what was asked for, and what the source calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_ask_for_what_their_source_says() {
    // What is received is in the bucket; what is sent is small, and goes to the table.
    let world = Embedded::start_as(with_payload_table(), &["before", "after", "embedded", "told"]).await;
    let numbers = [0, REJECTED, FAILED];
    for queue in ["before", "after", "embedded"] {
        fill(&world.aws.ports(), queue, &numbers).await;
    }
    let aws = anew(&world);
    let before = world.local.usage();
    for (queue, check_in, placement) in [
        ("before", CheckIn::BeforeCommit, Placement::Separate),
        ("after", CheckIn::AfterCommit, Placement::Separate),
        ("embedded", CheckIn::BeforeCommit, Placement::Embedded),
    ] {
        let ends = Arc::new(Ends(Semaphore::new(0)));
        let settings = EndpointSettings { check_in, placement, ..EndpointSettings::default() };
        let endpoint = Endpoint::builder(queue).on(ask).route::<Told>("told").settings(settings);
        let endpoint = endpoint.observer(ends.clone()).build(aws.ports()).expect("an endpoint");
        let all_ended = async {
            let ended = ends.0.acquire_many(2 * numbers.len() as u32).await;
            ended.expect("never closed").forget();
        };
        Worker::new(endpoint, queue).run(all_ended).await.expect("the worker ends well");
    }
    // What comes together shares requests, and what comes alone does not.
    let ports = aws.ports();
    let check_in = async |_| {
        let claim = Claim::from_random(ports.random.bits(), ports.payloads.place(2));
        ports.payloads.check_in(&claim, Bytes::from_static(b"{}")).await.expect("the payload table exists");
    };
    join_all((0..2).map(check_in)).await;
    let alone = ports.store.read_state(&"nobody".into(), "before", Consistency::Strong).await;
    assert_eq!(alone.expect("the table exists").version, Version::ABSENT);
    must_be_calls_of("EndpointPolicy", [world.local.usage().since(&before)]);
}

#[tokio::test]
async fn producers_ask_for_what_their_source_says() {
    let world = Embedded::start(&["asks"]).await;
    let ports = anew(&world).ports();
    let before = world.local.usage();
    let mut envelope = Envelope::new("m-1".into(), "web", Ask::TYPE, Partition::new("asker#1"));
    envelope.data = Some(serde_json::to_value(Ask { number: 1 }).expect("JSON"));
    send(&ports, "asks", vec![QueueMessage { body: envelope.encode(), ..QueueMessage::default() }]).await;
    must_be_calls_of("ProducerPolicy", [world.local.usage().since(&before)]);
}

#[tokio::test]
async fn provisioning_asks_for_what_its_source_says() {
    let apply = async |world: &Embedded, visibility_s| {
        let before = world.local.usage();
        let queues = vec!["asks".to_owned()];
        let settings =
            ProvisioningSettings { queues, visibility_s: Some(visibility_s), ..ProvisioningSettings::default() };
        world.provisioning_of(settings).apply().await.expect("everything is made");
        world.local.usage().since(&before)
    };
    let world = Embedded::empty().await;
    let made = apply(&world, 30).await;
    // In a bucket that is there without a rule, it looks for objects of others.
    world.s3.delete_bucket_lifecycle().bucket("coats").send().await.expect("the rule is removed");
    let changed = apply(&world, 60).await;
    must_be_calls_of("ProvisionerPolicy", [made, changed]);
}
