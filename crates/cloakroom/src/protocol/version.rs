//! The version of a partition's state.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of a partition's state. It only ever grows, also across deletion of the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// No state was ever committed.
    pub const ABSENT: Self = Self(0);

    /// The version of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The version that a commit of one message on this one makes.
    #[must_use]
    pub const fn next(self) -> Self {
        self.after(1)
    }

    /// The version that a commit of so many messages on this one makes: it counts them.
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
