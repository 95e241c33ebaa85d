//! The items of a commit. Its outbox records are **embedded** in the state's item, or they are
//! **separate** items.

mod owner;

use std::collections::{BTreeMap, HashMap};

use serde_dynamo::{AttributeValue, Item};

use crate::{
    error::PortError,
    format::{
        item_size::item_bytes,
        name::{MessageId, Partition, shortened},
        packed,
        recent::Recent,
        record::Record,
        schema::{Key, attribute},
        timestamp::Timestamp,
        values,
    },
    ports::{
        commit::{
            Commit, Committed, Condition, Conflict, Embedded, Failures, ItemAction, ItemWrite, Placement, RecordKey,
            StateRead, StateWrite,
        },
        limits::Limits,
    },
    protocol::version::Version,
};

pub use owner::Owner;

/// One item that a commit writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The sort key of the item.
    pub sort_key: String,
    /// The change of the item. A put has the item without its keys.
    pub action: ItemAction,
    /// The condition on the item.
    pub condition: WriteCondition,
}

/// The condition of a [`Write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteCondition {
    /// The condition on an outbox record.
    Record(Condition),
    /// The condition on a handler's own item. In addition, this owner must be allowed to write the
    /// item.
    Item(Condition, Owner),
    /// The state has this version. With [`Version::ABSENT`], the state does not exist.
    VersionIs(Version),
}

impl WriteCondition {
    /// Returns whether an item meets the condition. `None` stands for an item that does not exist.
    ///
    /// # Errors
    /// If a state has no version. Then something other than Cloakroom has written the item under
    /// the state's key.
    pub(crate) fn holds(&self, item: Option<&Item>) -> Result<bool, PortError> {
        let exists = |condition: &Condition| match condition {
            Condition::Any => true,
            Condition::Exists => item.is_some(),
            Condition::Absent => item.is_none(),
        };
        Ok(match self {
            Self::Record(condition) => exists(condition),
            Self::Item(condition, owner) => exists(condition) && item.is_none_or(|item| owner.may_write(item)),
            Self::VersionIs(expected) => version("commit", item)? == *expected,
        })
    }
}

/// Returns the placement of a commit's records, and the commit's writes: the state, its separate
/// records, and the handlers' own items in their order. A single write is a conditional put, and
/// several writes are a transaction.
///
/// The condition that a record does not exist is a second protection, because every commit also
/// changes the version.
pub fn writes(commit: &Commit<'_>) -> (Placement, Vec<Write>) {
    let own = commit.items.iter().cloned().map(|item| own_item(commit.endpoint, item));
    let sort_key = Key::State { endpoint: commit.endpoint }.text();
    let embedded = embedded(commit, &sort_key);
    let placement = if embedded.is_some() { Placement::Embedded } else { Placement::Separate };
    let mut item = embedded.unwrap_or_else(|| {
        let kept = Embedded { is_complete: false, ..commit.kept.clone() };
        state_item(commit, &sort_key, kept)
    });
    let records = commit.records.iter().map(|(_, record)| *record);
    commit.kept.recent.clone().write(records, &mut item, key_bytes(commit, &sort_key));
    let action = ItemAction::Put(item);
    let state = Write { sort_key, action, condition: WriteCondition::VersionIs(commit.expected) };
    let separate = commit.records.iter().filter(|_| placement == Placement::Separate);
    let records = separate.map(|(message, record)| Write {
        sort_key: Key::Record { endpoint: commit.endpoint, message }.text(),
        action: ItemAction::Put(record_item(record)),
        condition: WriteCondition::Record(Condition::Absent),
    });
    (placement, std::iter::once(state).chain(records).chain(own).collect())
}

/// Returns the state's item with the embedded records. `None` if the records make it too large.
fn embedded(commit: &Commit<'_>, sort_key: &str) -> Option<Item> {
    if commit.embedded_bytes_max == 0 {
        return None;
    }
    let mut embedded = commit.kept.clone();
    embedded.records.extend(commit.records.iter().map(|(message, record)| ((*message).clone(), record.encode())));
    let item = state_item(commit, sort_key, embedded);
    (key_bytes(commit, sort_key) + item_bytes(&item) <= commit.embedded_bytes_max).then_some(item)
}

/// Returns whether the state's item is larger than `item_bytes_max` only because it keeps embedded
/// records of other messages.
pub(crate) fn is_crowded(commit: &Commit<'_>, item_bytes_max: usize) -> bool {
    let sort_key = Key::State { endpoint: commit.endpoint }.text();
    let bytes = |kept| key_bytes(commit, &sort_key) + item_bytes(&state_item(commit, &sort_key, kept));
    let alone = Embedded { is_complete: false, ..Embedded::default() };
    bytes(commit.kept.clone()) > item_bytes_max && bytes(alone) <= item_bytes_max
}

/// Returns the write of a handler's own item, which contains its owner.
fn own_item(endpoint: &str, ItemWrite { sort_key, action, condition, sharing }: ItemWrite) -> Write {
    let owner = Owner { endpoint: endpoint.to_owned(), sharing };
    let action = match action {
        ItemAction::Put(mut item) => {
            item.insert(attribute::OWNER.to_owned(), AttributeValue::S(owner.mark().to_owned()));
            ItemAction::Put(item)
        }
        ItemAction::Delete | ItemAction::Check => action,
    };
    Write { sort_key, action, condition: WriteCondition::Item(condition, owner) }
}

/// Returns the result of a commit whose write `number` did not meet its condition. `found` is the
/// item that the store reports for this write, if it reports one.
///
/// SUBTLE: an item of another endpoint is a refusal, not a conflict. The item stays there, so every
/// retry would fail in the same way. The condition on the state is checked first. So a message that
/// has already committed is not refused (`refusal_of_the_item_of_another_endpoint_names_both`).
pub fn lost(partition: &Partition, number: usize, writes: &[Write], found: Option<&Item>) -> Committed {
    let Some(Write { sort_key, condition: WriteCondition::Item(_, owner), .. }) = writes.get(number) else {
        return Committed::Conflict(Conflict::Overtaken);
    };
    match found.filter(|item| !owner.may_write(item)) {
        None => Committed::Conflict(Conflict::Item(sort_key.clone())),
        Some(item) => Committed::Refused(format!("{} {}", name(partition, sort_key), owner.refusal(item))),
    }
}

/// Checks the keys, sizes and values of a commit's writes before they are sent. Returns the
/// refusal, or `None` if the commit can be sent.
pub fn refusal(limits: &Limits, partition: &Partition, writes: &[Write]) -> Option<Committed> {
    if let Err(error) = limits.check_transaction(partition.as_str(), sizes(writes)) {
        return Some(Committed::TooLarge(error));
    }
    let without_key = writes.iter().any(|write| write.sort_key.is_empty()) || partition.as_str().is_empty();
    if without_key {
        let text = format!("an item of partition `{partition}` has an empty key, which DynamoDB refuses: set the key");
        return Some(Committed::Refused(text));
    }
    writes.iter().find_map(|Write { sort_key, action, .. }| {
        let ItemAction::Put(item) = action else { return None };
        let fault = values::check(item).err()?;
        Some(Committed::Refused(format!("{} has {fault}", name(partition, sort_key))))
    })
}

fn name(partition: &Partition, sort_key: &str) -> String {
    format!("item `{}` of partition `{}`", shortened(sort_key), shortened(partition.as_str()))
}

/// Returns the sort key and the item of each write, for [`Limits::check_transaction`].
fn sizes(writes: &[Write]) -> impl Iterator<Item = (&str, Option<&Item>)> {
    writes.iter().map(|Write { sort_key, action, .. }| match action {
        ItemAction::Put(item) => (sort_key.as_str(), Some(item)),
        ItemAction::Delete | ItemAction::Check => (sort_key.as_str(), None),
    })
}

/// Returns the sort key of a separate record.
pub fn record_sort_key(key: RecordKey<'_>) -> String {
    Key::Record { endpoint: key.endpoint, message: key.message }.text()
}

fn state_item(commit: &Commit<'_>, sort_key: &str, embedded: Embedded) -> Item {
    let mut item = match commit.state {
        StateWrite::Put(item) => item.clone(),
        StateWrite::Tombstone { expires } => Item::from(HashMap::from([
            (attribute::DELETED.to_owned(), AttributeValue::Bool(true)),
            (attribute::EXPIRES.to_owned(), seconds(*expires)),
        ])),
    };
    let version = commit.expected.after(commit.records.len());
    item.insert(attribute::VERSION.to_owned(), AttributeValue::N(version.number().to_string()));
    if embedded.is_complete {
        item.insert(attribute::COMPLETE.to_owned(), AttributeValue::Bool(true));
    }
    if !embedded.records.is_empty() {
        let records = packed::records(embedded.records, key_bytes(commit, sort_key) + item_bytes(&item));
        item.insert(attribute::RECORDS.to_owned(), records);
    }
    item
}

/// Returns the size of the keys of the state's item.
fn key_bytes(commit: &Commit<'_>, sort_key: &str) -> usize {
    attribute::PARTITION.len() + commit.partition.as_str().len() + attribute::SORT.len() + sort_key.len()
}

fn seconds(timestamp: Timestamp) -> AttributeValue {
    AttributeValue::N(timestamp.as_secs().to_string())
}

/// Returns the item of a separate record, without its keys.
pub fn record_item(record: &Record) -> Item {
    let claimed = record.claims() == crate::protocol::step::Claims::Stored;
    Item::from(HashMap::from([
        (attribute::RECORD.to_owned(), AttributeValue::S(record.encode())),
        (attribute::CLAIMED.to_owned(), AttributeValue::Bool(claimed)),
    ]))
}

/// Returns the item of a record that is retained as the proof that its message was processed,
/// without its keys.
pub fn retained_item(record: &Record, expires: Timestamp) -> Item {
    let mut item = record_item(record);
    item.insert(attribute::EXPIRES.to_owned(), seconds(expires));
    item
}

/// Returns the sort key of a failure count.
pub fn failures_sort_key(key: RecordKey<'_>) -> String {
    Key::Failures { endpoint: key.endpoint, message: key.message }.text()
}

/// Returns the item of a failure count, without its keys.
pub fn failures_item(failures: Failures) -> Item {
    Item::from(HashMap::from([
        (attribute::FAILURES.to_owned(), AttributeValue::N(failures.count.to_string())),
        (attribute::EXPIRES.to_owned(), seconds(failures.expires)),
    ]))
}

/// Reads the item of a failure count. `None` if the item is not a failure count. Then the count
/// starts again, so the message only gets more attempts.
pub fn read_failures_item(item: &Item) -> Option<Failures> {
    let number = |name| match item.get(name) {
        Some(AttributeValue::N(digits)) => digits.parse::<u64>().ok(),
        _ => None,
    };
    let (count, expires) = (number(attribute::FAILURES)?, number(attribute::EXPIRES)?);
    let expires = Timestamp::from_millis(expires.saturating_mul(1_000));
    Some(Failures { count: u32::try_from(count).unwrap_or(u32::MAX), expires })
}

/// Returns the version of a state item. [`Version::ABSENT`] if there is no item.
///
/// # Errors
/// If the item has no version. Then something other than Cloakroom has written the item under the
/// state's key.
pub(crate) fn version(what: &str, item: Option<&Item>) -> Result<Version, PortError> {
    let Some(item) = item else { return Ok(Version::ABSENT) };
    let number = match item.get(attribute::VERSION) {
        // Very large numbers are refused, because increasing them could overflow.
        Some(AttributeValue::N(digits)) => digits.parse().ok().filter(|number| *number < u64::MAX / 2),
        _ => None,
    };
    number.map(Version::new).ok_or_else(|| {
        let cause = format!("the item has no version in `{}`: it was not written by Cloakroom", attribute::VERSION);
        PortError::new(what, cause).without_effect().caused_by_data().public()
    })
}

/// Reads a state item, with or without its keys.
///
/// # Errors
/// If the item has no version, or if the attribute of its embedded records cannot be read. An item
/// without a version was not written by Cloakroom.
pub fn read_state_item(what: &str, item: Option<Item>) -> Result<StateRead, PortError> {
    let Some(mut item) = item else { return Ok(StateRead::default()) };
    let version = version(what, Some(&item))?;
    let records = read_embedded_records(what, &item)?;
    let is_complete = item.get(attribute::COMPLETE) == Some(&AttributeValue::Bool(true));
    let embedded = Embedded { records, is_complete, recent: Recent::read(&item) };
    if item.contains_key(attribute::DELETED) {
        return Ok(StateRead { version, state: None, embedded });
    }
    item.retain(|name, _| !attribute::RESERVED.contains(&&**name));
    Ok(StateRead { version, state: Some(item), embedded })
}

/// Reads the item of a separate record.
///
/// # Errors
/// If the item has no record, or if the format of the record is not supported.
pub fn read_record_item(what: &str, item: &Item) -> Result<Record, PortError> {
    let unreadable = |cause: String| PortError::new(what, cause).without_effect().caused_by_data();
    match item.get(attribute::RECORD) {
        Some(AttributeValue::S(text)) => Record::decode(text).map_err(|error| unreadable(error.to_string())),
        _ => Err(unreadable(format!("the item has no text in `{}`", attribute::RECORD))),
    }
}

/// Reads the records that are embedded in a state item. Each record stays encoded.
///
/// # Errors
/// If the attribute of the embedded records cannot be read.
pub fn read_embedded_records(what: &str, item: &Item) -> Result<BTreeMap<MessageId, String>, PortError> {
    let Some(records) = item.get(attribute::RECORDS) else { return Ok(BTreeMap::new()) };
    packed::read(records).map_err(|problem| {
        let cause = format!("attribute `{}` of the item cannot be read: {problem}", attribute::RECORDS);
        PortError::new(what, cause).without_effect().caused_by_data().public()
    })
}

/// Reads an embedded record.
///
/// # Errors
/// If the text is not a record, or if the format of the record is not supported.
pub(crate) fn read_embedded(key: RecordKey<'_>, text: &str) -> Result<Record, PortError> {
    Record::decode(text).map_err(|error| {
        let what = format!("reading the embedded record of `{}` in partition `{}`", key.message, key.partition);
        PortError::new(what, error).without_effect().caused_by_data()
    })
}
