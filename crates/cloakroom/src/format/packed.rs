//! The attribute that contains embedded records: a readable map of strings, or the compressed map
//! if that saves a write unit. The records of a fold differ only in their claims and ids, so they
//! compress well.

use std::{
    collections::{BTreeMap, HashMap},
    io::{Read as _, Write as _},
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde_dynamo::AttributeValue;

use crate::format::{name::MessageId, schema::attribute};

/// Encoded records, by message.
pub(crate) type Records = BTreeMap<MessageId, String>;

/// The size of a DynamoDB write unit.
const WRITE_UNIT_BYTES: usize = 1024;
/// The maximum decompressed size. It bounds the memory that a manipulated item can use. Real
/// records stay far below it.
const UNPACKED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Returns the attribute of these records for an item that has `other_bytes` bytes without it.
pub(crate) fn records(records: Records, other_bytes: usize) -> AttributeValue {
    let units = |bytes: usize| (other_bytes + attribute::RECORDS.len() + bytes).div_ceil(WRITE_UNIT_BYTES);
    // DynamoDB counts 3 bytes for the map and 1 byte for each entry.
    let plain: usize = 3 + records.iter().map(|(message, text)| 1 + message.as_str().len() + text.len()).sum::<usize>();
    if units(plain) > 1
        && let Some(packed) = pack(&records).filter(|packed| units(packed.len()) < units(plain))
    {
        return AttributeValue::B(packed);
    }
    let texts = records.into_iter().map(|(message, text)| (message.to_string(), AttributeValue::S(text)));
    AttributeValue::M(texts.collect::<HashMap<_, _>>())
}

fn pack(records: &Records) -> Option<Vec<u8>> {
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
    let text = serde_json::to_vec(records).ok()?;
    // SUBTLE: records that `read` refuses must not be written. (1) A commit packs records of more
    // than the maximum size. (2) Every later read of the state fails. No worker could ever commit
    // to the entity again (`records_over_the_decompressed_limit_are_not_packed`).
    if text.len() as u64 > UNPACKED_BYTES_MAX {
        return None;
    }
    packed.write_all(&text).ok()?;
    packed.finish().ok()
}

/// Reads the records from an attribute that [`records`] has written.
///
/// # Errors
/// A text that describes what is wrong with the attribute.
pub(crate) fn read(attribute: &AttributeValue) -> Result<Records, String> {
    if let AttributeValue::M(map) = attribute {
        let read = |(message, text): (&String, &AttributeValue)| {
            let AttributeValue::S(text) = text else {
                return Err(format!("the record of `{message}` is not a string"));
            };
            Ok((message.as_str().into(), text.clone()))
        };
        return map.iter().map(read).collect();
    }
    let AttributeValue::B(packed) = attribute else { return Err("it is neither a map nor binary".to_owned()) };
    let mut text = Vec::new();
    let unpacked = DeflateDecoder::new(&packed[..]).take(UNPACKED_BYTES_MAX).read_to_end(&mut text);
    unpacked.map_err(|error| format!("the packed record map cannot be decompressed: {error}"))?;
    serde_json::from_slice(&text)
        .map_err(|error| format!("the decompressed record map is not a map of strings: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_records(count: u128) -> Records {
        let text = |number: u128| {
            let claim = format!("{:032x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c15_3f84_d5b5));
            format!(
                r#"{{"queue":"pongs","specversion":"1.0","type":"pong","partitionkey":"player#1","dataref":"{claim}"}}"#
            )
        };
        (0..count).map(|number| (format!("m-{number}").into(), text(number))).collect()
    }

    #[test]
    fn records_are_packed_if_that_saves_a_unit() {
        for (count, is_packed) in [(1, false), (5, false), (20, true)] {
            let records = some_records(count);
            let attribute = crate::format::packed::records(records.clone(), 100);
            assert_eq!(matches!(attribute, AttributeValue::B(_)), is_packed, "{count} records");
            assert_eq!(read(&attribute), Ok(records));
        }
    }

    #[test]
    fn records_over_the_decompressed_limit_are_not_packed() {
        let large = usize::try_from(UNPACKED_BYTES_MAX).expect("a size");
        let records = Records::from([("m".into(), "x".repeat(large))]);
        assert!(
            read(&crate::format::packed::records(records.clone(), 100)).as_ref() == Ok(&records),
            "the written records cannot be read"
        );
    }

    #[test]
    fn packed_attribute_that_is_not_a_map_of_strings_is_refused() {
        let odd = AttributeValue::M(HashMap::from([("m".to_owned(), AttributeValue::Bool(true))]));
        assert!(read(&odd).unwrap_err().contains("`m`"));
        assert!(read(&AttributeValue::B(vec![0xff; 9])).unwrap_err().contains("packed"));
        assert!(read(&AttributeValue::Null(true)).is_err());
    }
}
