//! Billing: one entity a customer, who has a credit. What goes beyond it, or is too large at a time, is refused.

use cloakroom::{Endpoint, EndpointBuilder, Handled, Tx};
use serde::{Deserialize, Serialize};

use super::message;

/// What every customer may owe.
const CREDIT_CENTS: u64 = 150_000;
/// What a single payment may be.
const PAYMENT_CENTS_MAX: u64 = 45_000;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChargePayment {
    pub(crate) customer: String,
    pub(crate) order: String,
    pub(crate) amount_cents: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PaymentAccepted {
    pub(crate) order: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PaymentRefused {
    pub(crate) order: String,
}

message!(ChargePayment, "billing.charge", "customer", customer);
message!(PaymentAccepted, "billing.accepted", "order", order);
message!(PaymentRefused, "billing.refused", "order", order);

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) charged_cents: u64,
    pub(crate) refused: u64,
}

pub(crate) fn endpoint() -> EndpointBuilder<Account> {
    Endpoint::builder("billing").on(charge)
}

async fn charge(account: &mut Account, charge: ChargePayment, tx: &mut Tx) -> Handled {
    let ChargePayment { order, amount_cents, .. } = charge;
    if amount_cents > PAYMENT_CENTS_MAX || account.charged_cents + amount_cents > CREDIT_CENTS {
        account.refused += 1;
        tx.reply(PaymentRefused { order });
        return Ok(());
    }
    account.charged_cents += amount_cents;
    tx.reply(PaymentAccepted { order });
    Ok(())
}
