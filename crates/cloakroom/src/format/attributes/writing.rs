//! The serializer that writes values as attributes.

use std::collections::HashMap;

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_dynamo::{AttributeValue, Error, Serializer as Plain};

type Written = Result<AttributeValue, Error>;

/// The serializer of one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer;

/// Methods that pass values without nested values to `serde_dynamo`.
macro_rules! plain {
    ($($method:ident: $type:ty),+ $(,)?) => {
        $(
            fn $method(self, value: $type) -> Written {
                Plain.$method(value)
            }
        )+
    };
}

impl Serializer for Writer {
    type Ok = AttributeValue;
    type Error = Error;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = List;
    type SerializeTupleVariant = List;
    type SerializeMap = Map;
    type SerializeStruct = Map;
    type SerializeStructVariant = Map;

    plain! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str,
    }

    fn serialize_i128(self, value: i128) -> Written {
        Ok(AttributeValue::N(value.to_string()))
    }

    fn serialize_u128(self, value: u128) -> Written {
        Ok(AttributeValue::N(value.to_string()))
    }

    fn serialize_none(self) -> Written {
        Plain.serialize_none()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Written {
        Plain.serialize_unit()
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Written {
        Plain.serialize_unit_variant(name, index, variant)
    }

    /// Writes a newtype, which may be one of the set wrappers of `serde_dynamo`. The names of these
    /// wrappers are private to `serde_dynamo`. So an empty list is written in the wrapper, and the
    /// type of the result shows the kind of set.
    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, name: &'static str, value: &T) -> Written {
        let value = value.serialize(self)?;
        let wrapped = Plain.serialize_newtype_struct(name, &[(); 0])?;
        let AttributeValue::L(list) = value else { return Ok(value) };
        if matches!(wrapped, AttributeValue::Ss(_)) {
            list.into_iter().map(text).collect::<Result<_, _>>().map(AttributeValue::Ss)
        } else if matches!(wrapped, AttributeValue::Ns(_)) {
            list.into_iter().map(number).collect::<Result<_, _>>().map(AttributeValue::Ns)
        } else if matches!(wrapped, AttributeValue::Bs(_)) {
            list.into_iter().map(bytes).collect::<Result<_, _>>().map(AttributeValue::Bs)
        } else {
            Ok(AttributeValue::L(list))
        }
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        Ok(of_variant(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<List, Error> {
        Ok(List { variant: None, values: Vec::with_capacity(length.unwrap_or(0)) })
    }

    fn serialize_tuple(self, length: usize) -> Result<List, Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<List, Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<List, Error> {
        Ok(List { variant: Some(variant), values: Vec::with_capacity(length) })
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Map, Error> {
        Ok(Map { variant: None, key: None, values: HashMap::with_capacity(length.unwrap_or(0)) })
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Map, Error> {
        self.serialize_map(Some(length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Map, Error> {
        Ok(Map { variant: Some(variant), key: None, values: HashMap::with_capacity(length) })
    }
}

fn text(value: AttributeValue) -> Result<String, Error> {
    let AttributeValue::S(text) = value else { return Err(other_member()) };
    Ok(text)
}

fn number(value: AttributeValue) -> Result<String, Error> {
    let AttributeValue::N(digits) = value else { return Err(other_member()) };
    Ok(digits)
}

fn bytes(value: AttributeValue) -> Result<Vec<u8>, Error> {
    let AttributeValue::B(bytes) = value else { return Err(other_member()) };
    Ok(bytes)
}

fn other_member() -> Error {
    Error::custom("a set has a member whose type differs from the type of the set")
}

fn of_variant(variant: Option<&'static str>, value: AttributeValue) -> AttributeValue {
    match variant {
        None => value,
        Some(variant) => AttributeValue::M(HashMap::from([(variant.to_owned(), value)])),
    }
}

/// A list, or the values of a tuple variant.
pub(super) struct List {
    variant: Option<&'static str>,
    values: Vec<AttributeValue>,
}

impl List {
    fn push<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.values.push(value.serialize(Writer)?);
        Ok(())
    }

    fn done(self) -> AttributeValue {
        of_variant(self.variant, AttributeValue::L(self.values))
    }
}

/// Implements the `serde` traits that fill a list.
macro_rules! list {
    ($($trait:ident::$method:ident),+) => {
        $(
            impl $trait for List {
                type Ok = AttributeValue;
                type Error = Error;

                fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
                    self.push(value)
                }

                fn end(self) -> Written {
                    Ok(self.done())
                }
            }
        )+
    };
}
list!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

/// A map, or the fields of a struct variant.
pub(super) struct Map {
    variant: Option<&'static str>,
    /// The key whose value has not been written yet.
    key: Option<String>,
    values: HashMap<String, AttributeValue>,
}

impl Map {
    fn insert<T: ?Sized + Serialize>(&mut self, key: String, value: &T) -> Result<(), Error> {
        self.values.insert(key, value.serialize(Writer)?);
        Ok(())
    }

    fn done(self) -> AttributeValue {
        of_variant(self.variant, AttributeValue::M(self.values))
    }
}

/// Returns a map key as `serde_dynamo` writes it.
fn key_text<K: ?Sized + Serialize>(key: &K) -> Result<String, Error> {
    let mut map = Plain.serialize_map(Some(1))?;
    map.serialize_entry(key, &())?;
    let AttributeValue::M(map) = map.end()? else { return Err(Error::custom("`serde_dynamo` wrote no map")) };
    map.into_keys().next().ok_or_else(|| Error::custom("`serde_dynamo` wrote no map key"))
}

impl SerializeMap for Map {
    type Ok = AttributeValue;
    type Error = Error;

    fn serialize_key<K: ?Sized + Serialize>(&mut self, key: &K) -> Result<(), Error> {
        self.key = Some(key_text(key)?);
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        let key = self.key.take().ok_or_else(|| Error::custom("a map value has no key"))?;
        self.insert(key, value)
    }

    fn end(self) -> Written {
        Ok(self.done())
    }
}

/// Implements the `serde` traits that fill the fields of a struct.
macro_rules! fields {
    ($($trait:ident),+) => {
        $(
            impl $trait for Map {
                type Ok = AttributeValue;
                type Error = Error;

                fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
                    self.insert(name.to_owned(), value)
                }

                fn end(self) -> Written {
                    Ok(self.done())
                }
            }
        )+
    };
}
fields!(SerializeStruct, SerializeStructVariant);
