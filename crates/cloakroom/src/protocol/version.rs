//! The version of a partition's state.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of a partition's state. It never decreases, not even when the state is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// The version of a partition in which no state was ever committed.
    pub const ABSENT: Self = Self(0);

    /// Returns the version with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number of the version.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the version after a commit of one message on this version.
    #[must_use]
    pub const fn next(self) -> Self {
        self.after(1)
    }

    /// Returns the version after a commit of `messages` messages on this version: each message adds
    /// one.
    #[must_use]
    pub const fn after(self, messages: usize) -> Self {
        Self(self.0 + messages as u64)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
