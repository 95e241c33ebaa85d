//! An unlimited supply of orders: the sample is repeated in rounds, each with other customers and
//! other articles. So the state of an entity does not grow with the length of the soak, and stock
//! and credit run out in each round.

use cloakroom_shop::{orders::PlaceOrder, sample};

/// The number of orders in a round, for about 200 articles and 1,500 customers.
const ROUND: usize = 12_000;

pub(crate) struct Supply {
    sample: Vec<PlaceOrder>,
    taken: usize,
    /// The number of orders after which the supply ends.
    orders_max: usize,
}

impl Supply {
    pub(crate) fn new(orders_max: usize) -> Self {
        Self { sample: sample::orders(ROUND), taken: 0, orders_max }
    }

    /// Returns whether there are no more orders.
    pub(crate) const fn is_exhausted(&self) -> bool {
        self.taken == self.orders_max
    }

    /// Returns the next orders, at most `count`.
    pub(crate) fn take(&mut self, count: usize) -> Vec<PlaceOrder> {
        let numbers = self.taken..self.orders_max.min(self.taken + count);
        self.taken = numbers.end;
        numbers.map(|number| self.order(number)).collect()
    }

    fn order(&self, number: usize) -> PlaceOrder {
        let round = number / ROUND;
        let PlaceOrder { order, customer, sku, quantity, unit_price_cents } = self.sample[number % ROUND].clone();
        let named = |name: String| format!("{round}-{name}");
        PlaceOrder { order: named(order), customer: named(customer), sku: named(sku), quantity, unit_price_cents }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn supply_repeats_no_order_and_limits_orders_per_entity() {
        let mut supply = Supply::new(3 * ROUND - 1);
        let (mut orders, mut most) = (BTreeMap::new(), BTreeMap::new());
        while !supply.is_exhausted() {
            for order in supply.take(999) {
                *most.entry(order.sku).or_insert(0) += 1;
                *orders.entry(order.order).or_insert(0) += 1;
            }
        }
        assert_eq!((orders.len(), orders.into_values().max()), (3 * ROUND - 1, Some(1)));
        // The most frequent article is in every sixth order.
        assert!(most.into_values().max() < Some(ROUND / 5));
        assert!(supply.take(1).is_empty());
    }
}
