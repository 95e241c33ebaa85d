//! A small random generator with a seed, so that a run with faults can be repeated.

/// SplitMix64. It has one word of state, and it is sufficient for choosing which requests fail.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// Whether an event of this probability happens. A rate of 0.0 consumes no random number, so
    /// disabling one fault does not change the sequence of the other faults.
    pub(crate) fn chance(&mut self, rate: f64) -> bool {
        if rate <= 0.0 {
            return false;
        }
        // An f64 has 53 significant bits.
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < rate
    }

    /// Returns a number from 0 to `max`, inclusive.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        match max.checked_add(1) {
            Some(span) => self.next() % span,
            None => self.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_random_numbers() {
        let (mut one, mut two) = (Random::seeded(7), Random::seeded(7));
        let drawn: Vec<u64> = (0..100).map(|_| one.next()).collect();
        assert_eq!(drawn, (0..100).map(|_| two.next()).collect::<Vec<_>>());
        assert_ne!(drawn[0], Random::seeded(8).next());
    }

    #[test]
    fn random_chance_follows_the_rate() {
        let mut random = Random::seeded(1);
        assert!((0..1000).all(|_| !random.chance(0.0)));
        assert!((0..1000).all(|_| random.chance(1.0)));
        let hits = (0..10_000).filter(|_| random.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits} of 10,000");
    }
}
