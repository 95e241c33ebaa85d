//! `ClientRequestToken`: for ten minutes, a completed transaction is not performed again.
//!
//! The engine has this feature, too. But for each transaction it examines every token of the last
//! ten minutes. At thousands of transactions per second this is too slow.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use dynoxide::actions::transact_write_items::{TransactWriteItem, TransactWriteItemsRequest};
use dynoxide::types::{ConsumedCapacity, build_transactional_capacity, item_size, transactional_read_capacity};
use serde_json::Value;

use crate::clock::{Millis, SECOND};

const WINDOW: Millis = 600 * SECOND;

/// The tokens of the completed transactions of the last ten minutes.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    done: HashMap<String, Fingerprint>,
    by_age: VecDeque<(Millis, String)>,
}

/// The fingerprint of the request of a token. Equal requests have equal fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Tokens {
    /// Returns the fingerprint of the request that used this token in the last ten minutes.
    pub(super) fn used(&mut self, now: Millis, token: &str) -> Option<Fingerprint> {
        while let Some((done_at, _)) = self.by_age.front()
            && done_at + WINDOW <= now
        {
            if let Some((_, token)) = self.by_age.pop_front() {
                self.done.remove(&token);
            }
        }
        self.done.get(token).copied()
    }

    /// Records a completed transaction.
    pub(super) fn remember(&mut self, now: Millis, token: String, fingerprint: Fingerprint) {
        self.by_age.push_back((now, token.clone()));
        self.done.insert(token, fingerprint);
    }
}

impl Fingerprint {
    /// Returns the fingerprint of the items of a transaction. It does not depend on the order of
    /// the entries of maps.
    pub(super) fn of(items: &[TransactWriteItem]) -> Self {
        let mut hasher = DefaultHasher::new();
        for item in items {
            let value = serde_json::to_value(item).unwrap_or_default();
            digest(&value, &mut hasher);
        }
        Self(hasher.finish())
    }
}

fn digest(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => 0_u8.hash(hasher),
        Value::Bool(flag) => (1_u8, flag).hash(hasher),
        Value::Number(number) => (2_u8, number.to_string()).hash(hasher),
        Value::String(text) => (3_u8, text).hash(hasher),
        Value::Array(values) => {
            (4_u8, values.len()).hash(hasher);
            values.iter().for_each(|value| digest(value, hasher));
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            (5_u8, fields.len()).hash(hasher);
            for (name, value) in fields {
                name.hash(hasher);
                digest(value, hasher);
            }
        }
    }
}

/// Returns the capacity of a repeated transaction. It reads each item, at two units per 4 KB as in
/// all transactions. An item whose size the request does not contain is assumed to have at most 4
/// KB.
pub(super) fn capacity_of_repetition(request: &TransactWriteItemsRequest) -> Option<Vec<ConsumedCapacity>> {
    let mut units: HashMap<String, f64> = HashMap::new();
    for item in &request.transact_items {
        let (table, size) = if let Some(put) = &item.put {
            (&put.table_name, item_size(&put.item))
        } else if let Some(update) = &item.update {
            (&update.table_name, 1)
        } else if let Some(delete) = &item.delete {
            (&delete.table_name, 1)
        } else if let Some(check) = &item.condition_check {
            (&check.table_name, 1)
        } else {
            continue;
        };
        *units.entry(table.clone()).or_default() += 2.0 * size.div_ceil(4_096) as f64;
    }
    build_transactional_capacity(&units, &request.return_consumed_capacity, transactional_read_capacity)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fingerprint(items: Value) -> Fingerprint {
        let items: Vec<TransactWriteItem> = serde_json::from_value(items).expect("items");
        Fingerprint::of(&items)
    }

    fn put(first: &str, second: &str) -> Fingerprint {
        fingerprint(json!([{ "Put": { "TableName": "orders", "Item": {
            first: { "S": first }, second: { "S": second }, "z": { "N": "1" },
        } } }]))
    }

    #[test]
    fn fingerprint_depends_on_values_but_not_on_the_order_of_attributes() {
        assert_eq!(put("a", "b"), put("b", "a"));
        assert_ne!(put("a", "b"), put("a", "c"));
    }

    #[test]
    fn transaction_tokens_are_kept_for_ten_minutes() {
        let mut tokens = Tokens::default();
        let print = put("a", "b");
        tokens.remember(1, "token".into(), print);
        assert_eq!(tokens.used(WINDOW, "token"), Some(print));
        assert_eq!(tokens.used(WINDOW, "other"), None);
        assert_eq!(tokens.used(WINDOW + 1, "token"), None);
        assert!(tokens.done.is_empty() && tokens.by_age.is_empty());
    }
}
