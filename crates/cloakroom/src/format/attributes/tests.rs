use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_dynamo::AttributeValue;

use crate::format::attributes::{read, write};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Wide {
    large: u128,
    negative: i128,
    small: u128,
    listed: Vec<u128>,
    by_name: BTreeMap<String, i128>,
    by_number: BTreeMap<u128, u128>,
    maybe: Option<u128>,
    chosen: Option<Choice>,
    #[serde(with = "serde_dynamo::number_set", default)]
    set: Vec<u128>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    One(u128),
    Pair(u128, i128),
    Named { value: u128 },
    Nothing,
}

const LARGE: u128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

#[test]
fn integers_of_128_bits_are_stored_as_numbers_at_every_depth() {
    for chosen in [Choice::One(LARGE), Choice::Pair(LARGE, -1), Choice::Named { value: LARGE }, Choice::Nothing] {
        let written = Wide {
            large: LARGE,
            negative: -(LARGE as i128),
            small: 7,
            listed: vec![1, LARGE],
            by_name: [("a".to_owned(), i128::from(i64::MIN) - 1)].into(),
            by_number: [(LARGE, LARGE)].into(),
            maybe: Some(LARGE),
            chosen: Some(chosen),
            set: vec![1, LARGE],
        };
        let item = write(&written).expect("written");
        assert_eq!(item["large"], AttributeValue::N(LARGE.to_string()));
        assert_eq!(item["set"], AttributeValue::Ns(vec!["1".to_owned(), LARGE.to_string()]));
        assert!(crate::format::values::check(&item).is_ok(), "38 digits fit");
        assert_eq!(read::<Wide>(item).expect("read"), written);
    }
    let too_large = HashMap::from([("a".to_owned(), AttributeValue::N("-1".to_owned()))]);
    assert!(read::<BTreeMap<String, u128>>(too_large.into()).is_err());
}

/// All other types of the `serde` data model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rest {
    integers: (i8, i16, i32, i64, u8, u16, u32, u64),
    fractions: (f32, f64),
    letter: char,
    text: String,
    is: bool,
    nothing: (),
    none: Option<u8>,
    unit: Unit,
    wrapped: Wrapped,
    pair: Pair,
    choices: Vec<Kind>,
    by_number: BTreeMap<i16, u8>,
    by_bool: BTreeMap<bool, u8>,
    by_kind: BTreeMap<Kind, u8>,
    by_letter: BTreeMap<char, u8>,
    any: serde_json::Value,
    #[serde(flatten)]
    more: BTreeMap<String, u64>,
    tagged: Option<Tagged>,
    untagged: Vec<Untagged>,
    #[serde(with = "serde_dynamo::string_set")]
    texts: BTreeSet<String>,
    #[serde(with = "serde_dynamo::number_set")]
    numbers: BTreeSet<i64>,
    bytes: Bytes,
    #[serde(with = "serde_dynamo::binary_set")]
    binaries: Vec<Bytes>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Wrapped(Vec<u8>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Pair(u8, String);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Kind {
    Unit,
    One(u8),
    Two(u8, u8),
    Named { value: u8 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Here { value: u8 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Text(String),
    List(Vec<u8>),
}

/// Bytes that are written as binary, as `serde_bytes` does.
#[derive(Clone, Debug, Default, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[test]
fn other_types_are_written_and_read_as_by_serde_dynamo() {
    let written = Rest {
        integers: (-1, -2, -3, i64::MIN, 1, 2, 3, u64::MAX),
        fractions: (0.1, 1e-100),
        letter: 'ä',
        text: "grün".to_owned(),
        is: true,
        wrapped: Wrapped(vec![1, 2]),
        pair: Pair(1, "a".to_owned()),
        choices: vec![Kind::Unit, Kind::One(1), Kind::Two(1, 2), Kind::Named { value: 3 }],
        by_number: [(-1, 1), (2, 2)].into(),
        by_bool: [(true, 1), (false, 0)].into(),
        by_kind: [(Kind::Unit, 1)].into(),
        by_letter: [('x', 1)].into(),
        any: serde_json::json!({ "a": [1, 0.5, null, "b", { "c": true }] }),
        more: [("flat".to_owned(), 7)].into(),
        tagged: Some(Tagged::Here { value: 1 }),
        untagged: vec![Untagged::Number(1), Untagged::Text("a".to_owned()), Untagged::List(vec![1])],
        texts: ["a".to_owned(), "b".to_owned()].into(),
        numbers: [1, -2].into(),
        bytes: Bytes(vec![0, 255]),
        binaries: vec![Bytes(vec![1]), Bytes(vec![2])],
        ..Rest::default()
    };
    let item = write(&written).expect("written");
    assert_eq!(item, serde_dynamo::to_item(&written).expect("written"));
    assert_eq!(read::<Rest>(item.clone()).expect("read"), written);
    assert_eq!(serde_dynamo::from_item::<_, Rest>(item).expect("read"), written);
}

#[test]
fn values_that_serde_dynamo_refuses_are_refused() {
    assert!(write(&7).is_err() && write(&vec![1]).is_err(), "an item must be a struct or a map");
    assert!(write(&BTreeMap::from([(Some("a"), 1)])).is_err(), "a key must be a string");
    assert!(write(&BTreeMap::from([("a", serde_dynamo::number_set::NumberSet(vec!["text"]))])).is_err());
    assert!(write(&BTreeMap::from([("a", serde_dynamo::string_set::StringSet(vec![1]))])).is_err());
    let two = HashMap::from(["a", "b"].map(|name| (name.to_owned(), AttributeValue::Null(true))));
    let item = HashMap::from([("kind".to_owned(), AttributeValue::M(two))]);
    assert!(read::<BTreeMap<String, Kind>>(item.into()).is_err(), "a variant must have one name");
    let texts = HashMap::from([("a".to_owned(), AttributeValue::S("1".to_owned()))]);
    assert!(read::<BTreeMap<String, u128>>(texts.clone().into()).is_err());
    assert!(read::<BTreeMap<String, Vec<u8>>>(texts.into()).is_err());
}
