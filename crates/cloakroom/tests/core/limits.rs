//! Limits and settings: what is exactly at the limit passes, one over is refused by name.

use crate::fixture;

use std::collections::{BTreeMap, HashMap};

use cloakroom::{
    EndpointSettings, Error, ErrorKind, Ports, WorkerSettings,
    error::LimitError,
    format::{AttributeValue, Item, item_bytes},
    memory::Memory,
    ports::{Limits, QueueMessage},
};
use fixture::builder;
use serde::de::DeserializeOwned;

/// An item of exactly this size without its keys.
fn item(bytes: usize) -> Item {
    let item = Item::from(HashMap::from([("n".to_owned(), AttributeValue::S("x".repeat(bytes - 1)))]));
    assert_eq!(item_bytes(&item), bytes);
    item
}

/// Demands that `at` is possible and `over` is not, and that the error says this of it.
#[track_caller]
fn boundary(at: Result<(), LimitError>, over: Result<(), LimitError>, what: &str, size_max: usize, unit: &str) {
    at.expect("what is at the limit is possible");
    let error = over.expect_err("what is over the limit is not");
    assert!(error.what.contains(what), "`{}` does not name `{what}`", error.what);
    assert_eq!((error.size, error.size_max, error.unit), (size_max + 1, size_max, unit));
    let text = error.to_string();
    for part in [what, &(size_max + 1).to_string(), &size_max.to_string(), unit] {
        assert!(text.contains(part), "`{text}` does not say `{part}`");
    }
}

#[test]
fn the_size_of_an_item() {
    let keys = "pk".len() + "p".len() + "sk".len() + "the key".len();
    let check = |bytes: usize| Limits::default().check_transaction("p", [("the key", Some(&item(bytes - keys)))]);
    boundary(check(409_600), check(409_601), "item `the key` of partition `p`", 409_600, "bytes");
}

#[test]
fn the_number_of_items() {
    let check = |count| Limits::default().check_transaction("p", vec![("key", None); count]);
    boundary(check(100), check(101), "the commit on partition `p`", 100, "items");
}

#[test]
fn the_size_of_a_commit() {
    let limits = Limits { transaction_bytes_max: 1000, ..Limits::default() };
    let keys = "pkpskk".len();
    let check = |more: usize| {
        let (one, other) = (item(500 - keys), item(500 + more - keys));
        limits.check_transaction("p", [("k", Some(&one)), ("k", Some(&other))])
    };
    boundary(check(0), check(1), "the commit on partition `p`", 1000, "bytes");
}

#[test]
fn the_length_of_keys() {
    let limits = Limits::default();
    let sort_key = |length| limits.check_transaction("p", [("k".repeat(length).as_str(), None)]);
    boundary(sort_key(1024), sort_key(1025), "sort key `kkk", 1024, "bytes");
    let partition = |length| limits.check_transaction(&"p".repeat(length), []);
    boundary(partition(2048), partition(2049), "partition key `ppp", 2048, "bytes");
    // Bytes, not characters; and a long key does not make a long error.
    let error = limits.check_transaction("p", [("ä".repeat(600).as_str(), None)]).expect_err("1200 bytes");
    assert_eq!(error.size, 1200);
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn the_size_of_a_message_counts_attributes() {
    let attributes = BTreeMap::from([("name".to_owned(), "value".to_owned())]);
    let check = |bytes: usize| {
        let body = "x".repeat(bytes - "namevalueString".len());
        let message = QueueMessage { body, attributes: attributes.clone(), ..QueueMessage::default() };
        Limits::default().check_message("message `m`", &message)
    };
    boundary(check(1_048_576), check(1_048_577), "message `m`", 1_048_576, "bytes");
}

#[test]
fn the_number_of_attributes() {
    let check = |count: usize| {
        let attributes = (0..count).map(|number| (number.to_string(), String::new())).collect();
        Limits::default().check_message("message `m`", &QueueMessage { attributes, ..QueueMessage::default() })
    };
    boundary(check(10), check(11), "message `m`", 10, "attributes");
}

/// By the rules of the developer guide, or a byte more.
#[test]
fn the_size_of_every_type_of_attribute() {
    use AttributeValue::{B, Bool, Bs, L, M, N, Ns, Null, S, Ss};
    let text = |text: &str| text.to_owned();
    for (value, bytes) in [
        (S(text("ä€😀")), 9),
        (S(String::new()), 0),
        (N(text("7")), 2),
        (N(text("-1234")), 5),
        (N("9".repeat(38)), 20),
        (B(vec![0; 5]), 5),
        (Bool(true), 1),
        (Null(true), 1),
        (L(Vec::new()), 3),
        (L(vec![Bool(true), S(text("ab"))]), 3 + 1 + 1 + 1 + 2),
        (M(HashMap::from([(text("ab"), Null(true))])), 3 + 1 + 2 + 1),
        (Ss(vec![text("a"), text("bc")]), 3),
        (Ns(vec![text("1"), text("22")]), 4),
        (Bs(vec![vec![1], vec![2, 3]]), 3),
    ] {
        let item = Item::from(HashMap::from([(text("name"), value.clone())]));
        assert_eq!(item_bytes(&item), 4 + bytes, "{value:?}");
    }
}

#[track_caller]
fn must_be_refused(built: Result<cloakroom::Endpoint, Error>, field: &str) {
    let error = built.expect_err("settings out of range");
    assert_eq!(error.kind(), ErrorKind::FixConfiguration);
    assert!(error.to_string().starts_with(&format!("setting `{field}` is ")), "`{field}`: {error}");
}

/// Settings as a service reads them, with one field changed; a dot leads into a field of a field.
fn with<S: DeserializeOwned + Default + serde::Serialize>(field: &str, value: u64) -> S {
    let mut settings = serde_json::to_value(S::default()).expect("JSON");
    *settings.pointer_mut(&format!("/{}", field.replace('.', "/"))).expect("a field") = value.into();
    serde_json::from_value(settings).expect("settings")
}

#[test]
fn a_setting_of_an_endpoint_out_of_range_is_named() {
    const DAY_MS: u64 = 86_400_000;
    for (field, min, max) in [
        ("passes_max", 1, 1_000),
        ("calls_max", 1, 100),
        ("attempts_max", 1, 1_000),
        ("tombstone_ttl_ms", 28 * DAY_MS, 3_650 * DAY_MS),
        ("linger_ms", 0, 1_000),
        ("backoff.first_ms", 1, 1_000),
        ("backoff.max_ms", 10, DAY_MS / 2),
    ] {
        let build = |value| builder().settings(with::<EndpointSettings>(field, value)).build(Memory::new().ports());
        for value in [min, max] {
            build(value).unwrap_or_else(|error| panic!("{field} = {value}: {error}"));
        }
        // The longest pause is checked against the first one, too, and then that one is named.
        let below = if field == "backoff.max_ms" { "backoff.first_ms" } else { field };
        if let Some(value) = min.checked_sub(1) {
            must_be_refused(build(value), below);
        }
        must_be_refused(build(max + 1), field);
    }
}

#[test]
fn a_limit_out_of_range_is_named() {
    for (field, min, max) in [
        ("transaction_items_max", 2, 100),
        ("transaction_bytes_max", 2, 4 * 1024 * 1024),
        ("item_bytes_max", 2, 400 * 1024),
        ("message_bytes_max", 2, 1024 * 1024),
        ("message_attributes_max", 2, 10),
        ("partition_key_bytes_max", 2, 2048),
        ("sort_key_bytes_max", 2, 1024),
    ] {
        let build = |value| builder().build(Ports { limits: with::<Limits>(field, value), ..Memory::new().ports() });
        for value in [min, max] {
            build(value).unwrap_or_else(|error| panic!("{field} = {value}: {error}"));
        }
        for value in [min - 1, max + 1] {
            must_be_refused(build(value), &format!("limits.{field}"));
        }
    }
}

#[test]
fn a_setting_that_is_not_known_is_refused_by_name() {
    #[track_caller]
    fn refused<S: DeserializeOwned + std::fmt::Debug>(text: &str) {
        let error = serde_json::from_str::<S>(text).expect_err("an unknown field").to_string();
        assert!(error.contains("unknown field `passes`"), "{error}");
    }
    refused::<EndpointSettings>(r#"{"passes": 3}"#);
    refused::<EndpointSettings>(r#"{"backoff": {"first_ms": 1, "max_ms": 2, "passes": 3}}"#);
    refused::<Limits>(r#"{"passes": 3}"#);
    refused::<WorkerSettings>(r#"{"passes": 3}"#);
}

#[test]
fn settings_that_are_left_out_are_the_defaults() {
    assert_eq!(serde_json::from_str::<EndpointSettings>("{}").expect("settings"), EndpointSettings::default());
    assert_eq!(serde_json::from_str::<WorkerSettings>("{}").expect("settings"), WorkerSettings::default());
    let limits = Limits { message_bytes_max: 262_144, ..Limits::default() };
    assert_eq!(serde_json::from_str::<Limits>(r#"{"message_bytes_max": 262144}"#).expect("limits"), limits);
}
