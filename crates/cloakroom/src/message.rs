//! Typed messages.

use serde::{Serialize, de::DeserializeOwned};

use crate::Partition;

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
pub trait State: Serialize + DeserializeOwned + Default + Send + 'static {}

impl<S: Serialize + DeserializeOwned + Default + Send + 'static> State for S {}
