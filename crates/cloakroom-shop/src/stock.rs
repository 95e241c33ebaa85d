//! Stock: one entity a SKU. A few SKUs are in every other order, so their partitions are contended.

use std::collections::BTreeMap;

use cloakroom::{Endpoint, Handled, Tx, endpoint::EndpointBuilder};
use serde::{Deserialize, Serialize};

use crate::message;

/// What every SKU begins with, in units.
pub const STOCK_AT_FIRST: u64 = 2_000;

/// Asks to set units aside.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReserveStock {
    /// Of which SKU.
    pub sku: String,
    /// For which order.
    pub order: String,
    /// How many.
    pub quantity: u64,
}

/// Ships what was set aside.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShipStock {
    /// Of which SKU.
    pub sku: String,
    /// For which order.
    pub order: String,
}

/// Puts back what was set aside.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReleaseStock {
    /// Of which SKU.
    pub sku: String,
    /// For which order.
    pub order: String,
}

/// The reply: units are set aside.
#[derive(Debug, Serialize, Deserialize)]
pub struct StockReserved {
    /// For which order.
    pub order: String,
}

/// The reply: there are not enough.
#[derive(Debug, Serialize, Deserialize)]
pub struct StockRefused {
    /// For which order.
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
    /// What can be set aside.
    pub available: u64,
    /// What is set aside, by order.
    pub reserved: BTreeMap<String, u64>,
    /// What is gone.
    pub shipped: u64,
}

impl Default for Stock {
    fn default() -> Self {
        Self { available: STOCK_AT_FIRST, reserved: BTreeMap::new(), shipped: 0 }
    }
}

/// The service.
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
