//! Stock: one entity per SKU. A few SKUs are in half of all orders, so workers contend for their partitions.

use std::collections::BTreeMap;

use cloakroom::{Endpoint, Handled, Tx, endpoint::EndpointBuilder};
use serde::{Deserialize, Serialize};

use crate::message;

/// The initial stock of each SKU, in units.
pub const STOCK_AT_FIRST: u64 = 2_000;

/// A request to reserve units.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReserveStock {
    /// The SKU.
    pub sku: String,
    /// The order.
    pub order: String,
    /// The number of units.
    pub quantity: u64,
}

/// A request to ship the reserved units.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShipStock {
    /// The SKU.
    pub sku: String,
    /// The order.
    pub order: String,
}

/// A request to release the reserved units.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReleaseStock {
    /// The SKU.
    pub sku: String,
    /// The order.
    pub order: String,
}

/// The reply: the units are reserved.
#[derive(Debug, Serialize, Deserialize)]
pub struct StockReserved {
    /// The order.
    pub order: String,
}

/// The reply: there are not enough units.
#[derive(Debug, Serialize, Deserialize)]
pub struct StockRefused {
    /// The order.
    pub order: String,
}

message!(ReserveStock, "stock.reserve", "sku", sku);
message!(ShipStock, "stock.ship", "sku", sku);
message!(ReleaseStock, "stock.release", "sku", sku);
message!(StockReserved, "stock.reserved", "order", order);
message!(StockRefused, "stock.refused", "order", order);

/// The state of a SKU, in units.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stock {
    /// Units that can be reserved.
    pub available: u64,
    /// Reserved units, by order.
    pub reserved: BTreeMap<String, u64>,
    /// Shipped units.
    pub shipped: u64,
}

impl Default for Stock {
    fn default() -> Self {
        Self { available: STOCK_AT_FIRST, reserved: BTreeMap::new(), shipped: 0 }
    }
}

/// Returns the builder of the service's endpoint.
pub fn endpoint() -> EndpointBuilder<Stock> {
    Endpoint::builder("stock").on(reserve).on(ship).on(release)
}

async fn reserve(stock: &mut Stock, ReserveStock { order, quantity, .. }: ReserveStock, tx: &mut Tx) -> Handled {
    if stock.available < quantity {
        tx.reply(StockRefused { order });
        return Ok(());
    }
    stock.available -= quantity;
    stock.reserved.insert(order.clone(), quantity);
    tx.reply(StockReserved { order });
    Ok(())
}

async fn ship(stock: &mut Stock, ShipStock { order, .. }: ShipStock, _: &mut Tx) -> Handled {
    stock.shipped += stock.reserved.remove(&order).unwrap_or(0);
    Ok(())
}

async fn release(stock: &mut Stock, ReleaseStock { order, .. }: ReleaseStock, _: &mut Tx) -> Handled {
    stock.available += stock.reserved.remove(&order).unwrap_or(0);
    Ok(())
}
