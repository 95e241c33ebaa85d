//! The requests that the running code makes, as the meter of the embedded AWS counts them, are the
//! calls that were read from its source. So the reading misses no call, and no policy allows a call
//! that no work makes.

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
struct Answered {
    number: u32,
}

impl Message for Answered {
    const TYPE: &'static str = "answered";
    fn partition(&self) -> Partition {
        Partition::new(format!("asker#{}", self.number))
    }
}

const REJECTED: u32 = 1;
const FAILED: u32 = 2;

/// Makes every kind of write. The messages together have every result.
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
    tx.send(Answered { number });
    Ok(())
}

/// An observer that counts the messages whose attempt has ended, with or without success.
#[derive(Debug)]
struct EndedAttempts(Semaphore);

impl Observer for EndedAttempts {
    fn observe(&self, event: Event) {
        if matches!(event, Event::Processed | Event::Parked | Event::GivenBack) {
            self.0.add_permits(1);
        }
    }
}

/// Sends each message twice: with a claim, as endpoints do, and with only an id, as foreign
/// producers do.
async fn fill(ports: &Ports, queue: &str, numbers: &[u32]) {
    let mut messages = Vec::new();
    for &number in numbers {
        let body = serde_json::to_value(Ask { number }).expect("JSON");
        let id = format!("{queue}-{number}");
        let mut claimed = Envelope::new(id.clone().into(), "test", Ask::TYPE, Ask { number }.partition());
        let claim = Claim::from_random(ports.random.bits(), ports.payloads.name());
        ports.payloads.check_in(&claim, Bytes::from(body.to_string())).await.expect("the bucket exists");
        claimed.dataref = Some(claim);
        let partition = Partition::new(format!("foreign#{number}"));
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

/// Returns another [`Aws`] on the same services, which has opened no queue yet.
fn fresh_aws(world: &Embedded) -> Aws {
    let Embedded { dynamodb, s3, sqs, .. } = world;
    let settings = world.aws.settings().clone();
    Aws::new(dynamodb.clone(), s3.clone(), sqs.clone(), settings).expect("valid settings")
}

/// The embedded AWS has no backups, so the code does not call these operations there.
const NOT_EMBEDDED: [&str; 2] = ["DescribeContinuousBackups", "UpdateContinuousBackups"];

/// Asserts that the metered requests are the calls in the source of this role.
fn assert_calls_of(policy: &str, used: impl IntoIterator<Item = Usage>) {
    let requests = |usage: Usage| [usage.dynamodb.requests, usage.s3.requests, usage.sqs.requests];
    let metered: BTreeSet<String> = used.into_iter().flat_map(requests).flatten().map(|(name, _)| name).collect();
    let role = ROLES.iter().find(|role| role.policy == policy).expect("a role");
    let read = operations(role).into_keys().filter(|name| !NOT_EMBEDDED.contains(&name.as_str()));
    // The meter counts a transaction as one operation, without its actions.
    let read: BTreeSet<String> = read.map(|name| name.split('.').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(metered, read, "{policy}: the metered requests are not the calls of the source");
}

#[tokio::test(flavor = "multi_thread")]
async fn metered_calls_of_endpoints_are_those_of_their_source() {
    // Payloads of received messages are in the bucket. Payloads of sent messages are small and go
    // to the table.
    let world = Embedded::start_as(with_payload_table(), &["before", "after", "embedded", "answered"]).await;
    let numbers = [0, REJECTED, FAILED];
    for queue in ["before", "after", "embedded"] {
        fill(&world.aws.ports(), queue, &numbers).await;
    }
    let aws = fresh_aws(&world);
    let before = world.local.usage();
    for (queue, check_in, placement) in [
        ("before", CheckIn::BeforeCommit, Placement::Separate),
        ("after", CheckIn::AfterCommit, Placement::Separate),
        ("embedded", CheckIn::BeforeCommit, Placement::Embedded),
    ] {
        let ended_attempts = Arc::new(EndedAttempts(Semaphore::new(0)));
        let settings = EndpointSettings { check_in, placement, ..EndpointSettings::default() };
        let endpoint = Endpoint::builder(queue).on(ask).route::<Answered>("answered").settings(settings);
        let endpoint = endpoint.observer(ended_attempts.clone()).build(aws.ports()).expect("an endpoint");
        let all_ended = async {
            let ended = ended_attempts.0.acquire_many(2 * numbers.len() as u32).await;
            ended.expect("never closed").forget();
        };
        Worker::new(endpoint, queue).run(all_ended).await.expect("the worker ends without an error");
    }
    // Concurrent calls share a batch request. A single call makes a request of its own.
    let ports = aws.ports();
    let check_in = async |_| {
        let claim = Claim::from_random(ports.random.bits(), ports.payloads.place(2));
        ports.payloads.check_in(&claim, Bytes::from_static(b"{}")).await.expect("the payload table exists");
    };
    join_all((0..2).map(check_in)).await;
    let alone = ports.store.read_state(&"unused".into(), "before", Consistency::Strong).await;
    assert_eq!(alone.expect("the table exists").version, Version::ABSENT);
    assert_calls_of("EndpointPolicy", [world.local.usage().since(&before)]);
}

#[tokio::test]
async fn metered_calls_of_producers_are_those_of_their_source() {
    let world = Embedded::start(&["asks"]).await;
    let ports = fresh_aws(&world).ports();
    let before = world.local.usage();
    let mut envelope = Envelope::new("m-1".into(), "web", Ask::TYPE, Partition::new("asker#1"));
    envelope.data = Some(serde_json::to_value(Ask { number: 1 }).expect("JSON"));
    send(&ports, "asks", vec![QueueMessage { body: envelope.encode(), ..QueueMessage::default() }]).await;
    assert_calls_of("ProducerPolicy", [world.local.usage().since(&before)]);
}

#[tokio::test]
async fn metered_calls_of_provisioning_are_those_of_its_source() {
    let apply = async |world: &Embedded, visibility_s| {
        let before = world.local.usage();
        let queues = vec!["asks".to_owned()];
        let settings =
            ProvisioningSettings { queues, visibility_s: Some(visibility_s), ..ProvisioningSettings::default() };
        world.provisioning_of(settings).apply().await.expect("provisioning succeeds");
        world.local.usage().since(&before)
    };
    let world = Embedded::empty().await;
    let made = apply(&world, 30).await;
    // In an existing bucket without a lifecycle rule, provisioning looks for objects of other
    // applications.
    world.s3.delete_bucket_lifecycle().bucket("coats").send().await.expect("the rule is removed");
    let changed = apply(&world, 60).await;
    assert_calls_of("ProvisionerPolicy", [made, changed]);
}
