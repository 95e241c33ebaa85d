//! The dead-letter queue of a queue.

use std::time::Duration;

use cloakroom::{
    Delivery, ErrorKind, Outcome, Worker,
    engine::{NotFinished, parking::dead_letter_queue},
    ports::{Clock as _, Queue as _, QueueMessage},
    worker::Batch,
};

use super::bench::{Act, Bench, builder};

/// A message of a type that the endpoint does not handle, so it is parked.
fn unknown(bench: &Bench) -> QueueMessage {
    let body = bench.delivery("a", Act::Note, 1).body.replace("\"job\"", "\"unknown\"");
    QueueMessage { body, group: Some("g".to_owned()), ..QueueMessage::default() }
}

#[test]
fn message_is_parked_in_the_dead_letter_queue_of_its_queue() {
    for queue in ["parts", "parts.fifo"] {
        let bench = Bench::new();
        bench.memory.run(bench.memory.queues.get(queue).send(vec![unknown(&bench)])).remove(0).unwrap();
        let worker = Worker::new(builder().build(bench.ports()).unwrap(), queue);
        bench.run(worker, bench.memory.clock.sleep(Duration::from_secs(5)));
        let dead = bench.memory.queues.get(&dead_letter_queue(queue)).messages();
        assert_eq!(dead.len(), 1, "{queue}");
        assert_eq!(dead[0].group.as_deref(), Some("g"));
        assert!(bench.memory.queues.get(queue).is_empty());
    }
}

#[test]
fn dead_letter_queue_of_another_kind_is_refused() {
    for (queue, dead, matching) in
        [("parts.fifo", "parts-dead", "`parts-dead.fifo`"), ("parts", "parts-dead.fifo", "`parts-dead`")]
    {
        let bench = Bench::new();
        let endpoint = builder().dead_letters(dead).build(bench.ports()).unwrap();
        let worker = Worker::new(endpoint.clone(), queue);
        let error =
            bench.memory.run(worker.run(std::future::pending())).expect_err("the queues are of different kinds");
        assert_eq!(error.kind(), ErrorKind::FixConfiguration);
        assert!(error.to_string().contains(matching), "{error}");

        let QueueMessage { body, group, .. } = unknown(&bench);
        let deliveries = [Delivery { body, group, receive_count: 1, ..Delivery::default() }];
        let until = bench.memory.clock.now().after(Duration::from_secs(60));
        let batch = Batch { queue, deliveries: &deliveries, in_flight_max: 1, until };
        let results = bench.run_with_clock(endpoint.process_batch(batch));
        let [Err(NotFinished::Failed(error))] = &results[..] else { panic!("{results:?}") };
        assert_eq!(error.kind(), ErrorKind::FixConfiguration, "{error}");
        assert!(bench.memory.queues.get(dead).is_empty());
    }
}

#[test]
fn batch_parks_messages_in_the_dead_letter_queue_of_their_queue() {
    let bench = Bench::new();
    let endpoint = builder().build(bench.ports()).unwrap();
    let QueueMessage { body, group, .. } = unknown(&bench);
    let deliveries = [Delivery { body, group, receive_count: 1, ..Delivery::default() }];
    let until = bench.memory.clock.now().after(Duration::from_secs(60));
    let batch = Batch { queue: "parts.fifo", deliveries: &deliveries, in_flight_max: 1, until };
    let results = bench.run_with_clock(endpoint.process_batch(batch));
    assert!(matches!(results[..], [Ok(Outcome::Parked)]), "{results:?}");
    assert_eq!(bench.memory.queues.get("parts-dead.fifo").len(), 1);
}
