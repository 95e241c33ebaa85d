//! The cost and the maximum size of payloads in a table.

use bytes::Bytes;
use cloakroom::{format::Claim, ports::PayloadStore as _};
use cloakroom_aws::DynamoPayloads;

use crate::embedded::{Embedded, with_payload_table};

/// Returns the write units to write, the read units to read, and the write units to delete a
/// payload of this size.
async fn units(world: &Embedded, bytes: usize) -> (f64, f64, f64) {
    let payloads = DynamoPayloads::new(world.dynamodb.clone(), "slips");
    let claim = Claim::from_random(bytes as u128, "slips");
    let began = world.local.usage();
    payloads.check_in(&claim, vec![b'x'; bytes].into()).await.unwrap();
    let written = world.local.usage();
    assert_eq!(payloads.read(&claim).await.unwrap().map(|payload| payload.len()), Some(bytes));
    let read = world.local.usage();
    payloads.delete(&claim).await.unwrap();
    let deleted = world.local.usage();
    let units = |from: &cloakroom_local::Usage, to: &cloakroom_local::Usage| to.since(from).dynamodb.units;
    (units(&began, &written).write, units(&written, &read).read, units(&read, &deleted).write)
}

#[tokio::test]
async fn payload_of_1000_bytes_costs_one_unit_and_the_threshold_four() {
    let world = Embedded::start_as(with_payload_table(), &[]).await;
    let threshold = DynamoPayloads::CHEAPER_BYTES_MAX;
    for (bytes, writes, reads) in
        [(0, 1.0, 1.0), (1_000, 1.0, 1.0), (1_001, 2.0, 1.0), (threshold, 4.0, 1.0), (threshold + 1, 5.0, 2.0)]
    {
        assert_eq!(units(&world, bytes).await, (writes, reads, writes), "{bytes} bytes");
    }
}

/// The maximum size of a payload is the maximum that fits an item.
#[tokio::test]
async fn the_largest_payload_fills_an_item() {
    let world = Embedded::start_as(with_payload_table(), &[]).await;
    assert_eq!(units(&world, DynamoPayloads::BYTES_MAX).await, (400.0, 100.0, 400.0));
    let payloads = DynamoPayloads::new(world.dynamodb.clone(), "slips");
    let larger = Bytes::from(vec![b'x'; DynamoPayloads::BYTES_MAX + 1]);
    let before = world.local.usage();
    let error = payloads.check_in(&Claim::from_random(7, "slips"), larger).await.unwrap_err();
    assert!(error.to_string().contains("409577 bytes"), "{error}");
    assert_eq!(world.local.usage().since(&before).dynamodb.requests.get("PutItem"), None);
}
