//! The business logic of every contestant: an order is counted in the ledger of its entity, and one
//! reservation is sent.

use cloakroom::{Message, Partition};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::{skew::Skew, workload::LoadSettings};

/// The incoming message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number in decimal digits, which is the message's identity.
    pub id: String,
    /// The entity.
    pub entity: u32,
    /// Padding up to the payload size of the workload.
    pub padding: String,
}

/// The outgoing message. It is as long as its order.
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

/// Returns the entity of a partition.
pub(crate) fn entity(partition: &str) -> Option<u32> {
    partition.strip_prefix(PREFIX)?.parse().ok()
}

/// The state of an entity. Its size is constant, and it still shows lost and doubled orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The number of orders that were applied.
    pub applied: u64,
    /// A checksum of their numbers.
    pub checksum: u64,
}

impl Ledger {
    /// Applies the order with this number.
    pub const fn apply(&mut self, number: u64) {
        self.applied += 1;
        self.checksum = self.checksum.wrapping_add(mixed(number));
    }
}

/// Returns the last step of SplitMix64. Sums over different numbers differ, except with a
/// probability of 2^-64.
const fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An unlimited sequence of orders, the same for every contestant.
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
    fn ledger_checksum_distinguishes_orders() {
        let sum = |numbers: &[u64]| {
            let mut ledger = Ledger::default();
            numbers.iter().for_each(|number| ledger.apply(*number));
            ledger
        };
        assert_eq!(sum(&[1, 2, 3]), sum(&[3, 1, 2]));
        assert_ne!(sum(&[1, 4]), sum(&[2, 3]));
    }
}
