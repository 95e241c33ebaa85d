//! The behaviour of queues over time. The time is a parameter, so no test waits.

mod across_queues;
mod attempts;
mod fifo;
mod restart;
mod standard;

use std::collections::BTreeMap;

use crate::clock::{Millis, SECOND};
use crate::sqs::message::{Attribute, Attributes, Content, Received};
use crate::sqs::queue::{Queue, ReceiveOptions};
use crate::sqs::settings::Settings;

/// A start time in a realistic range.
const START: Millis = 1_700_000_000_000;

fn settings(name: &str, attributes: &[(&str, &str)]) -> Settings {
    let mut given: BTreeMap<_, _> = attributes.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    if name.ends_with(".fifo") {
        given.insert("FifoQueue".into(), "true".into());
    }
    Settings::parse(name, given).expect("valid attributes")
}

fn queue(name: &str, attributes: &[(&str, &str)]) -> Queue {
    Queue::new(settings(name, attributes), START, true)
}

fn content(now: Millis, body: &str) -> Content {
    let attribute = Attribute { data_type: "String".into(), string_value: Some("v".into()), binary_value: None };
    Content {
        id: format!("id of {body}"),
        body: body.into(),
        attributes: Attributes::from([("k".into(), attribute)]),
        trace_header: None,
        group: None,
        deduplication_id: None,
        sent_at: now,
        dead_letter_source: None,
    }
}

/// Returns a message of a FIFO queue. Its deduplication id is its body.
fn grouped(now: Millis, group: &str, body: &str) -> Content {
    Content { group: Some(group.into()), deduplication_id: Some(body.into()), ..content(now, body) }
}

fn receive(queue: &mut Queue, now: Millis, max: usize) -> Vec<Received> {
    queue.advance(now);
    let options = ReceiveOptions { max_messages: max, visibility: 30 * SECOND, max_receives: None };
    queue.receive(now, &options).messages
}

fn bodies(messages: &[Received]) -> Vec<&str> {
    messages.iter().map(|message| message.content.body.as_str()).collect()
}

fn receipt(message: &Received) -> (u64, u64) {
    (message.number, message.delivery.receipt.expect("a received message has a receipt"))
}

fn delete(queue: &mut Queue, message: &Received) -> bool {
    let (number, receipt) = receipt(message);
    queue.delete(number, receipt).expect("not expired")
}
