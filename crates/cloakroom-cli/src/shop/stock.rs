//! Stock: one entity a SKU. A few SKUs are in every other order, so their partitions are contended.

use std::collections::BTreeMap;

use cloakroom::{Endpoint, EndpointBuilder, Handled, Tx};
use serde::{Deserialize, Serialize};

use super::message;

/// What every SKU begins with.
pub(crate) const STOCK_AT_FIRST: u64 = 2_000;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReserveStock {
    pub(crate) sku: String,
    pub(crate) order: String,
    pub(crate) quantity: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShipStock {
    pub(crate) sku: String,
    pub(crate) order: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReleaseStock {
    pub(crate) sku: String,
    pub(crate) order: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StockReserved {
    pub(crate) order: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StockRefused {
    pub(crate) order: String,
}

message!(ReserveStock, "stock.reserve", "sku", sku);
message!(ShipStock, "stock.ship", "sku", sku);
message!(ReleaseStock, "stock.release", "sku", sku);
message!(StockReserved, "stock.reserved", "order", order);
message!(StockRefused, "stock.refused", "order", order);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stock {
    pub(crate) available: u64,
    /// By order.
    pub(crate) reserved: BTreeMap<String, u64>,
    pub(crate) shipped: u64,
}

impl Default for Stock {
    fn default() -> Self {
        Self { available: STOCK_AT_FIRST, reserved: BTreeMap::new(), shipped: 0 }
    }
}

pub(crate) fn endpoint() -> EndpointBuilder<Stock> {
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
