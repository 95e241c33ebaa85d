//! The trace: every call with its time, its caller and a shortened response, and all other events
//! of the world.

use std::{
    any::Any,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use cloakroom::{
    Delivery, PortError, Timestamp,
    format::{Envelope, Outgoing, Record},
    ports::{ClaimsStored, Committed, StateRead},
    protocol::Claims,
};

use crate::wire::{Call, Operation};

/// The lines of the trace, if it is wanted.
#[derive(Debug)]
pub(crate) struct Trace(Option<Mutex<Vec<String>>>);

impl Trace {
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self(is_wanted.then(Mutex::default))
    }

    pub(crate) fn add(&self, now: Timestamp, text: impl FnOnce() -> String) {
        if let Some(lines) = &self.0 {
            let seconds = now.as_millis() as f64 / 1000.0;
            let line = format!("{seconds:>9.3} s  {}", shortened(&text()));
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    pub(crate) fn take(&self) -> Vec<String> {
        let lines =
            self.0.as_ref().map(|lines| std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner)));
        lines.unwrap_or_default()
    }
}

/// Returns a call as short as calls can still be distinguished.
pub(crate) fn call(call: &Call) -> String {
    match call.operation {
        Operation::CheckIn | Operation::ReadPayload | Operation::DeletePayload => {
            format!("{:?} {}", call.operation, short(&call.subject))
        }
        Operation::ReadState
        | Operation::HasRecords
        | Operation::ReadRecord
        | Operation::Commit
        | Operation::StoreClaims
        | Operation::Retain
        | Operation::Clear
        | Operation::ReadFailures
        | Operation::WriteFailures
        | Operation::HasEntry
        | Operation::PutEntry
        | Operation::OpenQueue
        | Operation::Send
        | Operation::Receive
        | Operation::Acknowledge
        | Operation::Extend => call.to_string(),
    }
}

/// The first digits of a claim or of an id.
pub(crate) fn short(claim: &str) -> &str {
    claim.get(..8).unwrap_or(claim)
}

/// Returns a subject of a violation as the trace writes it. Claims and ids are shortened, entities
/// are not.
pub(crate) fn subject(subject: &str) -> String {
    if subject.contains(' ') { subject.to_owned() } else { short(subject).to_owned() }
}

/// Shortens ids to as many digits as distinguish them.
fn shortened(text: &str) -> String {
    text.split(' ')
        .map(|word| if is_uuid(word) { [short(word), &word[36..]].concat() } else { word.to_owned() })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a word begins with a UUID.
fn is_uuid(word: &str) -> bool {
    word.is_ascii() && word.len() >= 36 && [8, 13, 18, 23].iter().all(|at| word.as_bytes()[*at] == b'-')
}

/// Returns a response without parts that have no order (attributes of items), and without parts
/// that are too long.
pub(crate) fn answer<T: Any>(result: &Result<T, PortError>) -> String {
    let value: &dyn Any = match result {
        Ok(value) => value,
        Err(error) => return error.to_string(),
    };
    if let Some(StateRead { version, state, embedded }) = value.downcast_ref() {
        let state = if state.is_some() { "" } else { ", no state" };
        let records: Vec<_> = embedded.records.keys().map(ToString::to_string).collect();
        let records =
            if records.is_empty() { String::new() } else { format!(", with records of {}", records.join(" and ")) };
        return format!("version {version}{state}{records}");
    }
    if let Some(found) = value.downcast_ref::<Option<Record>>() {
        return found.as_ref().map_or_else(|| "none".to_owned(), record);
    }
    if let Some(committed) = value.downcast_ref::<Committed>() {
        return format!("{committed:?}");
    }
    if let Some(stored) = value.downcast_ref::<ClaimsStored>() {
        return match stored {
            ClaimsStored::Stored => "stored".to_owned(),
            ClaimsStored::AlreadyThere(found) => format!("already there: {}", record(found)),
            ClaimsStored::Gone => "no record".to_owned(),
        };
    }
    if let Some(payload) = value.downcast_ref::<Option<Bytes>>() {
        return payload.as_ref().map_or_else(|| "missing".to_owned(), |payload| format!("{} bytes", payload.len()));
    }
    if let Some(deliveries) = value.downcast_ref::<Vec<Delivery>>() {
        return deliveries.iter().map(delivery).collect::<Vec<_>>().join(", ");
    }
    if let Some(results) = value.downcast_ref::<Vec<Result<(), PortError>>>() {
        let failed = results.iter().filter(|result| result.is_err()).count();
        return if failed == 0 { "ok".to_owned() } else { format!("{failed} of {} failed", results.len()) };
    }
    value.downcast_ref::<bool>().map_or_else(|| "ok".to_owned(), bool::to_string)
}

fn record(record: &Record) -> String {
    let claims = match record.claims() {
        Claims::Stored => "",
        Claims::Missing => ", claims missing",
    };
    format!("record of {} messages{claims}", record.messages.len())
}

fn delivery(delivery: &Delivery) -> String {
    let id =
        Envelope::decode(&delivery.body).map_or_else(|_| "?".to_owned(), |envelope| envelope.identity().to_string());
    format!("{id} ({})", delivery.receive_count)
}

/// The messages of a record with their claims.
pub(crate) fn outgoing(messages: &[Outgoing]) -> String {
    let mut text = String::new();
    for Outgoing { queue, envelope, .. } in messages {
        let claim = envelope.dataref.as_ref().map_or("-", |claim| short(claim.as_str()));
        // Writing to a string cannot fail.
        let _ = write!(text, " {} to {queue} ({claim})", envelope.id);
    }
    text
}
