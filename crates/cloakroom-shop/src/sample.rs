//! The orders that ship with the project, `data/orders.jsonl`, and the code that generated them.

use std::io::{self, Write};

use crate::orders::PlaceOrder;

/// The sample of 12,000 orders, one JSON object per line.
pub const ORDERS: &str = include_str!("../data/orders.jsonl");

const SEED: u64 = 2026;
const SKUS: u32 = 200;
const CUSTOMERS: u32 = 1_500;

/// Generates `count` orders, the same ones each time. SKUs follow Zipf's law, so one of them is in every sixth order.
/// Customers are distributed evenly.
///
/// ```
/// assert_eq!(cloakroom_shop::sample::orders(2)[1].order, "o-00002");
/// ```
pub fn orders(count: usize) -> Vec<PlaceOrder> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let weights: Vec<f64> = (1..=SKUS).map(|rank| 1.0 / f64::from(rank)).collect();
    let total: f64 = weights.iter().sum();
    let sku = move |at: f64| {
        let mut left = at * total;
        weights.iter().position(|weight| {
            left -= weight;
            left <= 0.0
        })
    };
    let order = |number: usize| {
        let rank = sku(random.f64()).unwrap_or(0);
        PlaceOrder {
            order: format!("o-{:05}", number + 1),
            customer: format!("c-{:04}", random.u32(0..CUSTOMERS)),
            sku: format!("sku-{rank:03}"),
            quantity: random.u64(1..=3),
            unit_price_cents: random.u64(5..=200) * 100 - 1,
        }
    };
    (0..count).map(order).collect()
}

/// Writes `count` orders as JSON lines.
///
/// # Errors
/// The output cannot be written.
pub fn write(count: usize, mut output: impl Write) -> io::Result<()> {
    for order in orders(count) {
        writeln!(output, "{}", serde_json::to_string(&order)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sample_is_what_its_generator_makes() {
        let lines = super::ORDERS.lines().count();
        assert!(lines >= 10_000, "{lines} orders");
        let made = super::orders(lines).into_iter().map(|order| serde_json::to_string(&order).expect("JSON"));
        for (line, made) in super::ORDERS.lines().zip(made) {
            assert_eq!(line, made);
        }
    }
}
