//! Limits and settings. A value at the limit is accepted. A value over it is refused, and the error
//! names the limit.

use crate::fixture;

use std::collections::{BTreeMap, HashMap};

use cloakroom::{
    EndpointSettings, Error, ErrorKind, Ports, Worker, WorkerSettings,
    error::LimitError,
    format::{AttributeValue, Item, item_bytes},
    memory::Memory,
    ports::{Limits, QueueMessage},
};
use fixture::builder;
use serde::de::DeserializeOwned;

/// Returns an item of exactly this size, its keys not included.
fn item(bytes: usize) -> Item {
    let item = Item::from(HashMap::from([("n".to_owned(), AttributeValue::S("x".repeat(bytes - 1)))]));
    assert_eq!(item_bytes(&item), bytes);
    item
}

/// Asserts that `at` is accepted and `over` is refused, with an error that names the subject and
/// the limit.
#[track_caller]
fn assert_boundary(
    at: Result<(), LimitError>,
    over: Result<(), LimitError>,
    subject: &str,
    size_max: usize,
    unit: &str,
) {
    at.expect("a value at the limit is accepted");
    let error = over.expect_err("a value over the limit is refused");
    assert!(error.what.contains(subject), "`{}` does not name `{subject}`", error.what);
    assert_eq!((error.size, error.size_max, error.unit), (size_max + 1, size_max, unit));
    let text = error.to_string();
    for part in [subject, &(size_max + 1).to_string(), &size_max.to_string(), unit] {
        assert!(text.contains(part), "`{text}` does not contain `{part}`");
    }
}

#[test]
fn items_over_the_size_limit_are_refused() {
    let keys = "pk".len() + "p".len() + "sk".len() + "the key".len();
    let check = |bytes: usize| Limits::default().check_transaction("p", [("the key", Some(&item(bytes - keys)))]);
    assert_boundary(check(409_600), check(409_601), "item `the key` of partition `p`", 409_600, "bytes");
}

#[test]
fn commits_over_the_item_limit_are_refused() {
    let check = |count| Limits::default().check_transaction("p", vec![("key", None); count]);
    assert_boundary(check(100), check(101), "the commit on partition `p`", 100, "items");
}

#[test]
fn commits_over_the_size_limit_are_refused() {
    let limits = Limits { transaction_bytes_max: 1000, ..Limits::default() };
    let keys = "pkpskk".len();
    let check = |more: usize| {
        let (one, other) = (item(500 - keys), item(500 + more - keys));
        limits.check_transaction("p", [("k", Some(&one)), ("k", Some(&other))])
    };
    assert_boundary(check(0), check(1), "the commit on partition `p`", 1000, "bytes");
}

#[test]
fn keys_over_the_length_limit_are_refused() {
    let limits = Limits::default();
    let sort_key = |length| limits.check_transaction("p", [("k".repeat(length).as_str(), None)]);
    assert_boundary(sort_key(1024), sort_key(1025), "sort key `kkk", 1024, "bytes");
    let partition = |length| limits.check_transaction(&"p".repeat(length), []);
    assert_boundary(partition(2048), partition(2049), "partition key `ppp", 2048, "bytes");
    // The limit counts bytes, not characters. The error text shortens the key.
    let error = limits.check_transaction("p", [("ä".repeat(600).as_str(), None)]).expect_err("1200 bytes");
    assert_eq!(error.size, 1200);
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn messages_over_the_size_limit_with_attributes_are_refused() {
    let attributes = BTreeMap::from([("name".to_owned(), "value".to_owned())]);
    let check = |bytes: usize| {
        let body = "x".repeat(bytes - "namevalueString".len());
        let message = QueueMessage { body, attributes: attributes.clone(), ..QueueMessage::default() };
        Limits::default().check_message("message `m`", &message)
    };
    assert_boundary(check(1_048_576), check(1_048_577), "message `m`", 1_048_576, "bytes");
}

#[test]
fn messages_over_the_attribute_limit_are_refused() {
    let check = |count: usize| {
        let attributes = (0..count).map(|number| (number.to_string(), String::new())).collect();
        Limits::default().check_message("message `m`", &QueueMessage { attributes, ..QueueMessage::default() })
    };
    assert_boundary(check(10), check(11), "message `m`", 10, "attributes");
}

/// The expected sizes follow the rules of the DynamoDB developer guide, or are one byte larger.
#[test]
fn every_attribute_type_has_its_documented_size() {
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
fn assert_refused(built: Result<cloakroom::Endpoint, Error>, field: &str) {
    let error = built.expect_err("settings out of range");
    assert_eq!(error.kind(), ErrorKind::FixConfiguration);
    assert!(error.to_string().starts_with(&format!("setting `{field}` is ")), "`{field}`: {error}");
}

/// Returns settings as a service deserialises them, with one field changed. A dot in `field`
/// separates a field from a field inside it.
fn with<S: DeserializeOwned + Default + serde::Serialize>(field: &str, value: u64) -> S {
    let mut settings = serde_json::to_value(S::default()).expect("JSON");
    *settings.pointer_mut(&format!("/{}", field.replace('.', "/"))).expect("a field") = value.into();
    serde_json::from_value(settings).expect("settings")
}

/// Asserts that `tested` has each number among the fields of `S`, and nothing else. A field that is
/// added without a test of its range fails here.
#[track_caller]
fn assert_all_numbers_are_tested<S: Default + serde::Serialize>(tested: &[(&str, u64, u64)]) {
    fn numbers(prefix: &str, value: &serde_json::Value) -> Vec<String> {
        match value {
            serde_json::Value::Object(fields) => {
                fields.iter().flat_map(|(name, value)| numbers(&format!("{prefix}.{name}"), value)).collect()
            }
            serde_json::Value::Number(_) => vec![prefix.trim_start_matches('.').to_owned()],
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::String(_)
            | serde_json::Value::Array(_) => Vec::new(),
        }
    }
    let mut fields = numbers("", &serde_json::to_value(S::default()).expect("JSON"));
    let mut tested: Vec<String> = tested.iter().map(|(field, ..)| (*field).to_owned()).collect();
    fields.sort();
    tested.sort();
    assert_eq!(tested, fields);
}

#[test]
fn a_setting_of_an_endpoint_out_of_range_is_named() {
    const DAY_MS: u64 = 86_400_000;
    let ranges = [
        ("embedded_bytes_max", 1_024, 256 * 1024),
        ("payload_ttl_ms", DAY_MS, 3_650 * DAY_MS),
        ("fold_max", 1, 48),
        ("call_ms_max", 10, 600_000),
        ("passes_max", 1, 1_000),
        ("calls_max", 1, 100),
        ("attempts_max", 1, 1_000),
        ("tombstone_ttl_ms", 28 * DAY_MS, 3_650 * DAY_MS),
        ("linger_ms", 0, 1_000),
        ("backoff.first_ms", 1, 1_000),
        ("backoff.max_ms", 10, DAY_MS / 2),
    ];
    assert_all_numbers_are_tested::<EndpointSettings>(&ranges);
    for (field, min, max) in ranges {
        let build = |value| builder().settings(with::<EndpointSettings>(field, value)).build(Memory::new().ports());
        for value in [min, max] {
            build(value).unwrap_or_else(|error| panic!("{field} = {value}: {error}"));
        }
        // If `backoff.max_ms` is less than `backoff.first_ms`, the error names `backoff.first_ms`.
        let named_if_too_small = if field == "backoff.max_ms" { "backoff.first_ms" } else { field };
        if let Some(value) = min.checked_sub(1) {
            assert_refused(build(value), named_if_too_small);
        }
        assert_refused(build(max + 1), field);
    }
}

#[test]
fn a_setting_of_a_worker_out_of_range_is_named() {
    const DAY_MS: u64 = 86_400_000;
    let memory = Memory::with_queues(["things"]);
    let ranges = [
        ("in_flight_max", 1, 100_000),
        ("receive_wait_ms", 1_000, 20_000),
        ("visibility_ms", 1_000, 43_200_000),
        ("attempt_ms_max", 1_000, DAY_MS),
        ("drain_ms", 0, 3_600_000),
        ("retry.first_ms", 1, 300_000),
        ("retry.max_ms", 1_000, DAY_MS / 2),
    ];
    assert_all_numbers_are_tested::<WorkerSettings>(&ranges);
    let run = |settings| {
        let endpoint = builder().build(memory.ports()).expect("an endpoint");
        memory.run(Worker::new(endpoint, "things").settings(settings).run(std::future::ready(())))
    };
    let named = |settings, field: &str| {
        let error = run(settings).expect_err(field).to_string();
        assert!(error.starts_with(&format!("setting `{field}` is ")), "`{field}`: {error}");
    };
    for (field, min, max) in ranges {
        for value in [min, max] {
            run(with(field, value)).unwrap_or_else(|error| panic!("{field} = {value}: {error}"));
        }
        let named_if_too_small = if field == "retry.max_ms" { "retry.first_ms" } else { field };
        if let Some(value) = min.checked_sub(1) {
            named(with(field, value), named_if_too_small);
        }
        named(with(field, max + 1), field);
    }
    let above = WorkerSettings { partition_in_flight_max: Some(65), ..WorkerSettings::default() };
    named(above, "partition_in_flight_max");
}

#[test]
fn a_limit_out_of_range_is_named() {
    let ranges = [
        ("transaction_items_max", 2, 100),
        ("transaction_bytes_max", 2, 4 * 1024 * 1024),
        ("item_bytes_max", 2, 400 * 1024),
        ("message_bytes_max", 2, 1024 * 1024),
        ("message_attributes_max", 2, 10),
        ("partition_key_bytes_max", 2, 2048),
        ("sort_key_bytes_max", 2, 1024),
    ];
    assert_all_numbers_are_tested::<Limits>(&ranges);
    for (field, min, max) in ranges {
        let build = |value| builder().build(Ports { limits: with::<Limits>(field, value), ..Memory::new().ports() });
        for value in [min, max] {
            build(value).unwrap_or_else(|error| panic!("{field} = {value}: {error}"));
        }
        for value in [min - 1, max + 1] {
            assert_refused(build(value), &format!("limits.{field}"));
        }
    }
}

#[test]
fn unknown_setting_is_refused_by_name() {
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
fn omitted_settings_have_their_defaults() {
    assert_eq!(serde_json::from_str::<EndpointSettings>("{}").expect("settings"), EndpointSettings::default());
    assert_eq!(serde_json::from_str::<WorkerSettings>("{}").expect("settings"), WorkerSettings::default());
    let limits = Limits { message_bytes_max: 262_144, ..Limits::default() };
    assert_eq!(serde_json::from_str::<Limits>(r#"{"message_bytes_max": 262144}"#).expect("limits"), limits);
}
