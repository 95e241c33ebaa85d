//! The latencies of the services. All of these assumptions are here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// z of the 99th percentile of the normal distribution.
const Z99: f64 = 2.326_347_9;

/// The latency of one kind of request. It is log-normally distributed, with this median and tail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// The 99th percentile, in milliseconds.
    pub p99_ms: f64,
}

impl Latency {
    /// A latency that is always the same.
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

    /// Draws a latency in whole milliseconds, because virtual time has no smaller steps.
    pub(crate) fn draw(self, random: &mut fastrand::Rng) -> Duration {
        let ms = self.p50_ms * (self.sigma() * normal(random)).exp();
        Duration::from_millis(ms.round().clamp(1.0, 60_000.0) as u64)
    }
}

/// A normally distributed number (Box-Muller).
fn normal(random: &mut fastrand::Rng) -> f64 {
    // Not zero, which has no logarithm.
    let (radius, angle) = (1.0 - random.f64(), random.f64());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// The latencies of the services, within one region. The defaults are assumptions: round figures
/// from what users publish. They are not measured, and AWS does not promise them. A request takes
/// effect when its response arrives.
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
    /// Returns constant latencies, each the median of its kind. They make results easy to
    /// calculate.
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

    /// All latencies with their names.
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
    fn latencies_have_the_given_median_and_99th_percentile() {
        let mut random = fastrand::Rng::with_seed(1);
        let latency = Latency::of(20.0, 80.0);
        let drawn: Vec<_> = (0..10_000).map(|_| latency.draw(&mut random).as_millis()).collect();
        let slower_than = |ms| drawn.iter().filter(|drawn| **drawn > ms).count();
        assert!((4_600..5_200).contains(&slower_than(20)), "{}", slower_than(20));
        assert!((60..140).contains(&slower_than(80)), "{}", slower_than(80));
        assert_eq!(Latency::constant(7.0).draw(&mut random), Duration::from_millis(7));
    }
}
