//! Typed messages.

use serde::{Serialize, de::DeserializeOwned};

use crate::format::name::Partition;

/// A message type: how it is called on the wire, and which partition its receiver keeps it in.
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
    /// The CloudEvents `type`. Changing it makes messages in flight unknown.
    const TYPE: &'static str;

    /// The receiver's partition.
    fn partition(&self) -> Partition;
}

/// The state of an entity: anything that serde can turn into DynamoDB attributes, a struct or a map.
/// `Default` is the state of an entity that does not exist yet.
///
/// # What cannot be stored
///
/// DynamoDB stores none of these. The message is rejected before the commit, and the reason names the attribute by its path:
///
/// - an empty set, and a set with one member twice (`serde_dynamo::string_set` and its like);
/// - an attribute, or a key of a map, without a name, or with more than 65,535 bytes;
/// - infinities and `NaN`, numbers other than 0 with a magnitude below 1e-130 or from 1e126 on, and more than 38
///   significant digits, so that the largest values of `u128` and `i128` do not fit;
/// - more than 32 levels of lists and maps, the attribute itself being the first.
///
/// # What changes on the way
///
/// Attributes know fewer types than Rust. A type that says what it expects reads what it wrote; one that takes what comes
/// (`serde_json::Value`, untagged enums, flattened structs) reads a number without a fraction as an integer, and an integer
/// of more than 64 bits as a rounded one. What was `Some` of
/// something that is written as null is `None` afterwards. Sets and maps have no order. DynamoDB makes `0` of `-0.0`.
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
