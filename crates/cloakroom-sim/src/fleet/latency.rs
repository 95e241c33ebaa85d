//! How long services take to answer: assumptions, all in one place.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// z of the 99th percentile of the normal distribution.
const Z99: f64 = 2.326_347_9;

/// How long one kind of request takes: log-normal, from the middle and the tail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the requests take no longer, in milliseconds.
    pub p50_ms: f64,
    /// 99 of a hundred take no longer, in milliseconds.
    pub p99_ms: f64,
}

impl Latency {
    /// A request that always takes as long.
    pub const fn constant(ms: f64) -> Self {
        Self { p50_ms: ms, p99_ms: ms }
    }

    const fn of(p50_ms: f64, p99_ms: f64) -> Self {
        Self { p50_ms, p99_ms }
    }

    /// The average, in milliseconds.
    pub(crate) fn mean_ms(self) -> f64 {
        self.p50_ms * (self.sigma().powi(2) / 2.0).exp()
    }

    fn sigma(self) -> f64 {
        (self.p99_ms / self.p50_ms).ln() / Z99
    }

    /// Whole milliseconds, because virtual time has no smaller steps.
    pub(crate) fn draw(self, dice: &mut fastrand::Rng) -> Duration {
        let ms = self.p50_ms * (self.sigma() * normal(dice)).exp();
        Duration::from_millis(ms.round().clamp(1.0, 60_000.0) as u64)
    }
}

/// A normally distributed number, after Box and Muller.
fn normal(dice: &mut fastrand::Rng) -> f64 {
    // Not zero, of which there is no logarithm.
    let (radius, angle) = (1.0 - dice.f64(), dice.f64());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// How long the services take, within one region. The defaults are assumptions: round figures of what users publish, not
/// measured, and no promise of AWS. A request takes effect when its answer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latencies {
    /// `GetItem`.
    pub item_get: Latency,
    /// `PutItem`, `UpdateItem` and `DeleteItem`.
    pub item_put: Latency,
    /// `TransactWriteItems`.
    pub transaction: Latency,
    /// `GetObject`.
    pub object_get: Latency,
    /// `PutObject`.
    pub object_put: Latency,
    /// `DeleteObject`.
    pub object_delete: Latency,
    /// `ReceiveMessage`, once there is something to receive.
    pub receive: Latency,
    /// `SendMessageBatch`.
    pub send: Latency,
    /// `DeleteMessageBatch` and `ChangeMessageVisibilityBatch`.
    pub delete: Latency,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            item_get: Latency::of(3.0, 10.0),
            item_put: Latency::of(5.0, 15.0),
            transaction: Latency::of(10.0, 30.0),
            object_get: Latency::of(20.0, 80.0),
            object_put: Latency::of(25.0, 100.0),
            object_delete: Latency::of(15.0, 60.0),
            receive: Latency::of(8.0, 30.0),
            send: Latency::of(8.0, 30.0),
            delete: Latency::of(8.0, 30.0),
        }
    }
}

impl Latencies {
    /// Each takes as long as the middle of its kind, always: for arithmetic.
    #[must_use]
    pub fn constant(self) -> Self {
        let middle = |latency: Latency| Latency::constant(latency.p50_ms);
        Self {
            item_get: middle(self.item_get),
            item_put: middle(self.item_put),
            transaction: middle(self.transaction),
            object_get: middle(self.object_get),
            object_put: middle(self.object_put),
            object_delete: middle(self.object_delete),
            receive: middle(self.receive),
            send: middle(self.send),
            delete: middle(self.delete),
        }
    }

    /// Each with its name.
    pub(crate) const fn all(&self) -> [(&'static str, Latency); 9] {
        [
            ("item_get", self.item_get),
            ("item_put", self.item_put),
            ("transaction", self.transaction),
            ("object_get", self.object_get),
            ("object_put", self.object_put),
            ("object_delete", self.object_delete),
            ("receive", self.receive),
            ("send", self.send),
            ("delete", self.delete),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_are_faster_than_the_middle_and_one_in_a_hundred_slower_than_the_tail() {
        let mut dice = fastrand::Rng::with_seed(1);
        let latency = Latency::of(20.0, 80.0);
        let drawn: Vec<_> = (0..10_000).map(|_| latency.draw(&mut dice).as_millis()).collect();
        let slower_than = |ms| drawn.iter().filter(|drawn| **drawn > ms).count();
        assert!((4_600..5_200).contains(&slower_than(20)), "{}", slower_than(20));
        assert!((60..140).contains(&slower_than(80)), "{}", slower_than(80));
        assert_eq!(Latency::constant(7.0).draw(&mut dice), Duration::from_millis(7));
    }
}
