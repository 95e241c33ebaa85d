//! Two endpoints in one partition do not overwrite each other's items.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloakroom::{
    Condition, Delivery, Endpoint, Handled, Message, Outcome, Partition, Tx,
    engine::parking,
    format::{Envelope, Item, schema::attribute},
    memory::Memory,
    observe::Counters,
    ports::Clock as _,
    worker::Batch,
};
use serde::{Deserialize, Serialize};

/// What the handler does with one item.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Act {
    Put,
    Delete,
    Check,
    PutShared,
    DeleteShared,
    CheckShared,
    Nothing,
}

#[derive(Debug, Serialize, Deserialize)]
struct Do {
    act: Act,
    sort_key: String,
}

impl Message for Do {
    const TYPE: &'static str = "do";
    fn partition(&self) -> Partition {
        partition()
    }
}

fn partition() -> Partition {
    "order#1".into()
}

type State = BTreeMap<String, u64>;

async fn act(state: &mut State, Do { act, sort_key }: Do, tx: &mut Tx) -> Handled {
    *state.entry("messages".to_owned()).or_default() += 1;
    let item = BTreeMap::from([("by", tx.incoming().source.clone())]);
    match act {
        Act::Put => tx.put(sort_key, &item, Condition::Any),
        Act::Delete => tx.delete(sort_key, Condition::Any),
        Act::Check => tx.check(sort_key, Condition::Exists),
        Act::PutShared => tx.shared().put(sort_key, &item, Condition::Any),
        Act::DeleteShared => tx.shared().delete(sort_key, Condition::Any),
        Act::CheckShared => tx.shared().check(sort_key, Condition::Exists),
        Act::Nothing => {}
    }
    Ok(())
}

struct World {
    memory: Memory,
    counters: Arc<Counters>,
    bank: Endpoint,
    till: Endpoint,
}

impl World {
    fn new() -> Self {
        let (memory, counters) = (Memory::with_queues(["bank", "till"]), Arc::new(Counters::default()));
        let endpoint = |name: &str| {
            Endpoint::builder::<State>(name).on(act).observer(counters.clone()).build(memory.ports()).unwrap()
        };
        let (bank, till) = (endpoint("bank"), endpoint("till"));
        Self { memory, counters, bank, till }
    }

    #[track_caller]
    fn outcome(&self, endpoint: &Endpoint, id: &str, act: Act) -> Outcome {
        self.memory.run(endpoint.process(&delivery(id, endpoint.name(), act, "line#1"))).unwrap()
    }

    /// Asserts that `till` parks this message at its first receive, and that the reason contains
    /// these texts.
    #[track_caller]
    fn assert_parked(&self, id: &str, act: Act, expected: &[&str]) {
        assert_eq!(self.outcome(&self.till, id, act), Outcome::Parked, "{act:?}");
        let parked = self.memory.queues.get("till-dead").messages().pop().unwrap();
        let reason = &parked.attributes[parking::REASON];
        assert!(expected.iter().all(|part| reason.contains(part)), "{act:?}: {reason}");
    }

    fn item(&self) -> Option<Item> {
        self.memory.store.partition(&partition()).remove("line#1")
    }

    /// The endpoint that wrote the item, according to the handler's attribute and to Cloakroom's.
    fn by(&self) -> Option<[String; 2]> {
        let item = self.item()?;
        let text = |name: &str| match item.get(name) {
            Some(cloakroom::format::AttributeValue::S(text)) => text.clone(),
            other => format!("{other:?}"),
        };
        Some([text("by"), text(attribute::OWNER)])
    }
}

fn delivery(id: &str, source: &str, act: Act, sort_key: &str) -> Delivery {
    let mut envelope = Envelope::new(id.into(), source, Do::TYPE, partition());
    envelope.data = Some(serde_json::json!(Do { act, sort_key: sort_key.to_owned() }));
    Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
}

fn both(name: &str, owner: &str) -> Option<[String; 2]> {
    Some([name, owner].map(str::to_owned))
}

#[test]
fn item_of_another_endpoint_is_neither_written_nor_deleted_nor_checked() {
    let world = World::new();
    assert_eq!(world.outcome(&world.bank, "1", Act::Put), Outcome::Processed);
    let names = ["item `line#1` of partition `order#1` belongs to endpoint `bank`, not to `till`", "tx.shared()"];
    for (number, act) in [Act::Put, Act::Delete, Act::Check, Act::PutShared].into_iter().enumerate() {
        world.assert_parked(&number.to_string(), act, &names);
    }
    assert_eq!(world.by(), both("bank", "bank"));
    assert!(!world.memory.store.partition(&partition()).contains_key("state#till"), "nothing was committed");
    assert_eq!((world.counters.counts().conflict, world.counters.counts().handled), (0, 5), "no race is reported");
    // The owner can still check and delete its item.
    assert_eq!(world.outcome(&world.bank, "2", Act::Check), Outcome::Processed);
    assert_eq!(world.outcome(&world.bank, "3", Act::Delete), Outcome::Processed);
    assert_eq!(world.outcome(&world.till, "9", Act::Put), Outcome::Processed, "a deleted item has no owner any more");
    assert_eq!(world.by(), both("till", "till"));
}

#[test]
fn message_that_writes_a_foreign_item_does_not_delay_its_fold() {
    let world = World::new();
    world.outcome(&world.bank, "1", Act::Put);
    let deliveries = [
        delivery("1", "till", Act::Nothing, ""),
        delivery("2", "till", Act::Put, "line#1"),
        delivery("3", "till", Act::Put, "line#2"),
    ];
    let until = world.memory.clock.now().after(Duration::from_secs(60));
    let batch = Batch { queue: "till", deliveries: &deliveries, in_flight_max: 1, until };
    let outcomes: Vec<_> = world.memory.run(world.till.process_batch(batch)).into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes, [Outcome::Processed, Outcome::Parked, Outcome::Processed]);
    assert_eq!(world.by(), both("bank", "bank"));
    let state = world.memory.store.partition(&partition()).remove("state#till").unwrap();
    assert_eq!(
        state["messages"],
        cloakroom::format::AttributeValue::N("2".to_owned()),
        "the refused message changed nothing"
    );
}

#[test]
fn item_is_shared_by_endpoints_that_both_declare_it() {
    let world = World::new();
    assert_eq!(world.outcome(&world.bank, "1", Act::PutShared), Outcome::Processed);
    assert_eq!(world.by(), both("bank", attribute::SHARED));
    assert_eq!(world.outcome(&world.till, "1", Act::PutShared), Outcome::Processed);
    assert_eq!(world.by(), both("till", attribute::SHARED));
    assert_eq!(world.outcome(&world.bank, "2", Act::CheckShared), Outcome::Processed);
    world.assert_parked("2", Act::Put, &["`line#1`", "is shared by several endpoints", "`tx.shared()`"]);
    assert_eq!(world.outcome(&world.till, "3", Act::DeleteShared), Outcome::Processed);
    assert_eq!(world.item(), None);
}

#[test]
fn owner_of_an_item_can_start_to_share_it() {
    let world = World::new();
    world.outcome(&world.bank, "1", Act::Put);
    assert_eq!(world.outcome(&world.bank, "2", Act::PutShared), Outcome::Processed);
    assert_eq!(world.outcome(&world.till, "1", Act::PutShared), Outcome::Processed);
}

#[test]
fn item_without_an_owner_belongs_to_the_endpoint_that_writes_it_next() {
    let world = World::new();
    world.memory.store.put_item(&partition(), "line#1", Item::default());
    // A check does not make an endpoint the owner.
    assert_eq!(world.outcome(&world.bank, "1", Act::Check), Outcome::Processed);
    assert_eq!(world.outcome(&world.till, "1", Act::Put), Outcome::Processed);
    assert_eq!(world.by(), both("till", "till"));
    assert_eq!(world.outcome(&world.bank, "2", Act::Put), Outcome::Parked);
    assert_eq!(world.by(), both("till", "till"));
}
