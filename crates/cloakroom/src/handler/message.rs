//! Message types and state types.

use serde::{Serialize, de::DeserializeOwned};

use crate::format::name::Partition;

/// A message type. It has a name in the envelope, and it determines the partition at the receiver.
///
/// ```
/// use cloakroom::{Message, Partition};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct ReserveStock { sku: String, quantity: u32 }
///
/// impl Message for ReserveStock {
///     const TYPE: &'static str = "stock.reserve";
///     fn partition(&self) -> Partition {
///         Partition::new(format!("sku#{}", self.sku))
///     }
/// }
/// ```
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The CloudEvents `type`. If it is changed, messages in flight have an unknown type.
    const TYPE: &'static str;

    /// Returns the partition of the receiver's entity.
    fn partition(&self) -> Partition;
}

/// The state of an entity: a struct or map that serde can turn into DynamoDB attributes. `Default`
/// is the state of an entity that does not exist yet.
///
/// # What cannot be stored
///
/// DynamoDB cannot store the following values. A message whose handler produces one is rejected
/// before the commit. The reason names the attribute by its path.
///
/// - an empty set, or a set that has a member twice (such as `serde_dynamo::string_set`)
/// - an attribute, or a key of a map, with an empty name or a name of more than 65,535 bytes
/// - infinity and `NaN`, a number other than 0 with a magnitude below 1e-130 or from 1e126, or more
///   than 38 significant digits: the largest values of `u128` and `i128` do not fit
/// - more than 32 levels of lists and maps, counting the attribute itself as the first
///
/// # Values that change
///
/// DynamoDB has fewer types than Rust. A type with definite fields reads the values that it wrote.
/// A type that accepts any value (`serde_json::Value`, untagged enums, flattened structs) reads a
/// number without a fraction as an integer, and an integer of more than 64 bits as a rounded one.
/// `Some` of a value that is written as null is read as `None`. Sets and maps have no order.
/// DynamoDB turns `-0.0` into `0`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use serde_json::{Value, json};
///
/// #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
/// struct Reading {
///     typed: f64,
///     any: Value,
///     asked: Option<Option<u32>>,
///     done: Option<()>,
///     noted: Option<Value>,
/// }
///
/// let written = Reading { typed: 1.0, any: json!([1.0, 0.5]), asked: Some(None), done: Some(()), noted: Some(Value::Null) };
/// let item: cloakroom::format::Item = serde_dynamo::to_item(&written)?;
/// let read: Reading = serde_dynamo::from_item(item)?;
/// assert_eq!(read, Reading { typed: 1.0, any: json!([1, 0.5]), asked: None, done: None, noted: None });
/// # Ok::<(), serde_dynamo::Error>(())
/// ```
pub trait State: Serialize + DeserializeOwned + Default + Send + 'static {}

impl<S: Serialize + DeserializeOwned + Default + Send + 'static> State for S {}
