//! The loss alarm: duplicates do not raise it, losses do.

use bytes::Bytes;
use cloakroom::{
    Message as _,
    format::{Claim, Envelope},
    ports::{PayloadStore as _, Queue as _, QueueMessage},
};

use super::bench::{Act, Bench, Job};

const MESSAGES: u32 = 1_500;

/// A message of one of a hundred partitions, or of the partition `hot`, which has a third of all
/// messages.
fn message(bench: &Bench, number: u32) -> QueueMessage {
    let partition = if number.is_multiple_of(3) { "hot".to_owned() } else { format!("p-{}", number % 100) };
    let claim = Claim::from_random(number.into(), "memory");
    let job = Job { partition: partition.clone(), act: Act::Note, sent_ms: 0 };
    let payload = Bytes::from(serde_json::to_vec(&job).unwrap());
    bench.memory.run(bench.memory.payloads.check_in(&claim, payload)).unwrap();
    let mut envelope = Envelope::new(format!("m-{number}").into(), "test", Job::TYPE, partition.into());
    envelope.dataref = Some(claim);
    QueueMessage { body: envelope.encode(), ..QueueMessage::default() }
}

fn send(bench: &Bench, message: QueueMessage) {
    bench.memory.run(bench.memory.queues.get("jobs").send(vec![message])).remove(0).unwrap();
}

#[test]
fn one_duplicate_in_ten_raises_no_loss_alarm() {
    let bench = Bench::new();
    for number in 0..MESSAGES {
        let message = message(&bench, number);
        send(&bench, message.clone());
        if number.is_multiple_of(10) {
            send(&bench, message);
        }
    }
    bench.run_until_empty(bench.worker(), std::time::Duration::from_secs(600));
    let counts = bench.counters.counts();
    assert_eq!((counts.processed, counts.duplicate), (MESSAGES.into(), u64::from(MESSAGES) / 10));
    assert_eq!(counts.payload_missing, 0, "every missing payload belongs to a duplicate");
}

#[test]
fn removed_payload_raises_the_loss_alarm() {
    let bench = Bench::new();
    for number in 0..100 {
        send(&bench, message(&bench, number));
    }
    for number in [4, 8] {
        bench.memory.run(bench.memory.payloads.delete(&Claim::from_random(number, "memory"))).unwrap();
    }
    bench.run_until_empty(bench.worker(), std::time::Duration::from_secs(600));
    let counts = bench.counters.counts();
    assert_eq!((counts.processed, counts.payload_missing), (98, 2));
}
