//! Consumers as they are usually written first. Each is correct except for one fault.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::{Delivery, Message, MessageId, PortError, format::Envelope, ports::Random as _};
use cloakroom_sim::wire::Operation;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    process::{Process, put},
    stock::{Answer, Reserve, Stock, item, lamps},
};

/// The state of a naive consumer: the reserved stock and, for some consumers, the processed
/// messages and an outbox.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct NaiveStock {
    pub(crate) reserved: BTreeMap<String, u32>,
    pub(crate) processed: BTreeSet<String>,
    /// Answers that are not sent yet, by the id of the message that they answer.
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

async fn read(process: &Process) -> Result<NaiveStock, PortError> {
    process.call(Operation::ReadState, |memory| item(memory, "stock")).await
}

async fn write(process: &Process, stock: NaiveStock) -> Result<(), PortError> {
    let put = move |memory: &cloakroom::memory::Memory| {
        memory.store.put_item(&lamps(), "stock", serde_dynamo::to_item(&stock).unwrap());
    };
    process.call(Operation::Commit, put).await
}

async fn send(process: &Process, id: MessageId, answer: Answer) -> Result<(), PortError> {
    let mut envelope = Envelope::new(id, "stock", Answer::TYPE, answer.partition());
    envelope.data = Some(json!(answer));
    process.call(Operation::Send, move |memory| put(memory, "orders", envelope.encode())).await
}

fn random_id(process: &Process) -> MessageId {
    format!("{:032x}", process.memory.random.bits()).into()
}

fn open(delivery: &Delivery) -> (String, Reserve) {
    let envelope = Envelope::decode(&delivery.body).unwrap();
    (envelope.id.to_string(), serde_json::from_value(envelope.data.unwrap_or_default()).unwrap())
}

fn error_text(error: PortError) -> String {
    error.to_string()
}

/// Reads, changes, writes and sends.
pub(crate) async fn plain(process: &Process, delivery: Delivery) -> Result<(), String> {
    let (_, reserve) = open(&delivery);
    let mut stock = read(process).await.map_err(error_text)?;
    let answer = stock.reserve(reserve);
    write(process, stock).await.map_err(error_text)?;
    send(process, random_id(process), answer).await.map_err(error_text)
}

/// Sends before it writes, so that no answer is ever lost. It remembers the messages that it has
/// processed.
pub(crate) async fn sending_first(process: &Process, delivery: Delivery) -> Result<(), String> {
    let (id, reserve) = open(&delivery);
    let mut stock = read(process).await.map_err(error_text)?;
    if !stock.processed.insert(id) {
        return Ok(());
    }
    let answer = stock.reserve(reserve);
    send(process, random_id(process), answer).await.map_err(error_text)?;
    write(process, stock).await.map_err(error_text)
}

/// Like [`sending_first`], but the id of an answer follows from the id of the message, so that a
/// receiver recognises it.
pub(crate) async fn deterministic(process: &Process, delivery: Delivery) -> Result<(), String> {
    let (id, reserve) = open(&delivery);
    let mut stock = read(process).await.map_err(error_text)?;
    if !stock.processed.insert(id.clone()) {
        return Ok(());
    }
    let answer = stock.reserve(reserve);
    send(process, format!("answer-to-{id}").into(), answer).await.map_err(error_text)?;
    write(process, stock).await.map_err(error_text)
}

/// Writes the processed messages together with the state, and then sends.
pub(crate) async fn remembering(process: &Process, delivery: Delivery) -> Result<(), String> {
    let (id, reserve) = open(&delivery);
    let mut stock = read(process).await.map_err(error_text)?;
    if !stock.processed.insert(id) {
        return Ok(());
    }
    let answer = stock.reserve(reserve);
    write(process, stock).await.map_err(error_text)?;
    send(process, random_id(process), answer).await.map_err(error_text)
}

/// Writes the answer together with the state, too: an outbox. This is nearly correct.
pub(crate) async fn with_an_outbox(process: &Process, delivery: Delivery) -> Result<(), String> {
    let (id, reserve) = open(&delivery);
    let mut stock = read(process).await.map_err(error_text)?;
    if stock.processed.insert(id.clone()) {
        let answer = stock.reserve(reserve);
        stock.outbox.insert(id.clone(), answer);
        write(process, stock).await.map_err(error_text)?;
    }
    let mut stock = read(process).await.map_err(error_text)?;
    if let Some(answer) = stock.outbox.remove(&id) {
        send(process, format!("answer-to-{id}").into(), answer).await.map_err(error_text)?;
        write(process, stock).await.map_err(error_text)?;
    }
    Ok(())
}
