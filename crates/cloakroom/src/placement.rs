//! How a commit becomes items: the outbox record **beside** the state, as an item of its own.

use serde_dynamo::{AttributeValue, Item};

use crate::{
    Commit, Condition, Conflict, ItemAction, ItemWrite, PortError, Record, RecordKey, StateRead, StateWrite, Version,
    schema::{Key, attribute},
};

/// One item of the transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Its sort key.
    pub sort_key: String,
    /// The item without its keys, or what else to do.
    pub action: ItemAction,
    /// Under which condition.
    pub condition: WriteCondition,
}

/// The condition of a [`Write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteCondition {
    /// That of a handler's own item.
    Item(Condition),
    /// The state is at this version, or absent if this is [`Version::ABSENT`].
    VersionIs(Version),
}

/// The transaction of a commit: the state, the record, then the handler's items in their order.
///
/// "No record yet" is a second belt: whoever commits moves the version, too.
pub fn beside(commit: &Commit<'_>) -> Vec<Write> {
    let Commit { key, expected, state, record, items, .. } = commit;
    let state = Write {
        sort_key: Key::State { endpoint: key.endpoint }.to_string(),
        action: ItemAction::Put(state_item(expected.next(), state)),
        condition: WriteCondition::VersionIs(*expected),
    };
    let record = Write {
        sort_key: record_sort_key(*key),
        action: ItemAction::Put(record_item(record)),
        condition: WriteCondition::Item(Condition::Absent),
    };
    let own = items.iter().cloned().map(|ItemWrite { sort_key, action, condition }| Write {
        sort_key,
        action,
        condition: WriteCondition::Item(condition),
    });
    [state, record].into_iter().chain(own).collect()
}

/// Which conflict it is that the condition of write `number` failed.
pub fn conflict(number: usize, writes: &[Write]) -> Conflict {
    match writes.get(number).filter(|_| number >= 2) {
        Some(write) => Conflict::Item(write.sort_key.clone()),
        None => Conflict::Overtaken,
    }
}

/// What [`Limits::check_transaction`](crate::Limits::check_transaction) wants to know of a transaction.
pub fn sizes(writes: &[Write]) -> impl Iterator<Item = (&str, Option<&Item>)> {
    writes.iter().map(|Write { sort_key, action, .. }| match action {
        ItemAction::Put(item) => (sort_key.as_str(), Some(item)),
        ItemAction::Delete | ItemAction::Check => (sort_key.as_str(), None),
    })
}

/// The sort key of a record.
pub fn record_sort_key(key: RecordKey<'_>) -> String {
    Key::Record { endpoint: key.endpoint, message: key.message }.to_string()
}

fn state_item(version: Version, state: &StateWrite) -> Item {
    let mut item = match state {
        StateWrite::Put(item) => item.clone(),
        StateWrite::Tombstone { expires } => Item::from(std::collections::HashMap::from([
            (attribute::DELETED.to_owned(), AttributeValue::Bool(true)),
            (attribute::EXPIRES.to_owned(), AttributeValue::N(expires.as_secs().to_string())),
        ])),
    };
    item.insert(attribute::VERSION.to_owned(), AttributeValue::N(version.number().to_string()));
    item
}

/// The item of a record, without its keys.
pub fn record_item(record: &Record) -> Item {
    let claimed = record.claims() == crate::protocol::Claims::Stored;
    Item::from(std::collections::HashMap::from([
        (attribute::RECORD.to_owned(), AttributeValue::S(record.encode())),
        (attribute::CLAIMED.to_owned(), AttributeValue::Bool(claimed)),
    ]))
}

/// Reads a state item, with or without its keys.
///
/// # Errors
/// An item without a version: something else has written under the state's key.
pub fn read_state_item(what: &str, item: Option<Item>) -> Result<StateRead, PortError> {
    let Some(mut item) = item else { return Ok(StateRead::default()) };
    let version = match item.remove(attribute::VERSION) {
        // The largest number has no successor.
        Some(AttributeValue::N(digits)) => digits.parse().ok().filter(|number| *number < u64::MAX),
        _ => None,
    };
    let version = version.map(Version::new).ok_or_else(|| {
        let cause = format!("the item has no version in `{}`: it was not written by Cloakroom", attribute::VERSION);
        PortError::new(what, cause).without_effect().permanent().public()
    })?;
    if item.contains_key(attribute::DELETED) {
        return Ok(StateRead { version, state: None });
    }
    for name in attribute::RESERVED {
        item.remove(name);
    }
    Ok(StateRead { version, state: Some(item) })
}

/// Reads a record item.
///
/// # Errors
/// An item that holds no record, or one of a format that is not known.
pub fn read_record_item(what: &str, item: &Item) -> Result<Record, PortError> {
    let permanent = |cause: String| PortError::new(what, cause).without_effect().permanent();
    match item.get(attribute::RECORD) {
        Some(AttributeValue::S(text)) => Record::decode(text).map_err(|error| permanent(error.to_string())),
        _ => Err(permanent(format!("the item has no text in `{}`", attribute::RECORD))),
    }
}
