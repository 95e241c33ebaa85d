//! The story of most scenarios: orders ask for stock, and are told whether they have it. As data, as Cloakroom does it, and
//! with what both must have come to in the end.

use std::collections::BTreeMap;

use cloakroom::{
    Delivery, Endpoint, Handled, Message, Partition, Ports, Tx,
    format::{Envelope, Item},
    memory::Memory,
};
use cloakroom_sim::wire::by_way_of;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    audit::{Books, Harm},
    site::{Site, Trouble, put, work_alone, work_in_pairs},
};

/// What there is at first.
pub(crate) const STOCK: u32 = 5;

/// Orders that ask for one lamp or more, and what happens meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// In the order in which they come: name and quantity. The same name twice is the same message twice.
    pub(crate) orders: &'static [(&'static str, u32)],
    pub(crate) troubles: &'static [Trouble],
    /// Two processes work at the same time; otherwise one, that is started again when it died.
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
    pub(crate) is: String,
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

/// What is reserved, by order.
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
        Answer { order, is: if is_there { "reserved" } else { "refused" }.to_owned() }
    }
}

/// With Cloakroom: no more than this.
async fn reserve(stock: &mut Stock, reserve: Reserve, tx: &mut Tx) -> Handled {
    tx.send(stock.reserve(reserve));
    Ok(())
}

pub(crate) fn endpoint(ports: Ports) -> Endpoint {
    Endpoint::builder::<Stock>("stock").on(reserve).route::<Answer>("orders").build(ports).unwrap()
}

pub(crate) async fn ours(site: &Site, delivery: Delivery) -> Result<(), String> {
    let endpoint = endpoint(by_way_of(&site.wire, &site.memory.ports()));
    endpoint.process(&delivery).await.map(|_| ()).map_err(|error| error.to_string())
}

impl Scenario {
    /// The orders, as any producer sends them: an envelope with an id.
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
        troubles: &[Trouble],
        consume: impl AsyncFn(&Site, Delivery) -> Result<(), String>,
    ) -> (Memory, usize) {
        let memory = Memory::with_queues(["stock", "orders"]);
        self.send(&memory);
        let calls = match self.in_pairs {
            true => {
                work_in_pairs(&memory, troubles, "stock", consume);
                0
            }
            false => work_alone(&memory, troubles, "stock", consume),
        };
        (memory, calls)
    }

    /// Demands that a naive consumer does this harm. One that does none would make the scenario pointless.
    #[track_caller]
    pub(crate) fn breaks(&self, consume: impl AsyncFn(&Site, Delivery) -> Result<(), String>, harm: Harm) {
        let (memory, _) = self.run(self.troubles, consume);
        let books = Books::of_naive(&memory);
        assert_eq!(books.harm(self.orders), Some(harm), "{books:?}");
    }

    /// Demands that ours does none.
    #[track_caller]
    pub(crate) fn holds(&self) {
        let (memory, _) = self.run(self.troubles, ours);
        let books = Books::of_ours(&memory);
        assert_eq!(books.harm(self.orders), None, "{books:?}");
    }

    /// How many calls a consumer takes when it is left in peace.
    pub(crate) fn calls(&self, consume: impl AsyncFn(&Site, Delivery) -> Result<(), String>) -> usize {
        self.run(&[], consume).1
    }

    /// The harm done with this trouble.
    pub(crate) fn harm_of_naive(
        &self,
        trouble: Trouble,
        consume: impl AsyncFn(&Site, Delivery) -> Result<(), String>,
    ) -> Option<Harm> {
        Books::of_naive(&self.run(&[trouble], consume).0).harm(self.orders)
    }

    /// The harm that ours does with it.
    pub(crate) fn harm_of_ours(&self, trouble: Trouble) -> Option<Harm> {
        Books::of_ours(&self.run(&[trouble], ours).0).harm(self.orders)
    }
}

/// An item of the lamps' partition.
pub(crate) fn item<T: DeserializeOwned + Default>(memory: &Memory, sort_key: &str) -> T {
    let item: Option<Item> = memory.store.partition(&lamps()).remove(sort_key);
    item.map(|item| serde_dynamo::from_item(item).unwrap()).unwrap_or_default()
}
