//! Sets of small numbers.

/// A set of numbers below 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NumberSet(u32);

impl NumberSet {
    pub(super) const fn has(self, number: u8) -> bool {
        self.0 & 1 << number != 0
    }

    #[must_use]
    pub(super) const fn with(self, number: u8) -> Self {
        Self(self.0 | 1 << number)
    }

    #[must_use]
    pub(super) const fn without(self, number: u8) -> Self {
        Self(self.0 & !(1 << number))
    }

    #[must_use]
    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..32).filter(move |number| self.has(*number))
    }
}
