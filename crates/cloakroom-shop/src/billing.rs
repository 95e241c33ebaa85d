//! Billing: one entity per customer, with a credit limit. A payment beyond the limit, or above the largest single
//! payment, is refused.

use cloakroom::{Endpoint, Handled, Tx, endpoint::EndpointBuilder};
use serde::{Deserialize, Serialize};

use crate::message;

/// The credit limit of each customer.
const CREDIT_CENTS: u64 = 150_000;
/// The largest single payment.
const PAYMENT_CENTS_MAX: u64 = 45_000;

/// A request to charge a customer.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChargePayment {
    /// The customer to charge.
    pub customer: String,
    /// The order to pay for.
    pub order: String,
    /// The amount.
    pub amount_cents: u64,
}

/// The reply: the payment is accepted.
#[derive(Debug, Serialize, Deserialize)]
pub struct PaymentAccepted {
    /// The order that was paid for.
    pub order: String,
}

/// The reply: the payment is refused.
#[derive(Debug, Serialize, Deserialize)]
pub struct PaymentRefused {
    /// The order that was to be paid for.
    pub order: String,
}

message!(ChargePayment, "billing.charge", "customer", customer);
message!(PaymentAccepted, "billing.accepted", "order", order);
message!(PaymentRefused, "billing.refused", "order", order);

/// The state of a customer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// What the customer owes.
    pub charged_cents: u64,
    /// How many payments were refused.
    pub refused: u64,
}

/// The service.
pub fn endpoint() -> EndpointBuilder<Account> {
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
