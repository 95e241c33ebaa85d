//! The formats on the wire and in tables, byte for byte. Services of different versions read each
//! other's messages and records. A change of a golden file is a change of messages in flight.

use cloakroom::{
    Timestamp,
    format::{Claim, Envelope, Outgoing, Record, Settles},
    protocol::Version,
};
use serde_json::json;

const ENVELOPE_FULL: &str = include_str!("golden/envelope_full.json");
const ENVELOPE_FOREIGN: &str = include_str!("golden/envelope_foreign.json");
const RECORD_CLAIMED: &str = include_str!("golden/record_claimed.json");
const RECORD_WITH_BODIES: &str = include_str!("golden/record_with_bodies.json");
const RECORD_SETTLING_PAYLOAD: &str = include_str!("golden/record_settling_payload.json");
const RECORD_SETTLING_ENTRY: &str = include_str!("golden/record_settling_entry.json");
const FILES: [&str; 6] = [
    ENVELOPE_FULL,
    ENVELOPE_FOREIGN,
    RECORD_CLAIMED,
    RECORD_WITH_BODIES,
    RECORD_SETTLING_PAYLOAD,
    RECORD_SETTLING_ENTRY,
];

fn full() -> Envelope {
    let mut envelope = Envelope::new("m-1".into(), "shop", "order.placed", "order#1 ä€😀".into());
    envelope.time = Some(Timestamp::from_millis(1_700_000_000_123).to_string());
    envelope.datacontenttype = Some("application/json".to_owned());
    envelope.dataref = Some(Claim::from_random(0x0123_4567_89ab_cdef, "payloads"));
    envelope.set_sequence(Version::new(42));
    envelope.correlationid = Some("conversation-1".to_owned());
    envelope.causationid = Some("m-0".into());
    envelope.replyto = Some("shop".to_owned());
    envelope.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    envelope.redispatch = true;
    envelope.extensions.insert("tenant".to_owned(), json!("acme"));
    envelope
}

fn with_bodies() -> Record {
    let mut plain = Envelope::new("m-2".into(), "orders", "stock.reserve", "sku#1".into());
    plain.set_sequence(Version::new(1));
    let first = Outgoing {
        queue: "stock".to_owned(),
        envelope: plain,
        delay_s: 30,
        body: Some("{\"sku\":\"1\"}".to_owned()),
        group: Some("order#1".to_owned()),
        extensions: serde_json::Map::new(),
    };
    let second = Outgoing {
        queue: "mail".to_owned(),
        envelope: Envelope::new("m-3".into(), "orders", "mail.send", "customer#1".into()),
        delay_s: 0,
        body: Some("{}".to_owned()),
        group: None,
        extensions: serde_json::Map::new(),
    };
    Record { messages: vec![first, second], ..Record::default() }
}

fn claimed() -> Record {
    with_bodies().with_claims([Claim::from_random(1, "payloads"), Claim::from_random(2, "payloads")])
}

#[test]
fn full_envelope_matches_its_golden_file() {
    assert_eq!(full().encode() + "\n", ENVELOPE_FULL);
    assert_eq!(Envelope::decode(ENVELOPE_FULL), Ok(full()));
}

#[test]
fn minimal_foreign_envelope_is_decoded_and_encoded_unchanged() {
    let envelope = Envelope::decode(ENVELOPE_FOREIGN).expect("an envelope");
    assert_eq!((envelope.id.as_str(), envelope.kind.as_str()), ("1", "order.placed"));
    assert_eq!((envelope.source.as_str(), envelope.partition.as_str()), ("/till/4", "order#1"));
    assert_eq!(envelope.data, Some(json!({ "sku": "A" })));
    assert_eq!(envelope.encode() + "\n", ENVELOPE_FOREIGN, "encoding adds nothing");
}

#[test]
fn record_with_claims_matches_its_golden_file() {
    assert_eq!(claimed().encode() + "\n", RECORD_CLAIMED);
    assert_eq!(Record::decode(RECORD_CLAIMED), Ok(claimed()));
}

#[test]
fn record_with_bodies_matches_its_golden_file() {
    assert_eq!(with_bodies().encode() + "\n", RECORD_WITH_BODIES);
    assert_eq!(Record::decode(RECORD_WITH_BODIES), Ok(with_bodies()));
}

/// The fields that the sweep needs. Records of earlier versions lack them, as do the other golden
/// files. Such records can still be decoded.
#[test]
fn record_that_states_how_to_settle_matches_its_golden_file() {
    let claim = Claim::from_random(3, "payloads");
    for (settles, golden) in [
        (Settles::Payload(claim), RECORD_SETTLING_PAYLOAD),
        (Settles::Entry("payloads".to_owned()), RECORD_SETTLING_ENTRY),
    ] {
        let record = Record { settles: Some(settles), committed_ms: Some(1_700_000_000_123), ..claimed() };
        assert_eq!(record.encode() + "\n", golden);
        assert_eq!(Record::decode(golden), Ok(record));
    }
}

/// An incoming message may contain these characters in escaped form. The messages that follow from
/// it must still be accepted by a queue.
#[test]
fn characters_that_queues_refuse_are_escaped() {
    let mut envelope = full();
    let text = "\u{0}\u{1f}\u{fffd}\u{fffe}\u{ffff}\u{10ffff}";
    envelope.correlationid = Some(text.to_owned());
    let encoded = envelope.encode();
    let is_accepted = |c: char| c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}');
    assert!(encoded.chars().all(is_accepted), "{encoded:?}");
    assert_eq!(Envelope::decode(&encoded).expect("an envelope").correlationid.as_deref(), Some(text));
}

/// Adds a field to every object in a JSON text. The field holds, among others, a number that no
/// `f64` can represent.
fn with_unknown_fields(text: &str) -> serde_json::Value {
    fn add(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(values) => values.iter_mut().for_each(add),
            serde_json::Value::Object(map) => {
                map.values_mut().for_each(add);
                map.insert("tomorrow".to_owned(), json!({ "deep": [null, 18_446_744_073_709_551_615_u64, -0.5, "ä"] }));
            }
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }
    let mut value = serde_json::from_str(text).expect("JSON");
    add(&mut value);
    value
}

#[test]
fn fields_of_a_later_version_survive_a_round_trip() {
    let again = |text: String| serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    for text in [ENVELOPE_FULL, ENVELOPE_FOREIGN] {
        let later = with_unknown_fields(text);
        let envelope = Envelope::decode(&later.to_string()).expect("an envelope");
        assert_eq!(again(envelope.encode()), later);
    }
    for text in [RECORD_CLAIMED, RECORD_WITH_BODIES, RECORD_SETTLING_PAYLOAD, RECORD_SETTLING_ENTRY] {
        let later = with_unknown_fields(text);
        let record = Record::decode(&later.to_string()).expect("a record");
        assert_eq!(again(record.encode()), later);
    }
}

#[test]
fn fields_of_a_later_version_survive_the_storing_of_claims() {
    let later = with_unknown_fields(RECORD_WITH_BODIES);
    let record = Record::decode(&later.to_string()).expect("a record");
    let claimed = record.with_claims([Claim::from_random(1, "payloads"), Claim::from_random(2, "payloads")]).encode();
    assert_eq!(claimed.matches("tomorrow").count(), later.to_string().matches("tomorrow").count());
}

#[test]
fn unknown_versions_are_refused_by_name() {
    for (from, to, reason) in [
        (
            r#""specversion":"1.0""#,
            r#""specversion":"1.1""#,
            "CloudEvents version `1.1` is not supported; send version 1.0",
        ),
        (
            r#""cloakroomformat":1"#,
            r#""cloakroomformat":2"#,
            "envelope format 2 is not supported; this version reads format 1",
        ),
    ] {
        let error = Envelope::decode(&ENVELOPE_FULL.replace(from, to)).expect_err("another version").to_string();
        assert!(error.contains(reason), "{error}");
    }
    // Also if the text has nothing in common with this version except the format number.
    for text in
        [RECORD_CLAIMED.replace(r#""format":1"#, r#""format":7"#), r#"{"format":7,"messages":"none"}"#.to_owned()]
    {
        let error = Record::decode(&text).expect_err("another version").to_string();
        assert!(error.contains("format 7 is not supported; this version reads format 1"), "{error}");
    }
}

/// Returns the text with one to three random defects.
fn damaged(text: &str, random: &mut fastrand::Rng) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.usize(1..4) {
        let (at, to) = (random.usize(..bytes.len()), random.usize(..bytes.len()));
        match random.u8(..5) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes[at] = random.u8(..),
            2 => bytes[at] = *random.choice(b"{}[]\",:0e-\\n".iter()).unwrap_or(&b' '),
            3 => bytes = [&bytes[..at], &bytes[to..], b" "].concat(),
            _ => bytes.swap(at, to),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn damaged_text_is_refused_or_survives_a_round_trip_and_never_panics() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..2_000 {
        for file in FILES {
            let text = damaged(file, &mut random);
            if let Ok(envelope) = Envelope::decode(&text) {
                assert_eq!(Envelope::decode(&envelope.encode()).as_ref(), Ok(&envelope), "round trip of {text}");
                read += 1;
            }
            match Record::decode(&text) {
                Ok(record) => {
                    assert_eq!(Record::decode(&record.encode()).as_ref(), Ok(&record), "round trip of {text}")
                }
                Err(_) => refused += 1,
            }
        }
        let noise: Vec<u8> = (0..random.usize(..64)).map(|_| random.u8(..)).collect();
        let noise = String::from_utf8_lossy(&noise);
        assert!(Envelope::decode(&noise).is_err() && Record::decode(&noise).is_err(), "{noise}");
    }
    assert!(read > 100 && refused > 100, "{read} texts were decoded and {refused} refused");
}
