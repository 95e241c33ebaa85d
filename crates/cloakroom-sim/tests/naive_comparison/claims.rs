//! Claim checks: the payload is stored separately, and a consumer that finds no payload takes the
//! message for processed. So every payload that is deleted too early becomes a lost message.

use std::sync::Arc;

use cloakroom::{
    Delivery, Endpoint, EndpointSettings, Handled, Message, Outcome, Partition, Tx,
    engine::parking,
    format::{Claim, Envelope},
    memory::Memory,
    observe::Counters,
    ports::{PayloadStore as _, Queue as _},
    protocol::WhenMissing,
};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};

use crate::process::{Process, VISIBILITY, put, work_alone};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    order: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Placed {
    order: String,
}

impl Message for Order {
    const TYPE: &'static str = "order";
    fn partition(&self) -> Partition {
        Partition::new("order#1")
    }
}

impl Message for Placed {
    const TYPE: &'static str = "placed";
    fn partition(&self) -> Partition {
        Partition::new("order#1")
    }
}

const SUBSCRIBERS: [&str; 2] = ["stock", "mails"];

/// Sends a message to each queue, with its payload under the returned claim.
fn sent(queues: &[&str]) -> (Memory, Claim) {
    let memory = Memory::with_queues(["stock", "mails"]);
    let claim = Claim::new("one-claim");
    memory.payloads.check_in(&claim, r#"{"order":"1"}"#.into()).now_or_never().unwrap().unwrap();
    let mut envelope = Envelope::new("placed-1".into(), "orders", Placed::TYPE, Partition::new("order#1"));
    envelope.dataref = Some(claim.clone());
    for queue in queues {
        put(&memory, queue, envelope.encode());
    }
    (memory, claim)
}

/// Reads the payload, does its work, and deletes the payload. A message without a payload counts as
/// processed.
async fn naive(name: &str, process: &Process, delivery: Delivery) -> Result<(), String> {
    let claim = Envelope::decode(&delivery.body).unwrap().dataref.unwrap();
    if process.memory.payloads.read(&claim).await.unwrap().is_some() {
        process.memory.store.put_item(&Partition::new("order#1"), name, cloakroom::format::Item::default());
        process.memory.payloads.delete(&claim).await.unwrap();
    }
    Ok(())
}

fn has_it(memory: &Memory, sort_key: &str) -> bool {
    memory.store.partition(&Partition::new("order#1")).contains_key(sort_key)
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Subscriber {
    times: u32,
}

async fn count(subscriber: &mut Subscriber, _: Placed, _: &mut Tx) -> Handled {
    subscriber.times += 1;
    Ok(())
}

/// A publisher writes the payload once and sends its claim to two queues. The first subscriber
/// collects the payload, and the second one finds nothing. With Cloakroom each subscriber gets a
/// claim of its own.
#[test]
fn shared_claim_loses_a_message_only_in_the_naive_consumer() {
    let (memory, _) = sent(&SUBSCRIBERS);
    for name in SUBSCRIBERS {
        work_alone(&memory, &[], name, async |process, delivery| naive(name, process, delivery).await);
    }
    assert_eq!(SUBSCRIBERS.map(|name| has_it(&memory, name)), [true, false], "the second subscriber must lose it");

    async fn place(_: &mut Subscriber, Order { order }: Order, tx: &mut Tx) -> Handled {
        tx.send(Placed { order });
        Ok(())
    }
    let memory = Memory::with_queues(["stock", "mails"]);
    let publisher =
        Endpoint::builder::<Subscriber>("orders").on(place).route::<Placed>("stock").route::<Placed>("mails");
    let mut envelope = Envelope::new("order-1".into(), "website", Order::TYPE, Partition::new("order#1"));
    envelope.data = Some(serde_json::json!({ "order": "1" }));
    let order = Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
    memory.run(publisher.build(memory.ports()).unwrap().process(&order)).unwrap();
    for name in SUBSCRIBERS {
        work_alone(&memory, &[], name, async |process, delivery| {
            let endpoint = Endpoint::builder::<Subscriber>(name).on(count).build(process.memory.ports()).unwrap();
            endpoint.process(&delivery).await.map(|_| ()).map_err(|error| error.to_string())
        });
    }
    assert_eq!(SUBSCRIBERS.map(|name| has_it(&memory, &format!("state#{name}"))), [true, true]);
}

/// An operator deletes a payload, or a lifecycle rule is shorter than the queue's retention. The
/// message can no longer be processed. The test compares whether that is noticed.
#[test]
fn deleted_payload_is_noticed_only_with_cloakroom() {
    let (memory, claim) = sent(&["stock"]);
    memory.payloads.delete(&claim).now_or_never().unwrap().unwrap();
    work_alone(&memory, &[], "stock", async |process, delivery| naive("stock", process, delivery).await);
    assert!(!has_it(&memory, "stock") && memory.queues.get("stock").is_empty(), "it must be lost without a notice");

    for (when_missing, outcome) in
        [(WhenMissing::Acknowledge, Outcome::Duplicate), (WhenMissing::Park, Outcome::Parked)]
    {
        let (memory, claim) = sent(&["stock"]);
        memory.payloads.delete(&claim).now_or_never().unwrap().unwrap();
        let counters = Arc::new(Counters::default());
        let endpoint = Endpoint::builder::<Subscriber>("stock")
            .on(count)
            .settings(EndpointSettings { when_missing, ..EndpointSettings::default() })
            .observer(counters.clone())
            .build(memory.ports())
            .unwrap();
        let queue = memory.queues.get("stock");
        let delivery = memory.run(queue.receive(1, VISIBILITY, VISIBILITY)).unwrap().remove(0);
        assert_eq!(memory.run(endpoint.process(&delivery)).unwrap(), outcome);
        assert_eq!(counters.counts().payload_missing, 1, "the alarm is raised");
        let parked = memory.queues.get("stock-dead").messages();
        assert_eq!(parked.len(), usize::from(when_missing == WhenMissing::Park));
        for message in parked {
            assert_eq!(message.body, delivery.body, "the message is kept until its payload is restored");
            assert!(message.attributes[parking::REASON].contains("payload is missing"));
        }
    }
}
