//! A shopping cart whose messages arrive in another order than they were sent.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::{
    Delivery, Endpoint, Handled, Message, Partition, Tx, format::Envelope, memory::Memory, protocol::Version,
};
use cloakroom_sim::wire::Operation;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::process::{Process, put, work_alone};

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

/// Sends changes of a cart. Change 1 adds a lamp, and change 2 removes it. `arrivals` has the
/// changes in the order in which they arrive.
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

/// A naive consumer of idempotent changes.
async fn idempotent(process: &Process, delivery: Delivery) -> Result<(), String> {
    let data = Envelope::decode(&delivery.body).unwrap().data.unwrap_or_default();
    let change = serde_json::from_value(data).unwrap();
    let mut cart_read: Cart =
        process.call(Operation::ReadState, |memory| stored(memory, "cart")).await.map_err(|error| error.to_string())?;
    cart_read.change(change);
    let write =
        move |memory: &Memory| memory.store.put_item(&cart(), "cart", serde_dynamo::to_item(&cart_read).unwrap());
    process.call(Operation::Commit, write).await.map_err(|error| error.to_string())
}

fn is_in_cart_of_naive(arrivals: &[u64]) -> bool {
    let memory = sent(arrivals);
    work_alone(&memory, &[], "carts", idempotent);
    stored::<Cart>(&memory, "cart").articles.contains("lamp")
}

/// The duplicate of the addition arrives after the removal.
#[test]
fn late_duplicate_of_an_addition_does_not_undo_the_removal() {
    async fn change(cart: &mut Cart, change: Change, _: &mut Tx) -> Handled {
        cart.change(change);
        Ok(())
    }
    async fn with_cloakroom(process: &Process, delivery: Delivery) -> Result<(), String> {
        let endpoint = Endpoint::builder::<Cart>("carts").on(change).build(process.memory.ports()).unwrap();
        endpoint.process(&delivery).await.map(|_| ()).map_err(|error| error.to_string())
    }

    assert!(is_in_cart_of_naive(&[1, 2, 1]), "the naive cart must contain the lamp that was removed");

    let memory = sent(&[1, 2, 1]);
    work_alone(&memory, &[], "carts", with_cloakroom);
    assert!(
        !stored::<Cart>(&memory, "state#carts").articles.contains("lamp"),
        "a duplicate is recognised, however late"
    );
}

/// Standard queues do not promise any order, and neither does Cloakroom. Cloakroom gives every
/// handler the position of the message in the sender's order.
#[test]
fn sequence_lets_the_handler_ignore_a_late_addition() {
    /// The last change of each article: its sequence, and whether it was an addition.
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
    async fn with_cloakroom(process: &Process, delivery: Delivery) -> Result<(), String> {
        let endpoint = Endpoint::builder::<OrderedCart>("carts").on(change).build(process.memory.ports()).unwrap();
        endpoint.process(&delivery).await.map(|_| ()).map_err(|error| error.to_string())
    }

    assert!(is_in_cart_of_naive(&[2, 1]), "the naive cart must contain the lamp that was removed");

    let memory = sent(&[2, 1]);
    work_alone(&memory, &[], "carts", with_cloakroom);
    let OrderedCart { changes } = stored(&memory, "state#carts");
    assert!(!changes["lamp"].1, "the removal was the last change: {changes:?}");
}
