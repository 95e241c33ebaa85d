//! The business of every contestant: an order is counted in the ledger of its entity, and leads to one reservation.

use cloakroom::{Message, Partition};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::{LoadSettings, skew::Skew};

/// What comes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number, in decimal digits: the message's identity.
    pub id: String,
    /// The entity.
    pub entity: u32,
    /// Makes it as long as payloads are to be.
    pub padding: String,
}

/// What goes out: as long as the order that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The order's id.
    pub id: String,
    /// The order's entity.
    pub entity: u32,
    /// The order's padding.
    pub padding: String,
}

impl Message for Order {
    const TYPE: &'static str = "bench.order";
    fn partition(&self) -> Partition {
        partition(self.entity)
    }
}

impl Message for Reservation {
    const TYPE: &'static str = "bench.reservation";
    fn partition(&self) -> Partition {
        Partition::new(format!("stock#{}", self.entity))
    }
}

impl From<Order> for Reservation {
    fn from(Order { id, entity, padding }: Order) -> Self {
        Self { id, entity, padding }
    }
}

const PREFIX: &str = "entity#";

pub(crate) fn partition(entity: u32) -> Partition {
    Partition::new(format!("{PREFIX}{entity}"))
}

/// The entity that a partition is of.
pub(crate) fn entity(partition: &str) -> Option<u32> {
    partition.strip_prefix(PREFIX)?.parse().ok()
}

/// The state of an entity. It does not grow, and still tells what was lost or counted twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// How many orders were applied.
    pub applied: u64,
    /// A sum over the numbers of all that were.
    pub checksum: u64,
}

impl Ledger {
    /// Applies the order of this number.
    pub const fn apply(&mut self, number: u64) {
        self.applied += 1;
        self.checksum = self.checksum.wrapping_add(mixed(number));
    }
}

/// SplitMix64's last step: sums of it differ if their terms do, but for one chance in 2^64.
const fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Orders without end: the same ones for every contestant.
#[derive(Debug)]
pub(crate) struct Orders {
    skew: Skew,
    rng: Rng,
    payload_bytes: usize,
}

impl Orders {
    pub(crate) fn new(load: &LoadSettings) -> Self {
        let (skew, rng) = (Skew::new(load.entities, load.skew), Rng::with_seed(load.seed));
        Self { skew, rng, payload_bytes: load.payload_bytes }
    }

    pub(crate) fn entity(&mut self) -> u32 {
        self.skew.draw(&mut self.rng)
    }

    pub(crate) fn order(&self, number: u64, entity: u32) -> Order {
        let id = number.to_string();
        let around = r#"{"id":"","entity":,"padding":""}"#.len() + id.len() + entity.to_string().len();
        Order { id, entity, padding: "x".repeat(self.payload_bytes.saturating_sub(around)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_as_long_as_it_was_asked_for() {
        let load = LoadSettings { payload_bytes: 100, ..LoadSettings::default() };
        let order = Orders::new(&load).order(1_234_567, 999_999);
        assert_eq!(serde_json::to_string(&order).unwrap().len(), 100);
        assert_eq!(serde_json::to_string(&Reservation::from(order)).unwrap().len(), 100);
    }

    #[test]
    fn the_checksum_tells_orders_apart() {
        let sum = |numbers: &[u64]| {
            let mut ledger = Ledger::default();
            numbers.iter().for_each(|number| ledger.apply(*number));
            ledger
        };
        assert_eq!(sum(&[1, 2, 3]), sum(&[3, 1, 2]));
        assert_ne!(sum(&[1, 4]), sum(&[2, 3]));
    }
}
