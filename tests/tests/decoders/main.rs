//! Input from a queue, a table or a settings file is accepted or refused, and never causes a panic.
//!
//! The random numbers come from a fixed seed, so every run checks the same values. `tests/fuzz`
//! checks more.

mod near;
mod properties;

use std::{cell::RefCell, collections::HashMap};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use cloakroom::{
    Delivery, EndpointSettings, Outcome, WorkerSettings,
    format::{AttributeValue as Attribute, Envelope, Record},
    ports::Limits,
};
use cloakroom_aws::{AwsSettings, ProvisioningSettings};
use cloakroom_local::{Faults, Usage};
use proptest::{
    collection, option,
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};
use serde_json::{Value, json};

/// Checks a property for `cases` values.
fn for_all<S: Strategy>(cases: u32, values: S, property: impl Fn(S::Value)) {
    let rng_seed = RngSeed::Fixed(2026);
    let config = Config { cases, rng_seed, failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
    let check = |value| {
        property(value);
        Ok(())
    };
    if let Err(error) = TestRunner::new(config).run(&values, check) {
        panic!("{error}");
    }
}

/// The results of a property. If all values had the same result, the test would check little.
struct Results<T>(RefCell<Vec<T>>);

impl<T> Default for Results<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: PartialEq + std::fmt::Debug> Results<T> {
    fn add(&self, result: T) {
        self.0.borrow_mut().push(result);
    }

    fn assert_each_occurred(&self, expected: &[T]) {
        for one in expected {
            let count = self.0.borrow().iter().filter(|result| *result == one).count();
            assert!(count >= 10, "the result {one:?} occurred only {count} times");
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    collection::vec(any::<u8>(), 0..200)
}

/// Any bytes, any JSON, and values that are almost valid.
fn near(valid: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = String> {
    prop_oneof![
        1 => bytes().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        1 => near::json().prop_map(|json| json.to_string()),
        6 => near::changed(valid),
    ]
}

fn json_of<T: serde::Serialize>(value: T) -> Value {
    serde_json::to_value(value).expect("plain data")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn envelopes() -> impl Strategy<Value = String> {
    near(near::envelope().prop_map(|envelope| parsed(&envelope.encode())))
}

#[test]
fn valid_envelopes_and_records_survive_a_round_trip() {
    for_all(300, near::envelope(), |envelope| assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope)));
    for_all(150, near::record(), |record| assert_eq!(Record::decode(&record.encode()), Ok(record)));
}

#[test]
fn envelope_of_any_bytes_is_decoded_or_refused() {
    let read = Results::default();
    for_all(600, envelopes(), |text| read.add(properties::envelope(&text)));
    read.assert_each_occurred(&[true, false]);
}

#[test]
fn record_of_any_bytes_is_decoded_or_refused() {
    let read = Results::default();
    let records = near(near::record().prop_map(|record| parsed(&record.encode())));
    for_all(400, records, |text| read.add(properties::record(&text)));
    read.assert_each_occurred(&[true, false]);
}

#[test]
fn state_item_of_any_attributes_is_decoded_or_refused() {
    for_all(500, near::item(), properties::state_item);
}

#[test]
fn message_on_any_stored_items_is_finished_or_changes_nothing() {
    let results = Results::default();
    for_all(200, near::item(), |state| results.add(properties::stored(Some(state), None)));
    let items = (option::of(near::item()), option::weighted(0.7, near::item()));
    for_all(300, items, |(state, record)| results.add(properties::stored(state, record)));
    results.assert_each_occurred(&[None, Some(Outcome::Processed), Some(Outcome::Resumed), Some(Outcome::Parked)]);
}

/// The largest versions have no successor, and a version that is not a number is refused.
#[test]
fn version_without_a_successor_is_refused() {
    let largest = (u64::MAX / 2).to_string();
    let below = (u64::MAX / 2 - 2).to_string();
    for (version, expected) in [
        ("0", Some(Outcome::Processed)),
        (&*below, Some(Outcome::Processed)),
        (&largest, None),
        ("18446744073709551616", None),
        ("-1", None),
        ("1e3", None),
        ("", None),
    ] {
        let attributes = [
            ("cloakroom_version", Attribute::N(version.to_owned())),
            ("notes", Attribute::N("1".to_owned())),
            ("last", Attribute::S(String::new())),
        ];
        let item: HashMap<_, _> = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(properties::stored(Some(item.into()), None), expected, "{version}");
    }
}

#[test]
fn delivery_is_never_dropped_silently() {
    let attributes = collection::btree_map(near::text(), near::text(), 0..12);
    let counts = prop_oneof![3 => Just(1), 1 => any::<u32>()];
    let deliveries = (envelopes(), attributes, counts, option::of(near::text()));
    let results = Results::default();
    for_all(600, deliveries, |(body, attributes, receive_count, group)| {
        let (id, receipt) = ("id".to_owned(), "r".to_owned());
        let delivery = Delivery { id, body, attributes, receive_count, group, receipt };
        results.add(properties::delivery(&delivery));
    });
    results.assert_each_occurred(&[None, Some(Outcome::Processed), Some(Outcome::Duplicate), Some(Outcome::Parked)]);
    for_all(200, envelopes(), |body| properties::received(&body));
}

/// The default settings, with other numbers, and with other changes.
#[test]
fn settings_are_accepted_or_refused() {
    let valid = [
        json_of(EndpointSettings::default()),
        json_of(WorkerSettings::default()),
        json_of(Limits::default()),
        json!({ "first_ms": 1, "max_ms": 2 }),
    ];
    let valid = proptest::sample::select(valid.to_vec());
    for_all(600, near::renumbered(valid.clone()), |text| properties::settings(&text));
    for_all(400, near(valid), |text| properties::settings(&text));
}

#[test]
fn settings_of_the_adapters_are_accepted_or_refused() {
    let valid = [
        json_of(AwsSettings::new("table", "bucket")),
        json_of(ProvisioningSettings::default()),
        json_of(Faults::default()),
        json_of(Usage::default()),
    ];
    for_all(500, near(proptest::sample::select(valid.to_vec())), |text| {
        if let Some(settings) = properties::read_twice::<AwsSettings>(&text) {
            let refused = settings.validate().is_err_and(|error| error.to_string().starts_with("setting"));
            assert!(refused || settings.validate().is_ok());
        }
        properties::read_twice::<ProvisioningSettings>(&text);
        if let Some(faults) = properties::read_twice::<Faults>(&text) {
            let _ = faults.validate();
        }
        properties::read_twice::<Usage>(&text);
    });
}

/// Items as the SDK returns them.
#[test]
fn attributes_of_the_sdk_are_converted() {
    let leaf = prop_oneof![
        near::text().prop_map(AttributeValue::S),
        near::text().prop_map(AttributeValue::N),
        bytes().prop_map(|bytes| AttributeValue::B(Blob::new(bytes))),
        any::<bool>().prop_map(AttributeValue::Null),
        collection::vec(bytes().prop_map(Blob::new), 0..3).prop_map(AttributeValue::Bs),
        collection::vec(near::text(), 0..3).prop_map(AttributeValue::Ns),
    ];
    let value = leaf.prop_recursive(8, 24, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
            collection::hash_map(near::text(), inner, 0..4).prop_map(AttributeValue::M),
        ]
    });
    let names = prop_oneof![near::text(), Just("cloakroom_version".to_owned()), Just("cloakroom_record".to_owned())];
    for_all(300, collection::hash_map(names, value, 0..5), |item: HashMap<_, _>| {
        let count = item.len();
        let item = cloakroom_aws::item_from_sdk(item).expect("every type is known");
        assert_eq!(item.len(), count);
        properties::state_item(item.clone());
        let _ = cloakroom::ports::placement::read_record_item("reading", &item);
    });
}
