//! The records of queues in the journal.
//!
//! Each message has two records: its content, written once, and the state of its delivery, written
//! on each change.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::journal::{Batch, Entries};
use crate::sqs::deduplication::Original;
use crate::sqs::message::{Content, Delivery, Number};
use crate::sqs::queue::{Change, Queue};
use crate::sqs::queues::Queues;
use crate::sqs::settings::Settings;

const QUEUE: &str = "queue";
const CONTENT: &str = "content";
const DELIVERY: &str = "delivery";
const DEDUPLICATION: &str = "deduplication";
const TASK: &str = "move task";

/// The record of a queue, without its messages.
#[derive(Serialize, Deserialize)]
struct QueueRecord {
    attributes: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    created_at: Millis,
    modified_at: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purged_at: Option<Millis>,
}

/// Returns the key of a record. The slash is a safe separator, because queue names cannot contain
/// it.
fn key(queue: &str, rest: &str) -> String {
    format!("{queue}/{rest}")
}

fn message_key(queue: &str, number: Number) -> String {
    key(queue, &number.to_string())
}

fn encode(record: &impl Serialize) -> Vec<u8> {
    // Structures with string keys can always be serialized as JSON.
    serde_json::to_vec(record).unwrap_or_default()
}

/// Returns the changes since the last call, as one batch.
pub(super) fn changes(queues: &mut Queues) -> Batch {
    let mut batch = Batch::default();
    for name in std::mem::take(&mut queues.reconfigured) {
        record_queue(&mut batch, &name, queues.by_name.get(&name));
    }
    for task in &mut queues.tasks {
        if std::mem::take(&mut task.changed) {
            batch.put(TASK, task.handle.clone(), encode(task));
        }
    }
    for (name, mut queue) in std::mem::take(&mut queues.deleted) {
        for change in queue.take_changes() {
            record_change(&mut batch, &name, &queue, &change);
        }
    }
    for (name, queue) in &mut queues.by_name {
        for change in queue.take_changes() {
            record_change(&mut batch, name, queue, &change);
        }
    }
    batch
}

fn record_queue(batch: &mut Batch, name: &str, queue: Option<&Queue>) {
    let Some(queue) = queue else {
        batch.delete(QUEUE, name);
        return;
    };
    let record = QueueRecord {
        attributes: queue.settings.given.clone(),
        tags: queue.tags.clone(),
        created_at: queue.created_at,
        modified_at: queue.modified_at,
        purged_at: queue.purged_at,
    };
    batch.put(QUEUE, name, encode(&record));
}

fn record_change(batch: &mut Batch, name: &str, queue: &Queue, change: &Change) {
    match change {
        Change::Added(number) => {
            // The same request may have removed the message again, which is a change of its own.
            if let Some(message) = queue.messages.get(number) {
                let key = message_key(name, *number);
                batch.put(CONTENT, key.clone(), encode(&*message.content));
                batch.put(DELIVERY, key, encode(&message.delivery));
            }
        }
        Change::Updated(number) => {
            if let Some(message) = queue.messages.get(number) {
                let key = message_key(name, *number);
                batch.put(DELIVERY, key, encode(&message.delivery));
            }
        }
        Change::Removed(number) => {
            let key = message_key(name, *number);
            batch.delete(CONTENT, key.clone());
            batch.delete(DELIVERY, key);
        }
        Change::DeduplicationAdded(id) => {
            if let Some(original) = queue.deduplication.get(id) {
                batch.put(DEDUPLICATION, key(name, id), encode(original));
            }
        }
        Change::DeduplicationRemoved(id) => batch.delete(DEDUPLICATION, key(name, id)),
    }
}

/// Restores the queues from the journal.
pub(super) fn load(entries: &Entries, durable: bool) -> Result<Queues, String> {
    let mut queues = Queues { durable, ..Queues::default() };
    for (name, record) in records::<QueueRecord>(entries, QUEUE)? {
        let settings = Settings::restore(&name, record.attributes).map_err(|e| e.message)?;
        let mut queue = Queue::new(settings, record.created_at, durable);
        queue.tags = record.tags;
        queue.modified_at = record.modified_at;
        queue.purged_at = record.purged_at;
        queues.by_name.insert(name, queue);
    }
    let mut deliveries = records::<Delivery>(entries, DELIVERY)?;
    let mut messages = Vec::new();
    for (key, content) in records::<Content>(entries, CONTENT)? {
        let (queue, number) = split(&key)?;
        let number: Number = number.parse().map_err(|_| corrupt(CONTENT, &key))?;
        let delivery = deliveries.remove(&key).unwrap_or_default();
        messages.push((number, queue.to_owned(), content, delivery));
    }
    // Messages were sent in the order of their numbers.
    messages.sort_unstable_by_key(|(number, ..)| *number);
    for (number, queue, content, delivery) in messages {
        let queue = queues.by_name.get_mut(&queue);
        let queue = queue.ok_or_else(|| corrupt(CONTENT, &number.to_string()))?;
        queue.restore(number, Arc::new(content), delivery);
    }
    restore_deduplication(entries, &mut queues)?;
    let tasks = records(entries, TASK)?.into_values();
    queues.tasks = tasks.collect();
    queues.tasks.sort_by_key(|task| task.started_at);
    Ok(queues)
}

fn restore_deduplication(entries: &Entries, queues: &mut Queues) -> Result<(), String> {
    let mut originals = Vec::new();
    for (key, original) in records::<Original>(entries, DEDUPLICATION)? {
        let (queue, id) = split(&key)?;
        originals.push((queue.to_owned(), id.to_owned(), original));
    }
    originals.sort_by_key(|(_, _, original)| original.sent_at);
    for (queue, id, original) in originals {
        if let Some(queue) = queues.by_name.get_mut(&queue) {
            queue.deduplication.restore(id, original);
        }
    }
    Ok(())
}

fn records<T: DeserializeOwned>(entries: &Entries, space: &str) -> Result<BTreeMap<String, T>, String> {
    let records = entries.get(space).into_iter().flatten();
    records
        .map(|(key, value)| {
            let record = serde_json::from_slice(value);
            let record = record.map_err(|error| format!("{}: {error}", corrupt(space, key)))?;
            Ok((key.clone(), record))
        })
        .collect()
}

fn split(key: &str) -> Result<(&str, &str), String> {
    key.split_once('/').ok_or_else(|| corrupt("message", key))
}

fn corrupt(space: &str, key: &str) -> String {
    format!("the {space} record {key:?} is invalid")
}
