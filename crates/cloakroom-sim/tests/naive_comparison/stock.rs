//! The case of most scenarios: orders ask for stock and get an answer. This module has the
//! messages, the consumer that uses Cloakroom, and the expected end of both consumers.

use std::collections::BTreeMap;

use cloakroom::{
    Delivery, Endpoint, Handled, Message, Partition, Ports, Tx,
    format::{Envelope, Item},
    memory::Memory,
};
use cloakroom_sim::wire::through_wire;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    audit::{FinalState, Harm},
    process::{Fault, Process, put, work_alone, work_in_pairs},
};

/// The stock at the beginning.
pub(crate) const STOCK: u32 = 5;

/// Orders for one lamp or more, and the faults meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// The orders as they arrive: name and quantity. Two entries with the same name are the same
    /// message, delivered twice.
    pub(crate) orders: &'static [(&'static str, u32)],
    pub(crate) faults: &'static [Fault],
    /// Whether two processes run at the same time. Otherwise one process runs, and starts again
    /// after each stop.
    pub(crate) in_pairs: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reserve {
    pub(crate) order: String,
    pub(crate) quantity: u32,
}

/// The answer: `reserved` or `refused`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) order: String,
    pub(crate) result: String,
}

impl Message for Reserve {
    const TYPE: &'static str = "stock.reserve";
    fn partition(&self) -> Partition {
        lamps()
    }
}

impl Message for Answer {
    const TYPE: &'static str = "stock.answer";
    fn partition(&self) -> Partition {
        Partition::new(format!("order#{}", self.order))
    }
}

pub(crate) fn lamps() -> Partition {
    Partition::new("sku#lamp")
}

/// The reserved quantity, by order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stock {
    pub(crate) reserved: BTreeMap<String, u32>,
}

impl Stock {
    pub(crate) fn reserve(&mut self, Reserve { order, quantity }: Reserve) -> Answer {
        let is_there = self.reserved.values().sum::<u32>() + quantity <= STOCK;
        if is_there {
            *self.reserved.entry(order.clone()).or_default() += quantity;
        }
        Answer { order, result: if is_there { "reserved" } else { "refused" }.to_owned() }
    }
}

/// The whole handler with Cloakroom.
async fn reserve(stock: &mut Stock, reserve: Reserve, tx: &mut Tx) -> Handled {
    tx.send(stock.reserve(reserve));
    Ok(())
}

pub(crate) fn endpoint(ports: Ports) -> Endpoint {
    Endpoint::builder::<Stock>("stock").on(reserve).route::<Answer>("orders").build(ports).unwrap()
}

pub(crate) async fn with_cloakroom(process: &Process, delivery: Delivery) -> Result<(), String> {
    let endpoint = endpoint(through_wire(&process.wire, &process.memory.ports()));
    endpoint.process(&delivery).await.map(|_| ()).map_err(|error| error.to_string())
}

impl Scenario {
    /// Sends the orders as any producer does: in envelopes with an id.
    pub(crate) fn send(&self, memory: &Memory) {
        for (order, quantity) in self.orders {
            let id = format!("reserve-{order}").into();
            let mut envelope = Envelope::new(id, "website", Reserve::TYPE, lamps());
            envelope.data = Some(json!({ "order": order, "quantity": quantity }));
            put(memory, "stock", envelope.encode());
        }
    }

    fn run(
        &self,
        faults: &[Fault],
        consume: impl AsyncFn(&Process, Delivery) -> Result<(), String>,
    ) -> (Memory, usize) {
        let memory = Memory::with_queues(["stock", "orders"]);
        self.send(&memory);
        let calls = match self.in_pairs {
            true => {
                work_in_pairs(&memory, faults, "stock", consume);
                0
            }
            false => work_alone(&memory, faults, "stock", consume),
        };
        (memory, calls)
    }

    /// Asserts that a naive consumer does this harm. Without harm the scenario would show nothing.
    #[track_caller]
    pub(crate) fn assert_harm(&self, consume: impl AsyncFn(&Process, Delivery) -> Result<(), String>, harm: Harm) {
        let (memory, _) = self.run(self.faults, consume);
        let final_state = FinalState::of_naive(&memory);
        assert_eq!(final_state.harm(self.orders), Some(harm), "{final_state:?}");
    }

    /// Asserts that the consumer with Cloakroom does no harm.
    #[track_caller]
    pub(crate) fn assert_no_harm(&self) {
        let (memory, _) = self.run(self.faults, with_cloakroom);
        let final_state = FinalState::of_cloakroom(&memory);
        assert_eq!(final_state.harm(self.orders), None, "{final_state:?}");
    }

    /// The number of calls of a consumer without faults.
    pub(crate) fn calls(&self, consume: impl AsyncFn(&Process, Delivery) -> Result<(), String>) -> usize {
        self.run(&[], consume).1
    }

    /// The harm that a naive consumer does with this fault.
    pub(crate) fn harm_of_naive(
        &self,
        fault: Fault,
        consume: impl AsyncFn(&Process, Delivery) -> Result<(), String>,
    ) -> Option<Harm> {
        FinalState::of_naive(&self.run(&[fault], consume).0).harm(self.orders)
    }

    /// The harm that the consumer with Cloakroom does with this fault.
    pub(crate) fn harm_of_cloakroom(&self, fault: Fault) -> Option<Harm> {
        FinalState::of_cloakroom(&self.run(&[fault], with_cloakroom).0).harm(self.orders)
    }
}

/// Returns an item of the lamps' partition.
pub(crate) fn item<T: DeserializeOwned + Default>(memory: &Memory, sort_key: &str) -> T {
    let item: Option<Item> = memory.store.partition(&lamps()).remove(sort_key);
    item.map(|item| serde_dynamo::from_item(item).unwrap()).unwrap_or_default()
}
