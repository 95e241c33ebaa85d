//! Orders without end: the sample, again and again, each time of other customers for other articles. So nothing that
//! an entity holds grows with the length of the soak, and stock and credit run out in each round anew.

use cloakroom_shop::{orders::PlaceOrder, sample};

/// Orders of a round; about 200 articles and 1,500 customers share them.
const ROUND: usize = 12_000;

pub(crate) struct Supply {
    sample: Vec<PlaceOrder>,
    taken: usize,
    /// After so many there are no more.
    orders_max: usize,
}

impl Supply {
    pub(crate) fn new(orders_max: usize) -> Self {
        Self { sample: sample::orders(ROUND), taken: 0, orders_max }
    }

    /// Whether there are no more.
    pub(crate) const fn is_exhausted(&self) -> bool {
        self.taken == self.orders_max
    }

    /// The next orders, as many as there are and no more than `count`.
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
    fn no_order_comes_twice_and_no_entity_takes_more_than_a_round() {
        let mut supply = Supply::new(3 * ROUND - 1);
        let (mut orders, mut most) = (BTreeMap::new(), BTreeMap::new());
        while !supply.is_exhausted() {
            for order in supply.take(999) {
                *most.entry(order.sku).or_insert(0) += 1;
                *orders.entry(order.order).or_insert(0) += 1;
            }
        }
        assert_eq!((orders.len(), orders.into_values().max()), (3 * ROUND - 1, Some(1)));
        // The most wanted article is in every sixth order.
        assert!(most.into_values().max() < Some(ROUND / 5));
        assert!(supply.take(1).is_empty());
    }
}
