//! Consumers as they are written first. Each is right but for what nobody thinks of before it has happened.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::{Delivery, Message, MessageId, PortError, format::Envelope, ports::Random as _};
use cloakroom_sim::wire::Operation;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    site::{Site, put},
    stock::{Answer, Reserve, Stock, item, lamps},
};

/// The state of a naive consumer: what is reserved and, for those that keep it, what they remember.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct NaiveStock {
    pub(crate) reserved: BTreeMap<String, u32>,
    pub(crate) processed: BTreeSet<String>,
    /// Answers that are still to be sent, by the message they answer.
    pub(crate) outbox: BTreeMap<String, Answer>,
}

impl NaiveStock {
    fn reserve(&mut self, reserve: Reserve) -> Answer {
        let mut stock = Stock { reserved: std::mem::take(&mut self.reserved) };
        let answer = stock.reserve(reserve);
        self.reserved = stock.reserved;
        answer
    }
}

async fn read(site: &Site) -> Result<NaiveStock, PortError> {
    site.call(Operation::ReadState, |memory| item(memory, "stock")).await
}

async fn write(site: &Site, stock: NaiveStock) -> Result<(), PortError> {
    let put = move |memory: &cloakroom::memory::Memory| {
        memory.store.put_item(&lamps(), "stock", serde_dynamo::to_item(&stock).unwrap());
    };
    site.call(Operation::Commit, put).await
}

async fn send(site: &Site, id: MessageId, answer: Answer) -> Result<(), PortError> {
    let mut envelope = Envelope::new(id, "stock", Answer::TYPE, answer.partition());
    envelope.data = Some(json!(answer));
    site.call(Operation::Send, move |memory| put(memory, "orders", envelope.encode())).await
}

fn random_id(site: &Site) -> MessageId {
    format!("{:032x}", site.memory.random.bits()).into()
}

fn open(delivery: &Delivery) -> (String, Reserve) {
    let envelope = Envelope::decode(&delivery.body).unwrap();
    (envelope.id.to_string(), serde_json::from_value(envelope.data.unwrap_or_default()).unwrap())
}

fn told(error: PortError) -> String {
    error.to_string()
}

/// Reads, changes, writes, sends.
pub(crate) async fn plain(site: &Site, delivery: Delivery) -> Result<(), String> {
    let (_, reserve) = open(&delivery);
    let mut stock = read(site).await.map_err(told)?;
    let answer = stock.reserve(reserve);
    write(site, stock).await.map_err(told)?;
    send(site, random_id(site), answer).await.map_err(told)
}

/// Sends before it writes, so that no answer is ever lost; and remembers what it has processed.
pub(crate) async fn sending_first(site: &Site, delivery: Delivery) -> Result<(), String> {
    let (id, reserve) = open(&delivery);
    let mut stock = read(site).await.map_err(told)?;
    if !stock.processed.insert(id) {
        return Ok(());
    }
    let answer = stock.reserve(reserve);
    send(site, random_id(site), answer).await.map_err(told)?;
    write(site, stock).await.map_err(told)
}

/// As [`sending_first`], and its answers have ids that follow from the message's, so that a receiver knows them again.
pub(crate) async fn deterministic(site: &Site, delivery: Delivery) -> Result<(), String> {
    let (id, reserve) = open(&delivery);
    let mut stock = read(site).await.map_err(told)?;
    if !stock.processed.insert(id.clone()) {
        return Ok(());
    }
    let answer = stock.reserve(reserve);
    send(site, format!("answer-to-{id}").into(), answer).await.map_err(told)?;
    write(site, stock).await.map_err(told)
}

/// Writes what it has processed together with the state, and then sends.
pub(crate) async fn remembering(site: &Site, delivery: Delivery) -> Result<(), String> {
    let (id, reserve) = open(&delivery);
    let mut stock = read(site).await.map_err(told)?;
    if !stock.processed.insert(id) {
        return Ok(());
    }
    let answer = stock.reserve(reserve);
    write(site, stock).await.map_err(told)?;
    send(site, random_id(site), answer).await.map_err(told)
}

/// Writes what is to be sent together with the state, too: an outbox, and nearly right.
pub(crate) async fn with_an_outbox(site: &Site, delivery: Delivery) -> Result<(), String> {
    let (id, reserve) = open(&delivery);
    let mut stock = read(site).await.map_err(told)?;
    if stock.processed.insert(id.clone()) {
        let answer = stock.reserve(reserve);
        stock.outbox.insert(id.clone(), answer);
        write(site, stock).await.map_err(told)?;
    }
    let mut stock = read(site).await.map_err(told)?;
    if let Some(answer) = stock.outbox.remove(&id) {
        send(site, format!("answer-to-{id}").into(), answer).await.map_err(told)?;
        write(site, stock).await.map_err(told)?;
    }
    Ok(())
}
