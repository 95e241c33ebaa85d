//! Orders: one entity per order. An order requests stock, then payment. It ends as shipped or as cancelled (out of
//! stock, or unpaid).

use cloakroom::{Endpoint, Handled, HandlerError, Tx, endpoint::EndpointBuilder};
use serde::{Deserialize, Serialize};

use crate::{
    billing::{ChargePayment, PaymentAccepted, PaymentRefused},
    message,
    stock::{ReleaseStock, ReserveStock, ShipStock, StockRefused, StockReserved},
};

/// An order of a customer: a line of the input, and the first message of its conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// The order's id.
    pub order: String,
    /// The customer.
    pub customer: String,
    /// The article.
    pub sku: String,
    /// The number of units.
    pub quantity: u64,
    /// The price of a unit.
    pub unit_price_cents: u64,
}

message!(PlaceOrder, "orders.place", "order", order);

/// The status of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The order was never placed.
    #[default]
    Absent,
    /// The order waits for stock.
    Placed,
    /// The order has stock, and waits for payment.
    Reserved,
    /// Final: the order is paid and shipped.
    Shipped,
    /// Final: there was not enough stock.
    OutOfStock,
    /// Final: the payment was refused.
    Unpaid,
}

/// The state of an order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Order {
    /// The order's id.
    pub order: String,
    /// The customer.
    pub customer: String,
    /// The article.
    pub sku: String,
    /// The number of units.
    pub quantity: u64,
    /// The total price.
    pub amount_cents: u64,
    /// The status.
    pub state: Status,
    /// How many times the order reached a final status: once, if the books balance.
    pub ended: u64,
}

/// Returns the builder of the service's endpoint.
pub fn endpoint() -> EndpointBuilder<Order> {
    Endpoint::builder("orders")
        .on(place)
        .on(stock_reserved)
        .on(stock_refused)
        .on(payment_accepted)
        .on(payment_refused)
        .route::<ReserveStock>("stock")
        .route::<ShipStock>("stock")
        .route::<ReleaseStock>("stock")
        .route::<ChargePayment>("billing")
}

async fn place(order: &mut Order, new: PlaceOrder, tx: &mut Tx) -> Handled {
    if order.state != Status::Absent {
        return Err(HandlerError::reject(format!("order `{}` was placed before, by another message", new.order)));
    }
    let PlaceOrder { order: id, customer, sku, quantity, unit_price_cents } = new;
    let Some(amount_cents) = quantity.checked_mul(unit_price_cents) else {
        return Err(HandlerError::reject(format!("order `{id}` costs more than can be counted")));
    };
    tx.send(ReserveStock { sku: sku.clone(), order: id.clone(), quantity });
    *order = Order { order: id, customer, sku, quantity, amount_cents, state: Status::Placed, ended: 0 };
    Ok(())
}

async fn stock_reserved(order: &mut Order, _: StockReserved, tx: &mut Tx) -> Handled {
    order.state = Status::Reserved;
    tx.send(ChargePayment {
        customer: order.customer.clone(),
        order: order.order.clone(),
        amount_cents: order.amount_cents,
    });
    Ok(())
}

async fn stock_refused(order: &mut Order, _: StockRefused, _: &mut Tx) -> Handled {
    order.end(Status::OutOfStock);
    Ok(())
}

async fn payment_accepted(order: &mut Order, _: PaymentAccepted, tx: &mut Tx) -> Handled {
    order.end(Status::Shipped);
    tx.send(ShipStock { sku: order.sku.clone(), order: order.order.clone() });
    Ok(())
}

/// The compensation: releases the reserved stock.
async fn payment_refused(order: &mut Order, _: PaymentRefused, tx: &mut Tx) -> Handled {
    order.end(Status::Unpaid);
    tx.send(ReleaseStock { sku: order.sku.clone(), order: order.order.clone() });
    Ok(())
}

impl Status {
    /// Returns how many messages the order has processed when it has this status.
    pub(crate) const fn own_messages(self) -> u64 {
        match self {
            Self::Absent => 0,
            // place
            Self::Placed => 1,
            // place, stock reserved or refused
            Self::Reserved | Self::OutOfStock => 2,
            // place, stock reserved, payment accepted or refused
            Self::Shipped | Self::Unpaid => 3,
        }
    }

    /// Returns how many messages the stock of the order's SKU has processed for it.
    pub(crate) const fn stock_messages(self) -> u64 {
        match self {
            Self::Absent | Self::Placed => 0,
            // reserve
            Self::Reserved | Self::OutOfStock => 1,
            // reserve, ship or release
            Self::Shipped | Self::Unpaid => 2,
        }
    }

    /// Returns how many messages the customer's account has processed for the order.
    pub(crate) const fn billing_messages(self) -> u64 {
        match self {
            Self::Absent | Self::Placed | Self::Reserved | Self::OutOfStock => 0,
            // charge
            Self::Shipped | Self::Unpaid => 1,
        }
    }

    /// Whether this status is final.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Absent | Self::Placed | Self::Reserved => false,
            Self::Shipped | Self::OutOfStock | Self::Unpaid => true,
        }
    }
}

impl Order {
    fn end(&mut self, state: Status) {
        self.state = state;
        self.ended += 1;
    }
}
