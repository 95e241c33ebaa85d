//! Order on FIFO queues when calls fail.

use std::{collections::BTreeMap, time::Duration};

use cloakroom::{
    Delivery, Endpoint, EndpointSettings, Handled, Message, Partition, Producer, Submission, Tx, format::Envelope,
};
use cloakroom_local::Faults;
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::{embedded::Embedded, faults::NONE};

/// More than an SQS batch holds.
const STEPS: u32 = 12;

#[derive(Serialize, Deserialize)]
struct Walk {
    walker: u32,
}

impl Message for Walk {
    const TYPE: &'static str = "walk";
    fn partition(&self) -> Partition {
        Partition::new(format!("walker#{}", self.walker))
    }
}

#[derive(Serialize, Deserialize)]
struct Step {
    number: u32,
}

impl Message for Step {
    const TYPE: &'static str = "step";
    fn partition(&self) -> Partition {
        Partition::new(format!("step#{}", self.number))
    }
}

async fn walk(steps: &mut BTreeMap<String, u32>, _: Walk, tx: &mut Tx) -> Handled {
    steps.insert("steps".to_owned(), STEPS);
    (0..STEPS).for_each(|number| tx.send(Step { number }));
    Ok(())
}

fn many_faults() -> Faults {
    Faults { throttled: 0.15, server_errors: 0.1, lost_responses: 0.15, ..NONE }
}

/// Receives all messages of the queue. Returns the partitions of the messages of each group, in the
/// order of their receive.
async fn received(world: &Embedded) -> BTreeMap<String, Vec<String>> {
    let queue = world.aws.ports().queues.open("steps.fifo").await.unwrap();
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    loop {
        let deliveries = queue.receive(10, Duration::ZERO, Duration::from_secs(600)).await.unwrap();
        if deliveries.is_empty() {
            return groups;
        }
        queue.delete(deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()).await;
        for delivery in deliveries {
            let partition = Envelope::decode(&delivery.body).unwrap().partition.to_string();
            groups.entry(delivery.group.unwrap()).or_default().push(partition);
        }
    }
}

fn in_order() -> Vec<String> {
    (0..STEPS).map(|number| format!("step#{number}")).collect()
}

#[tokio::test]
async fn messages_of_a_handler_arrive_in_order() {
    let world = Embedded::start(&["walks", "steps.fifo"]).await;
    let builder = Endpoint::builder::<BTreeMap<String, u32>>("walks").on(walk).route::<Step>("steps.fifo");
    let endpoint = builder.build(world.aws.ports()).unwrap();
    let delivery = |walker: u32| {
        let walk = Walk { walker };
        let mut envelope = Envelope::new("m".into(), "test", Walk::TYPE, walk.partition());
        envelope.data = Some(serde_json::json!(walk));
        Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
    };
    let deliveries: Vec<Delivery> = (0..5).map(delivery).collect();
    world.local.set_faults(many_faults()).unwrap();
    // An attempt that fails after its commit is resumed by the next one.
    join_all(deliveries.iter().map(async |delivery| while endpoint.process(delivery).await.is_err() {})).await;
    world.local.set_faults(NONE).unwrap();
    let groups = received(&world).await;
    assert_eq!(groups.len(), 5);
    for (group, steps) in groups {
        assert_eq!(steps, in_order(), "group {group}");
    }
}

#[tokio::test]
async fn submitted_messages_arrive_in_order() {
    let world = Embedded::start(&["steps.fifo"]).await;
    let settings = EndpointSettings { calls_max: 100, ..EndpointSettings::default() };
    let producer = Producer::with_settings(world.aws.ports(), "test", settings).unwrap();
    let submission = |group: &str, number| Submission::new(format!("{group} {number}"), &Step { number }).group(group);
    let mixed = (0..STEPS).flat_map(|number| ["a", "b", "c"].map(|group| submission(group, number)));
    world.local.set_faults(many_faults()).unwrap();
    let results = producer.submit_all("steps.fifo", mixed.collect()).await;
    world.local.set_faults(NONE).unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let expected = ["a", "b", "c"].map(|group| (group.to_owned(), in_order()));
    assert_eq!(received(&world).await, expected.into());
}
