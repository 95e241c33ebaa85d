//! A message does not affect the other messages that are committed with it or share its partition.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]
#![allow(missing_docs, unused)]

use crate::fixture;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloakroom::{
    Condition, Dedupe, Delivery, Endpoint, EndpointSettings, Handled, HandlerError, Message, Outcome, Partition, Tx,
    Worker, WorkerSettings,
    engine::NotFinished,
    format::Envelope,
    memory::Memory,
    observe::Counters,
    ports::{Clock as _, Placement, Queue as _, QueueMessage, Queues as _},
    worker::Batch,
};
use cloakroom_sim::wire::Operation;
use fixture::{
    Act, ONCE, World, account,
    stage::{Fault, Stage, staged},
};

type Results = Vec<Result<Outcome, NotFinished>>;

fn process_together(world: &World, queue: &str, deliveries: &[Delivery]) -> Results {
    let until = world.memory.clock.now().after(Duration::from_secs(3_600));
    world.memory.run(world.endpoint.process_batch(Batch { queue, deliveries, in_flight_max: 1, until }))
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Balance {
    total: i64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Take {
    amount: i64,
    demands: bool,
    takes_s: u64,
}

impl Message for Take {
    const TYPE: &'static str = "take";
    fn partition(&self) -> Partition {
        "a".into()
    }
}

tokio::task_local! {
    static MEMORY: Memory;
}

async fn take(balance: &mut Balance, take: Take, tx: &mut Tx) -> Handled {
    if take.takes_s > 0 {
        let clock = MEMORY.with(|memory| memory.clock.clone());
        clock.sleep(Duration::from_secs(take.takes_s)).await;
    }
    if balance.total < take.amount {
        return Err(HandlerError::reject("not enough"));
    }
    if take.demands {
        tx.check("missing", Condition::Exists);
    }
    balance.total -= take.amount;
    Ok(())
}

fn body(id: &str, amount: i64, demands: bool, takes_s: u64) -> String {
    let mut envelope = Envelope::new(id.into(), "test", Take::TYPE, "a".into());
    envelope.data = Some(serde_json::json!({ "amount": amount, "demands": demands, "takes_s": takes_s }));
    envelope.encode()
}

fn delivery(id: &str, amount: i64, demands: bool, takes_s: u64) -> Delivery {
    Delivery { body: body(id, amount, demands, takes_s), receive_count: 1, ..Delivery::default() }
}

fn till(memory: &Memory, settings: EndpointSettings, counters: &Arc<Counters>) -> Endpoint {
    Endpoint::builder::<Balance>("till")
        .on(take)
        .settings(settings)
        .observer(counters.clone())
        .build(memory.ports())
        .unwrap()
}

#[test]
fn message_is_not_rejected_because_of_an_uncommitted_neighbour() {
    let memory = Memory::with_queues(["till"]);
    let endpoint = till(&memory, EndpointSettings::default(), &Arc::default());
    memory.run(endpoint.process(&delivery("0", -100, false, 0))).unwrap();
    let deliveries = [delivery("1", 100, true, 0), delivery("2", 100, false, 0)];
    for queue in ["till", "till.fifo"] {
        let until = memory.clock.now().after(Duration::from_secs(3_600));
        let batch = Batch { queue, deliveries: &deliveries, in_flight_max: 1, until };
        let results = memory.run(endpoint.process_batch(batch));
        assert!(results[0].is_err(), "{results:?}");
        if queue == "till" {
            assert!(
                matches!(results[1], Ok(Outcome::Processed)),
                "the first message was never committed, so the balance suffices: {results:?}"
            );
            memory.run(endpoint.process(&delivery("3", -100, false, 0))).unwrap();
        }
    }
    assert_eq!(memory.queues.get("till-dead").messages().len(), 0);
}

#[test]
fn message_after_an_unfinished_rejection_is_not_started_on_a_fifo_queue() {
    let world = World::with(EndpointSettings { calls_max: 1, ..EndpointSettings::default() });
    let group = |delivery: Delivery| Delivery { group: Some("g".to_owned()), ..delivery };
    let deliveries = [
        group(world.claimed("1", &[Act::Add(1)])),
        group(world.claimed("2", &[Act::Reject])),
        group(world.claimed("3", &[Act::Add(100)])),
    ];
    world.stage.plan(|_, operation| (operation == Operation::Send).then_some(Fault::Refused));
    let results = process_together(&world, "bank.fifo", &deliveries);
    assert!(matches!(results[..], [Ok(_), Err(NotFinished::Failed(_)), Err(NotFinished::Behind)]), "{results:?}");
    assert_eq!(world.total(), 1);
}

#[test]
fn lost_commits_of_a_message_do_not_count_for_its_neighbour() {
    let world = World::with(EndpointSettings { passes_max: 2, ..EndpointSettings::default() });
    let deliveries =
        [world.claimed("1", &[Act::Add(1), Act::Demand("missing".to_owned())]), world.claimed("2", &[Act::Add(10)])];
    let mut commits = 0;
    world.stage.plan(move |_, operation| {
        commits += usize::from(operation == Operation::Commit);
        (operation == Operation::Commit && commits == 4).then_some(Fault::Vanished)
    });
    let results = process_together(&world, "bank", &deliveries);
    assert!(results[0].is_err() && results[1].is_ok(), "{results:?}");
    assert_eq!(world.total(), 10);
}

#[test]
fn messages_finished_before_the_time_limit_are_reported() {
    let memory = Memory::with_queues(["till"]);
    let endpoint = till(&memory, EndpointSettings::default(), &Arc::default());
    let deliveries = ["1", "2", "3"].map(|id| delivery(id, 0, false, 60));
    let until = memory.clock.now().after(Duration::from_secs(150));
    let batch = Batch { queue: "till", deliveries: &deliveries, in_flight_max: 1, until };
    let results = memory.run(MEMORY.scope(memory.clone(), endpoint.process_batch(batch)));
    assert!(
        matches!(results[..], [Ok(Outcome::Processed), Ok(Outcome::Processed), Err(NotFinished::Stopped)]),
        "{results:?}"
    );
}

fn work(memory: &Memory, worker: Worker, seconds: u64) {
    let shutdown = async {
        for _ in 0..seconds * 10 {
            if memory.queues.get("till").is_empty() {
                return;
            }
            memory.clock.sleep(Duration::from_millis(100)).await;
        }
    };
    memory.run(MEMORY.scope(memory.clone(), worker.run(shutdown))).unwrap();
}

fn send(memory: &Memory, bodies: Vec<String>) {
    let messages = bodies.into_iter().map(|body| QueueMessage { body, ..QueueMessage::default() }).collect();
    memory.run(memory.queues.get("till").send(messages)).into_iter().for_each(|sent| sent.unwrap());
}

#[test]
fn message_of_a_fold_has_the_whole_attempt_time() {
    let memory = Memory::with_queues(["till"]);
    let counters = Arc::new(Counters::default());
    let endpoint = till(&memory, EndpointSettings::default(), &counters);
    send(&memory, (0..5).map(|id| body(&id.to_string(), 0, false, 60)).collect());
    let settings = WorkerSettings { attempt_ms_max: 100_000, ..WorkerSettings::default() };
    work(&memory, Worker::new(endpoint, "till").settings(settings), 3_000);
    let counts = counters.counts();
    assert_eq!((counts.processed, counts.duplicate, counts.handled), (5, 0, 5), "{counts:?}");
}

#[test]
fn message_of_a_fold_has_at_most_the_attempt_time() {
    let memory = Memory::with_queues(["till"]);
    let counters = Arc::new(Counters::default());
    let endpoint = till(&memory, EndpointSettings::default(), &counters);
    send(&memory, [60, 150, 0].into_iter().enumerate().map(|(id, s)| body(&id.to_string(), 0, false, s)).collect());
    let settings = WorkerSettings { attempt_ms_max: 100_000, drain_ms: 0, ..WorkerSettings::default() };
    // The attempt on the second message is abandoned after 160 s. Without the limit it would end
    // after 210 s.
    work(&memory, Worker::new(endpoint, "till").settings(settings), 205);
    let counts = counters.counts();
    assert!(counts.processed >= 1 && counts.handled >= 3, "{counts:?}");
}

#[test]
fn payloads_are_checked_in_once_also_by_handlers_with_items_of_their_own() {
    let world = World::new();
    let message = |id: usize| {
        let items = (0..5).map(|number| Act::Put(format!("{id} {number}")));
        world.claimed(&id.to_string(), &[vec![Act::Add(1), Act::Note(1)], items.collect()].concat())
    };
    let deliveries: Vec<_> = (0..30).map(message).collect();
    let results = process_together(&world, "bank", &deliveries);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let count = |operation| world.stage.calls().into_iter().filter(|call| *call == operation).count();
    assert_eq!((count(Operation::CheckIn), count(Operation::Commit)), (30, 2));
}

#[test]
fn messages_with_one_id_and_two_claims_are_two_messages_in_every_placement() {
    for placement in [Placement::Separate, Placement::Embedded] {
        let world = World::with(EndpointSettings { placement, ..EndpointSettings::default() });
        world.outcome(&world.claimed("1", &[Act::Add(1)]));
        let claim = cloakroom::format::Claim::new("another.memory");
        world.check_in(&claim, &fixture::Play { acts: vec![Act::Add(10)] });
        let mut envelope = fixture::envelope("1", <fixture::Play as Message>::TYPE);
        envelope.dataref = Some(claim);
        let outcome = world.outcome(&world.delivery(&envelope));
        assert_eq!((world.total(), outcome), (11, Outcome::Processed), "{placement:?}");
    }
}
