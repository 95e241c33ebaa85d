//! The conformance laws of the ports, for the adapters on the embedded AWS.

use cloakroom::{conformance, ports::Queues as _};
use cloakroom_aws::{DynamoPayloads, SqsQueues, TokioClock};
use futures::future::join;

use crate::embedded::{Embedded, with_payload_table};

#[tokio::test]
async fn partitions_obey_the_laws() {
    let world = Embedded::start(&[]).await;
    conformance::partition_store(&*world.aws.ports().store, "wire").await;
}

#[tokio::test]
async fn records_obey_the_laws() {
    let world = Embedded::start(&[]).await;
    conformance::records(&world.aws.records(), &*world.aws.ports().store, "wire").await;
}

#[tokio::test]
async fn payloads_obey_the_laws() {
    let world = Embedded::start(&[]).await;
    conformance::payload_store(&*world.aws.ports().payloads, "wire").await;
}

#[tokio::test]
async fn payloads_in_a_table_obey_the_laws() {
    let world = Embedded::start_as(with_payload_table(), &[]).await;
    conformance::payload_store(&DynamoPayloads::new(world.dynamodb.clone(), "slips"), "wire").await;
}

#[tokio::test]
async fn payloads_in_table_and_bucket_obey_the_laws() {
    let world = Embedded::start_as(with_payload_table(), &[]).await;
    let payloads = world.aws.ports().payloads;
    assert_eq!(payloads.stores(), ["coats", "slips"]);
    conformance::payload_store(&*payloads, "wire").await;
}

#[tokio::test]
async fn queues_obey_the_laws() {
    let world = Embedded::start(&["laws", "laws-of-all"]).await;
    let queues = SqsQueues::new(world.sqs.clone(), Default::default()).unwrap();
    let queue = queues.open("laws").await.unwrap();
    let laws_of_one_queue = conformance::queue(&*queue, &TokioClock, "wire");
    join(laws_of_one_queue, conformance::queues(&queues, "laws-of-all", "wire")).await;
}
