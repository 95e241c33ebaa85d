//! What queues do as time passes. The time is a parameter, so nothing here waits.

mod across_queues;
mod attempts;
mod fifo;
mod restart;
mod standard;

use std::collections::BTreeMap;

use super::message::{Attribute, Attributes, Content};
use super::queue::{Ask, Queue, Received};
use super::settings::Settings;
use crate::clock::{Millis, SECOND};

/// Some time, in the range of real ones.
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

/// A message of a FIFO queue whose deduplication id is its body.
fn grouped(now: Millis, group: &str, body: &str) -> Content {
    Content { group: Some(group.into()), deduplication_id: Some(body.into()), ..content(now, body) }
}

fn receive(queue: &mut Queue, now: Millis, most: usize) -> Vec<Received> {
    queue.advance(now);
    let ask = Ask { most, visibility: 30 * SECOND, dead_after: None };
    queue.receive(now, &ask).messages
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
