//! The deserializer that reads values from attributes.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor,
    value::{MapDeserializer, SeqDeserializer},
};
use serde_dynamo::{AttributeValue, Deserializer as Plain, Error};

/// The value of one attribute.
pub(super) struct Attribute(pub(super) AttributeValue);

impl Attribute {
    fn plain(self) -> Plain {
        Plain::from_attribute_value(self.0)
    }
}

impl<'de> IntoDeserializer<'de, Error> for Attribute {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Methods that pass values without nested values to `serde_dynamo`.
macro_rules! plain {
    ($($method:ident)+) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                self.plain().$method(visitor)
            }
        )+
    };
}

impl<'de> Deserializer<'de> for Attribute {
    type Error = Error;

    plain! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            AttributeValue::M(_) => self.deserialize_map(visitor),
            AttributeValue::L(_) | AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_) => {
                self.deserialize_seq(visitor)
            }
            AttributeValue::N(_)
            | AttributeValue::S(_)
            | AttributeValue::Bool(_)
            | AttributeValue::B(_)
            | AttributeValue::Null(_) => self.plain().deserialize_any(visitor),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i128(integer(self.0)?)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u128(integer(self.0)?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0 == AttributeValue::Null(true) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.plain().deserialize_unit_struct(name, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let values = match self.0 {
            AttributeValue::L(values) => values,
            AttributeValue::Ss(set) => set.into_iter().map(AttributeValue::S).collect(),
            AttributeValue::Ns(set) => set.into_iter().map(AttributeValue::N).collect(),
            AttributeValue::Bs(set) => set.into_iter().map(AttributeValue::B).collect(),
            AttributeValue::N(_)
            | AttributeValue::S(_)
            | AttributeValue::Bool(_)
            | AttributeValue::B(_)
            | AttributeValue::Null(_)
            | AttributeValue::M(_) => return self.plain().deserialize_seq(visitor),
        };
        visitor.visit_seq(SeqDeserializer::new(values.into_iter().map(Attribute)))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let AttributeValue::M(map) = self.0 else { return self.plain().deserialize_map(visitor) };
        visitor.visit_map(MapDeserializer::new(map.into_iter().map(|(key, value)| (Key(key), Attribute(value)))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match matches!(self.0, AttributeValue::L(_)) {
            true => self.deserialize_seq(visitor),
            false => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let AttributeValue::M(map) = self.0 else { return self.plain().deserialize_enum(name, variants, visitor) };
        let mut entries = map.into_iter();
        match (entries.next(), entries.next()) {
            (Some((variant, value)), None) => visitor.visit_enum(Variant(variant, value)),
            _ => Err(Error::custom("an enum variant must be a map with one entry, whose key is the variant's name")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(value: AttributeValue) -> Result<T, Error> {
    let AttributeValue::N(digits) = value else { return Err(Error::custom("expected a number")) };
    digits.parse().map_err(|error| Error::custom(format_args!("`{digits}` is not an integer of this type: {error}")))
}

/// An enum variant that has a value.
struct Variant(String, AttributeValue);

impl<'de> EnumAccess<'de> for Variant {
    type Error = Error;
    type Variant = Attribute;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Attribute), Error> {
        Ok((seed.deserialize(Key(self.0))?, Attribute(self.1)))
    }
}

impl<'de> VariantAccess<'de> for Attribute {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }
}

/// The key of a map: a string, which may represent an integer, a `bool` or an enum variant.
struct Key(String);

impl<'de> IntoDeserializer<'de, Error> for Key {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Methods for keys whose string represents an integer.
macro_rules! parsed {
    ($($method:ident => $visit:ident),+ $(,)?) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                let invalid = |error| Error::custom(format_args!("map key `{}` cannot be read: {error}", self.0));
                visitor.$visit(self.0.parse().map_err(invalid)?)
            }
        )+
    };
}

impl<'de> Deserializer<'de> for Key {
    type Error = Error;

    parsed! {
        deserialize_i8 => visit_i8, deserialize_i16 => visit_i16, deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64, deserialize_i128 => visit_i128, deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16, deserialize_u32 => visit_u32, deserialize_u64 => visit_u64,
        deserialize_u128 => visit_u128,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let invalid = |error| Error::custom(format_args!("map key `{}` cannot be read: {error}", self.0));
        visitor.visit_bool(self.0.parse().map_err(invalid)?)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        Plain::from_attribute_value(AttributeValue::S(self.0)).deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}
