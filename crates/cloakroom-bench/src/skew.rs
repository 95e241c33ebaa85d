//! The distribution of messages over entities: by Zipf's law, or even.

use fastrand::Rng;

/// Draws entities. The probability of entity `n`, from 0, is proportional to
/// `1 / (n + 1) ^ exponent`.
#[derive(Clone, Debug)]
pub(crate) struct Skew {
    /// The sum of the weights of each entity and all before it.
    cumulative: Vec<f64>,
}

impl Skew {
    pub(crate) fn new(entities: u32, exponent: f64) -> Self {
        let weights = (1..=entities).map(|rank| f64::from(rank).powf(-exponent));
        let cumulative = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { cumulative: cumulative.collect() }
    }

    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        let all = self.cumulative.last().copied().unwrap_or_default();
        let at = rng.f64() * all;
        let number = self.cumulative.partition_point(|sum| *sum <= at);
        // Because of rounding, the index could be beyond the end.
        number.min(self.cumulative.len().saturating_sub(1)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(entities: u32, exponent: f64) -> Vec<f64> {
        const DRAWS: usize = 200_000;
        let (skew, mut rng) = (Skew::new(entities, exponent), Rng::with_seed(7));
        let mut counts = vec![0.0; entities as usize];
        for _ in 0..DRAWS {
            counts[skew.draw(&mut rng) as usize] += 1.0 / DRAWS as f64;
        }
        counts
    }

    #[test]
    fn entities_follow_the_zipf_distribution() {
        let shares = drawn(100, 1.0);
        let harmonic: f64 = (1..=100).map(|rank| 1.0 / f64::from(rank)).sum();
        for (rank, share) in (1..).zip(&shares).take(10) {
            let expected = 1.0 / (f64::from(rank) * harmonic);
            assert!((share - expected).abs() < 0.1 * expected, "rank {rank}: {share} and not {expected}");
        }
    }

    #[test]
    fn exponent_zero_is_even_and_a_single_entity_is_always_drawn() {
        assert!(drawn(10, 0.0).iter().all(|share| (share - 0.1).abs() < 0.01));
        assert_eq!(drawn(1, 1.5).len(), 1);
    }
}
