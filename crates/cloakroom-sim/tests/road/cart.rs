//! A shopping cart, whose messages come in another order than they were sent.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::{
    Delivery, Endpoint, Handled, Message, Partition, Tx, format::Envelope, memory::Memory, protocol::Version,
};
use cloakroom_sim::wire::Operation;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::site::{Site, put, work_alone};

#[derive(Debug, Serialize, Deserialize)]
struct Change {
    article: String,
    is_added: bool,
}

impl Message for Change {
    const TYPE: &'static str = "cart.change";
    fn partition(&self) -> Partition {
        cart()
    }
}

fn cart() -> Partition {
    Partition::new("cart#1")
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cart {
    articles: BTreeSet<String>,
}

impl Cart {
    fn change(&mut self, Change { article, is_added }: Change) {
        match is_added {
            true => self.articles.insert(article),
            false => self.articles.remove(&article),
        };
    }
}

/// A lamp was added first, and then removed. Each change comes as often and in such order as its number is in here.
fn sent(arrivals: &[u64]) -> Memory {
    let memory = Memory::with_queues(["carts"]);
    for sequence in arrivals {
        let mut envelope = Envelope::new(format!("change-{sequence}").into(), "website", Change::TYPE, cart());
        envelope.data = Some(json!({ "article": "lamp", "is_added": *sequence == 1 }));
        envelope.set_sequence(Version::new(*sequence));
        put(&memory, "carts", envelope.encode());
    }
    memory
}

fn stored<T: serde::de::DeserializeOwned + Default>(memory: &Memory, sort_key: &str) -> T {
    let item = memory.store.partition(&cart()).remove(sort_key);
    item.map(|item| serde_dynamo::from_item(item).unwrap()).unwrap_or_default()
}

/// Both changes are idempotent, so what could go wrong?
async fn idempotent(site: &Site, delivery: Delivery) -> Result<(), String> {
    let data = Envelope::decode(&delivery.body).unwrap().data.unwrap_or_default();
    let change = serde_json::from_value(data).unwrap();
    let mut cart_read: Cart =
        site.call(Operation::ReadState, |memory| stored(memory, "cart")).await.map_err(|error| error.to_string())?;
    cart_read.change(change);
    let write =
        move |memory: &Memory| memory.store.put_item(&cart(), "cart", serde_dynamo::to_item(&cart_read).unwrap());
    site.call(Operation::Commit, write).await.map_err(|error| error.to_string())
}

fn is_in_cart_of_naive(arrivals: &[u64]) -> bool {
    let memory = sent(arrivals);
    work_alone(&memory, &[], "carts", idempotent);
    stored::<Cart>(&memory, "cart").articles.contains("lamp")
}

/// The duplicate of the addition comes after the removal.
#[test]
fn an_addition_comes_again_after_the_removal() {
    async fn change(cart: &mut Cart, change: Change, _: &mut Tx) -> Handled {
        cart.change(change);
        Ok(())
    }
    async fn ours(site: &Site, delivery: Delivery) -> Result<(), String> {
        let endpoint = Endpoint::builder::<Cart>("carts").on(change).build(site.memory.ports()).unwrap();
        endpoint.process(&delivery).await.map(|_| ()).map_err(|error| error.to_string())
    }

    assert!(is_in_cart_of_naive(&[1, 2, 1]), "a ghost: the naive cart must have the lamp that was removed");

    let memory = sent(&[1, 2, 1]);
    work_alone(&memory, &[], "carts", ours);
    assert!(!stored::<Cart>(&memory, "state#carts").articles.contains("lamp"), "the duplicate is known, however late");
}

/// Nobody promises order on a standard queue, and neither does Cloakroom. It tells every handler its place in the sender's order.
#[test]
fn an_addition_comes_for_the_first_time_after_the_removal() {
    /// The last change of each article: its place, and whether it was an addition.
    #[derive(Debug, Default, Serialize, Deserialize)]
    struct OrderedCart {
        changes: BTreeMap<String, (String, bool)>,
    }
    async fn change(cart: &mut OrderedCart, Change { article, is_added }: Change, tx: &mut Tx) -> Handled {
        let sequence = tx.incoming().sequence.clone().unwrap_or_default();
        match cart.changes.get(&article) {
            Some((later, _)) if *later > sequence => {}
            _ => drop(cart.changes.insert(article, (sequence, is_added))),
        }
        Ok(())
    }
    async fn ours(site: &Site, delivery: Delivery) -> Result<(), String> {
        let endpoint = Endpoint::builder::<OrderedCart>("carts").on(change).build(site.memory.ports()).unwrap();
        endpoint.process(&delivery).await.map(|_| ()).map_err(|error| error.to_string())
    }

    assert!(is_in_cart_of_naive(&[2, 1]), "a ghost: the naive cart must have the lamp that was removed");

    let memory = sent(&[2, 1]);
    work_alone(&memory, &[], "carts", ours);
    let OrderedCart { changes } = stored(&memory, "state#carts");
    assert!(!changes["lamp"].1, "the removal was the last word: {changes:?}");
}
