//! FIFO deduplication: for five minutes, a message that is sent again is recognised as a
//! repetition.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::clock::{Millis, SECOND};
use crate::sqs::message::Number;

/// How long a deduplication id is kept, whether or not its message still exists.
const WINDOW: Millis = 300 * SECOND;

/// The message that was accepted first for a deduplication id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Original {
    pub(super) message_id: String,
    pub(super) number: Number,
    pub(super) sent_at: Millis,
}

/// The messages that were accepted in the last five minutes, by deduplication key.
#[derive(Debug, Default)]
pub(super) struct Deduplication {
    originals: HashMap<String, Original>,
    by_age: VecDeque<(Millis, String)>,
}

/// Returns a deduplication key. Ids are unique in the queue or, in high-throughput mode, in their
/// message group.
pub(super) fn key(scope: Option<&str>, deduplication_id: &str) -> String {
    match scope {
        // Group names and ids cannot contain this character.
        Some(group) => format!("{group}\u{1f}{deduplication_id}"),
        None => deduplication_id.to_owned(),
    }
}

impl Deduplication {
    /// Returns the original message of this key. `None` if a message with this key is not a
    /// repetition.
    pub(super) fn original(&self, now: Millis, key: &str) -> Option<&Original> {
        self.originals.get(key).filter(|original| now < original.sent_at + WINDOW)
    }

    /// Records an accepted message.
    pub(super) fn accept(&mut self, now: Millis, key: String, message_id: String, number: Number) {
        let original = Original { message_id, number, sent_at: now };
        self.restore(key, original);
    }

    /// Restores a record from before a restart.
    pub(super) fn restore(&mut self, key: String, original: Original) {
        self.by_age.push_back((original.sent_at, key.clone()));
        self.originals.insert(key, original);
    }

    pub(super) fn get(&self, key: &str) -> Option<&Original> {
        self.originals.get(key)
    }

    /// Deletes the records that are older than five minutes, and returns their keys.
    pub(super) fn expire(&mut self, now: Millis) -> Vec<String> {
        let mut expired = Vec::new();
        while let Some((sent_at, _)) = self.by_age.front()
            && sent_at + WINDOW <= now
        {
            let Some((sent_at, key)) = self.by_age.pop_front() else {
                break;
            };
            // The same key may have been accepted again since.
            if self.originals.get(&key).is_some_and(|original| original.sent_at == sent_at) {
                self.originals.remove(&key);
                expired.push(key);
            }
        }
        expired
    }

    /// Deletes all records, and returns their keys.
    pub(super) fn clear(&mut self) -> Vec<String> {
        self.by_age.clear();
        self.originals.drain().map(|(key, _)| key).collect()
    }
}
