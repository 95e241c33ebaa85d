//! Values that are almost valid: valid values of which something is removed, replaced, nested,
//! enlarged or cut.

use cloakroom::format::{AttributeValue, Claim, Envelope, Item, Outgoing, Record, Settles, schema::attribute};
use proptest::{collection, option, prelude::*, sample::Index};
use serde_json::{Map, Value, json};

use crate::properties::note_envelope;

/// Texts of any characters, short and long, with those that stores refuse.
pub(crate) fn text() -> impl Strategy<Value = String> {
    const EDGE_CASES: &[&str] =
        &["", " ", "#", "/", "\0", "\u{fffe}", "\u{ffff}", "\u{1F9E5}", "ledger", "ledger-dead", "1.0", "null"];
    prop_oneof![
        4 => proptest::sample::select(EDGE_CASES).prop_map(str::to_owned),
        4 => collection::vec(any::<char>(), 0..20).prop_map(String::from_iter),
        1 => (any::<char>(), 900..3_000_usize).prop_map(|(c, count)| String::from_iter(vec![c; count])),
    ]
}

/// Any JSON.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        json_number(),
        any::<u64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let fields = collection::btree_map(text(), inner.clone(), 0..6);
        prop_oneof![
            collection::vec(inner, 0..6).prop_map(Value::Array),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Numbers at the limits of their types.
fn json_number() -> impl Strategy<Value = Value> {
    let edge_cases =
        [json!(0), json!(-1), json!(u64::MAX), json!(i64::MIN), json!(u64::from(u32::MAX) + 1), json!(1e308)];
    proptest::sample::select(edge_cases.to_vec())
}

/// A change to one place in a value.
#[derive(Clone, Debug)]
enum Change {
    Remove,
    Replace(Value),
    Add(String, Value),
    /// Wraps the value in this many lists.
    Nest(usize),
    /// Replaces the value by a text of this many bytes.
    Enlarge(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Remove),
        5 => json().prop_map(Change::Replace),
        3 => json_number().prop_map(Change::Replace),
        3 => (text(), json()).prop_map(|(name, value)| Change::Add(name, value)),
        1 => (1..200_usize).prop_map(Change::Nest),
        1 => (1_000..1_200_000_usize).prop_map(Change::Enlarge),
    ]
}

/// The texts of valid values with up to two changes to the value. Three texts in ten also have a
/// changed or cut character.
pub(crate) fn changed(valid: impl Strategy<Value = Value>) -> impl Strategy<Value = String> {
    let cut = option::weighted(0.3, (any::<Index>(), option::of(any::<char>())));
    (valid, collection::vec((any::<Index>(), change()), 0..3), cut).prop_map(|(mut value, changes, cut)| {
        for (place, change) in changes {
            let mut left = place.index(places(&value));
            apply(&mut value, &mut left, change);
        }
        let text = value.to_string();
        let Some((place, replacement)) = cut else { return text };
        let mut characters: Vec<char> = text.chars().collect();
        let place = place.index(characters.len());
        match replacement {
            Some(character) => characters[place] = character,
            None => characters.truncate(place),
        }
        String::from_iter(characters)
    })
}

/// The texts of valid values with other numbers. Every second number is replaced by one that may be
/// too small or too large.
pub(crate) fn renumbered(valid: impl Strategy<Value = Value>) -> impl Strategy<Value = String> {
    let numbers = [0, 1, 2, 1_000, u64::from(u32::MAX), u64::MAX];
    let numbers = collection::vec(option::of(proptest::sample::select(numbers.to_vec())), 16);
    (valid, numbers).prop_map(|(mut value, numbers)| {
        renumber(&mut value, &mut numbers.into_iter());
        value.to_string()
    })
}

fn renumber(value: &mut Value, numbers: &mut impl Iterator<Item = Option<u64>>) {
    match value {
        Value::Number(_) => {
            if let Some(number) = numbers.next().flatten() {
                *value = json!(number);
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(|value| renumber(value, numbers)),
        Value::Array(items) => items.iter_mut().for_each(|value| renumber(value, numbers)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Returns how many values a value contains, including itself.
fn places(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(places).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(places).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// Applies a change at the place that has `left` places before it. Returns the change if there is
/// no such place.
fn apply(value: &mut Value, left: &mut usize, change: Change) -> Option<Change> {
    if *left == 0 {
        match (change, &mut *value) {
            (Change::Add(name, added), Value::Object(fields)) => drop(fields.insert(name, added)),
            (Change::Remove, _) => *value = Value::Null,
            (Change::Replace(other) | Change::Add(_, other), _) => *value = other,
            (Change::Nest(depth), _) => *value = (0..depth).fold(value.take(), |inner, _| json!([inner])),
            (Change::Enlarge(length), _) => *value = Value::String("x".repeat(length)),
        }
        return None;
    }
    *left -= 1;
    let mut change = change;
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                if *left == 0 && matches!(change, Change::Remove) {
                    fields.remove(&name);
                    return None;
                }
                change = apply(&mut fields[&name], left, change)?;
            }
        }
        Value::Array(items) => {
            for item in items {
                change = apply(item, left, change)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Some(change)
}

/// Valid envelopes.
pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    let some = || option::of("[a-zäß0-9#-]{1,12}");
    let store = proptest::sample::select(&["memory", "memory", "elsewhere"][..]);
    let claim = option::of((any::<u128>(), store).prop_map(|(bits, store)| Claim::from_random(bits, store)));
    let extensions = collection::btree_map("x[a-z0-9]{3,9}", json(), 0..3);
    (some(), some(), claim, option::of(json()), extensions, any::<bool>()).prop_map(
        |(time, correlationid, dataref, data, extensions, redispatch)| {
            let data = data.filter(|data| !data.is_null() && dataref.is_none());
            let mut envelope = note_envelope();
            (envelope.time, envelope.correlationid) = (time, correlationid);
            (envelope.dataref, envelope.redispatch) = (dataref, redispatch);
            envelope.data = data.or(envelope.data.filter(|_| envelope.dataref.is_none()));
            envelope.extensions = extensions.into_iter().collect();
            envelope
        },
    )
}

/// Valid records.
pub(crate) fn record() -> impl Strategy<Value = Record> {
    let outgoing = (text(), envelope(), 0..900_u32, option::of(json()), option::of(text()));
    let outgoing = outgoing.prop_map(|(queue, envelope, delay_s, body, group)| {
        let body = body.map(|body| body.to_string());
        Outgoing { queue, envelope, delay_s, body, group, extensions: Map::new() }
    });
    let store = proptest::sample::select(&["memory", "memory", "elsewhere"][..]);
    let settles = (any::<u128>(), store, any::<bool>()).prop_map(|(bits, store, by_claim)| match by_claim {
        true => Settles::Payload(Claim::from_random(bits, store)),
        false => Settles::Entry(store.to_owned()),
    });
    let settled = option::of((settles, any::<u32>().prop_map(u64::from)));
    (collection::vec(outgoing, 0..4), settled).prop_map(|(messages, settled)| {
        let (settles, committed_ms) = settled.unzip();
        Record { messages, settles, committed_ms, ..Record::default() }
    })
}

/// Numbers, and texts that are almost numbers.
fn number() -> impl Strategy<Value = AttributeValue> {
    let edge_cases = [u64::MAX.to_string(), (u64::MAX - 1).to_string(), "-1".into(), "1e3".into(), "NaN".into()];
    prop_oneof![2 => any::<u32>().prop_map(|number| number.to_string()), 1 => proptest::sample::select(edge_cases.to_vec())]
        .prop_map(AttributeValue::N)
}

/// Any attribute.
fn attribute_value() -> impl Strategy<Value = AttributeValue> {
    let leaf = prop_oneof![
        number(),
        number(),
        text().prop_map(AttributeValue::S),
        text().prop_map(AttributeValue::N),
        any::<bool>().prop_map(AttributeValue::Bool),
        any::<bool>().prop_map(AttributeValue::Null),
        collection::vec(any::<u8>(), 0..40).prop_map(AttributeValue::B),
        collection::vec(text(), 0..4).prop_map(AttributeValue::Ss),
        collection::vec(text(), 0..4).prop_map(AttributeValue::Ns),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
            collection::hash_map(text(), inner, 0..4).prop_map(AttributeValue::M),
        ]
    })
}

/// Items with the attributes of a state and of a record. Each attribute may be missing or have any
/// value.
pub(crate) fn item() -> impl Strategy<Value = Item> {
    let often =
        |valid: BoxedStrategy<AttributeValue>| option::weighted(0.9, prop_oneof![5 => valid, 1 => attribute_value()]);
    let number = || number().boxed();
    let text = || text().prop_map(AttributeValue::S).boxed();
    let record = prop_oneof![
        record().prop_map(|record| record.encode()),
        changed(record().prop_map(|record| serde_json::from_str(&record.encode()).expect("JSON"))),
    ];
    let deleted = option::weighted(0.1, attribute_value());
    let record = often(record.prop_map(AttributeValue::S).boxed());
    let known = (often(number()), deleted, record, often(number()), often(text()), option::of(attribute_value()));
    let further = collection::hash_map("[a-z_]{1,9}", attribute_value(), 0..3);
    (known, further).prop_map(|((version, deleted, record, notes, last, claimed), further)| {
        let names = [attribute::VERSION, attribute::DELETED, attribute::RECORD, "notes", "last", attribute::CLAIMED];
        let known = names.into_iter().zip([version, deleted, record, notes, last, claimed]);
        let known = known.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Item::from(further.into_iter().chain(known).collect::<std::collections::HashMap<_, _>>())
    })
}
